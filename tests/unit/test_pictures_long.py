"""The diagrams of the page on long context say what comes out when it is computed."""

import math

import pytest
import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import prefill_flops, visible_pairs
from course_lib.course.pictures import (
    attention_patterns,
    compressed_context,
    indexer_picks,
    length_costs,
    prefill_chunks,
    recall_by_depth,
    ring_steps,
    rope_wavelengths,
    sink_window,
    window_reach,
)
from course_lib.course.pictures.drawn import drawing
from course_lib.layers.positions.rope_scaling import dynamic, linear, yarn
from course_lib.specs.loader import load_spec
from tests.unit.drawn import cells, words

NAMES = "length_costs rope_wavelengths attention_patterns window_reach sink_window indexer_picks"
NAMES += " compressed_context ring_steps prefill_chunks recall_by_depth"


@pytest.mark.parametrize("name", NAMES.split())
def test_nothing_lies_on_anything(name):
    assert drawing(name).faults() == []


def test_the_costs_of_length_are_those_of_the_configuration():
    spec = load_spec(length_costs.MODEL)
    short, long = (cache_bytes(spec, batch=1, tokens=n) / 2**30 for n in (32_768, 131_072))
    ratio = prefill_flops(spec, 131_072) / prefill_flops(spec, 32_768)
    shown = {f"{short:.0f} GiB", f"{long:.0f} GiB", "× 4.0", f"× {ratio:.1f}", "33", "8", "÷ 4.1"}
    assert shown <= set(words("length_costs")) and f"{ratio:.1f}" == "6.8"


@pytest.mark.parametrize("kind", ["plain", "PI", "NTK", "YaRN"])
def test_wavelengths_are_those_of_the_library(kind):
    d, base = rope_wavelengths.DIM, rope_wavelengths.BASE
    exponents = torch.arange(0, d, 2, dtype=torch.float64) / d
    ends = {"factor": rope_wavelengths.FACTOR, "original_max_position_embeddings": rope_wavelengths.TRAINED}
    speeds = {
        "plain": base**-exponents,
        "PI": linear(exponents, base, factor=rope_wavelengths.FACTOR)[0],
        # static NTK is the dynamic one where the stretch comes out as the factor
        "NTK": dynamic(exponents, base, **{**ends, "factor": 1.0}, length=8 * rope_wavelengths.TRAINED)[0],
        "YaRN": yarn(exponents, base, **ends)[0],
    }[kind]
    drawn = [rope_wavelengths.wavelength(pair, kind) for pair in range(d // 2)]
    torch.testing.assert_close(torch.tensor(drawn, dtype=torch.float64), 2 * math.pi / speeds)


def test_what_does_not_come_round_is_counted():
    plain = [rope_wavelengths.wavelength(pair) for pair in range(32)]
    assert rope_wavelengths.never_round() == sum(w > 2048 for w in plain) == 11
    assert "trained: 2,048" in words("rope_wavelengths")


def test_patterns_leave_the_pairs_that_are_counted():
    n, w = attention_patterns.N, attention_patterns.WINDOW
    assert attention_patterns.edges("causal") == visible_pairs(n)
    assert attention_patterns.edges("window") == visible_pairs(n, w)
    assert attention_patterns.edges("chunks") == n // w * visible_pairs(w)
    band = visible_pairs(n, w, causal=False)
    side = w // 2
    assert attention_patterns.edges("longformer") == band + 2 * n - 1 - (2 * side + 1)
    for panel, (pattern, *_) in zip(
        drawing("attention_patterns").panels, attention_patterns.FORMS, strict=True
    ):
        drawn = sum(cells(panel, role) for role in ("p attn", "p kept", "p diff"))
        assert drawn == attention_patterns.edges(pattern)


def test_paths_are_powers_of_the_mask():
    n, start = attention_patterns.N, attention_patterns.START
    for pattern, *_ in attention_patterns.FORMS:
        mask = torch.tensor(
            [[attention_patterns.kind(pattern, t, s) is not None for s in range(n)] for t in range(n)]
        ).double()
        power, found = torch.eye(n, dtype=torch.float64), None
        for layers in range(1, n + 1):
            power = mask @ power
            if found is None and power[n - 1, start] > 0:
                found = layers
        assert attention_patterns.steps(pattern) == found


def test_a_random_key_is_new():
    """Neither global nor in the window, else the drawing would show fewer."""
    for t, s in enumerate(attention_patterns.RANDOM):
        assert t in attention_patterns.GLOBAL or attention_patterns.kind("bigbird", t, s) == "random"


def test_the_reach_is_the_gradient_of_stacked_windows():
    n, w = window_reach.TOKENS, window_reach.WINDOW
    mask = torch.ones(n, n).tril().triu(1 - w)
    x = torch.ones(n, requires_grad=True)
    out = x
    for _ in range(window_reach.LAYERS):
        out = mask @ out
    (seen,) = torch.autograd.grad(out[-1], x)
    assert int((seen > 0).sum()) == window_reach.reach(window_reach.LAYERS) == 10
    lowest = {key for layer, _, key in window_reach.lines() if layer == 1}
    assert lowest == set((seen > 0).nonzero().flatten().tolist())
    assert "reach: 3 × (4 − 1) + 1 = 10 tokens" in words("window_reach")


def test_positions_are_counted_inside_the_cache():
    kept = sink_window.kept(sink_window.SINKS)
    assert kept == [0, 1, 8, 9, 10, 11] and len(sink_window.kept(0)) == sink_window.RECENT
    assert sink_window.TEXT.index("7") not in kept
    places = [w for w in words("sink_window") if w.isdigit()]
    # the text's own "7" is drawn once, in the full cache
    assert sorted(places, key=int) == sorted(map(str, [*range(12), *range(4), *range(6), 7]), key=int)


def test_the_indexer_picks_the_best_of_its_scores():
    products, weights = torch.tensor(indexer_picks.PRODUCTS), torch.tensor(indexer_picks.WEIGHTS)
    scores = torch.einsum("j,js->s", weights, products.relu())
    torch.testing.assert_close(torch.tensor(indexer_picks.scores()), scores)
    assert set(scores.topk(indexer_picks.TOP_K).indices.tolist()) == set(indexer_picks.picked())
    zeros = int((scores == 0).sum())
    assert f"{zeros} keys tie at zero" in words("indexer_picks") and zeros > 1


def test_few_keys_are_looked_at():
    for (title, _, form), count in zip(compressed_context.FORMS, (10, 24, 10, 10), strict=True):
        size, units, _ = form
        assert max(units) < compressed_context.TOKENS // size, title
        assert compressed_context.looked_at(form) == count < compressed_context.TOKENS
    assert "10 keys" in words("compressed_context") and "24 keys" in words("compressed_context")


@pytest.mark.parametrize("striped", [False, True])
def test_the_ring_computes_every_pair_once(striped):
    d, n = ring_steps.DEVICES, ring_steps.DEVICES * ring_steps.OWN
    per_step = [[ring_steps.pairs(device, step, striped) for device in range(d)] for step in range(d)]
    assert sum(map(sum, per_step)) == visible_pairs(n)
    assert ring_steps.waits_for(striped) == sum(map(max, per_step)) == (40 if striped else 58)
    tokens = [ring_steps.token(device, i, striped) for device in range(d) for i in range(ring_steps.OWN)]
    assert sorted(tokens) == list(range(n))
    assert all({ring_steps.holds(device, step) for step in range(d)} == set(range(d)) for device in range(d))


def test_chunks_together_are_the_whole_prompt():
    chunks = prefill_chunks.chunk_seconds()
    whole = prefill_chunks.until(prefill_chunks.PROMPT)
    assert sum(chunks) == pytest.approx(whole) and chunks == sorted(chunks)
    shown = {f"others wait {whole:.1f} s", f"others wait {chunks[-1]:.2f} s at most", f"{chunks[0]:.2f}"}
    assert shown <= set(words("prefill_chunks"))


def test_only_the_u_has_its_dip_in_the_middle():
    dips = {title: recall_by_depth.dip(shares) for title, _, shares in recall_by_depth.SHAPES}
    assert dips["A U"] > 0.3 and max(dips["Flat"], dips["Flat, two facts"]) < 0.1
    recency = recall_by_depth.SHAPES[1][2]
    assert list(recency) == sorted(recency)
