"""The reference page on long context: tables held to configurations, formulas run."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from course_lib.costs.flops import visible_pairs
from course_lib.course.pictures.attention_patterns import kind, steps
from course_lib.layers.positions.rope_scaling import SCALINGS
from course_lib.specs.loader import load_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "06_long_context_reference.md").read_text(encoding="utf-8")
FILES = {
    "Mistral 7B v0.1": "mistral-7b-v0.1",
    "Mixtral 8x7B": "mixtral-8x7b",
    "Qwen2 72B": "qwen2-72b",
    "Qwen2.5 72B": "qwen2.5-72b",
    "Qwen3-235B-A22B": "qwen3-235b-a22b",
    "Llama 3.1 8B": "llama-3.1-8b",
    "Llama 3.1 70B": "llama-3.1-70b",
    "Gemma 3 27B": "gemma-3-27b",
    "gpt-oss-120b": "gpt-oss-120b",
    "Llama 4 Maverick": "llama-4-maverick",
    "DeepSeek-V3": "deepseek-v3",
    "DeepSeek-V3.2": "deepseek-v3.2",
    "Kimi K2.5": "kimi-k2.5",
    "GLM-5.1": "glm-5.1",
    "Qwen3.5-35B-A3B": "qwen3.5-35b-a3b",
}
BY_A_SWITCH = {"Qwen3-235B-A22B"}  # the config is that of the length before the stretch
N, W, TOP_K = 131_072, 4096, 2048


def rows(name: str) -> list[list[str]]:
    table = PAGE[PAGE.index(f":name: {name}") :].split("```")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def config(model: str) -> dict:
    path = ROOT / "course_lib" / "specs" / "models" / f"{FILES[model]}.yml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
    return found.get("text_config", found)


def short(tokens: int) -> str:
    return "1M" if tokens == 2**20 else f"{tokens // 2**10}K"


FAMILIES = {row[0]: row for row in rows("tbl-long-families")}


@pytest.mark.parametrize("model", FILES)
def test_lengths_are_those_of_the_configuration(model):
    found = config(model)
    scaling = found.get("rope_scaling") or found.get("rope_parameters") or {}
    _, _, trained, advertised, _ = FAMILIES[model]
    if model in BY_A_SWITCH:
        assert trained == short(found["max_position_embeddings"])
        return
    assert advertised == short(found["max_position_embeddings"])
    assert trained == (short(scaling["original_max_position_embeddings"]) if trained != "–" else "–")
    assert (trained == "–") == ("original_max_position_embeddings" not in scaling)


def test_mechanisms_are_those_of_the_configuration():
    for model, words, check in (
        (
            "Mistral 7B v0.1",
            "windows of 4,096 in all",
            lambda s: {x.mixer.window for x in s.layers} == {4096},
        ),
        ("Gemma 3 27B", "windows of 1,024", lambda s: s.layers[0].mixer.window == 1024),
        ("gpt-oss-120b", "YaRN by 32", lambda s: s.layers[0].mixer.rope.scaling["factor"] == 32),
        ("Kimi K2.5", "YaRN by 64", lambda s: s.layers[0].mixer.rope.scaling["factor"] == 64),
        ("DeepSeek-V3.2", "YaRN by 40", lambda s: s.layers[0].mixer.rope.scaling["factor"] == 40),
        ("DeepSeek-V3.2", "an indexer", lambda s: s.layers[0].mixer.indexer.top_k == 2048),
        ("GLM-5.1", "an indexer", lambda s: s.layers[0].mixer.indexer.heads == 32),
        ("Qwen2 72B", "base $10^6$", lambda s: s.layers[0].mixer.rope.theta == 1e6),
        ("Llama 4 Maverick", "chunks of 8,192", lambda s: s.layers[0].mixer.window == 8192),
    ):
        assert words in FAMILIES[model][1], model
        assert check(load_spec(FILES[model])), model


def test_llama_4_has_three_chunked_layers_of_four():
    mixers = [layer.mixer for layer in load_spec("llama-4-maverick").layers]
    assert [mixer.chunked for mixer in mixers[:4]] == [True] * 3 + [False]
    assert mixers[3].rope is None and mixers[0].rope is not None


def test_pairs_of_the_patterns():
    counted = {
        "causal": visible_pairs(N),
        "window": visible_pairs(N, W),
        "chunks": N // W * visible_pairs(W),
        "picked keys": visible_pairs(N, TOP_K),
        "window on both sides": visible_pairs(N, W, causal=False) + 2 * N - 1 - (W + 1),
    }
    told = {row[0].split(",")[0]: row[2] for row in rows("tbl-long-patterns")}
    assert told == {name: f"{count / 1e6:,.0f}" for name, count in counted.items()}
    assert visible_pairs(N, W) == N * W - W * (W - 1) // 2 and counted["chunks"] == N * (W + 1) // 2
    assert visible_pairs(N, W, causal=False) == N * (W + 1) - W // 2 * (W // 2 + 1)
    assert (steps("causal"), steps("chunks"), steps("longformer")) == (1, None, 2)
    assert kind("longformer", 11, 0) == "global"


def test_the_types_are_those_of_the_library():
    assert [row[0].strip("`") for row in rows("tbl-long-scaling")] == list(SCALINGS)


def test_a_stretched_model_breaks_just_past_its_length():
    """The excerpt: smallest perplexity at the length a model was stretched to, or next to it."""
    told = {
        row[0]: [float(x.replace(",", "")) if x != "–" else None for x in row[1:]]
        for row in rows("tbl-long-yarn")
    }
    interpolated, to_64k, to_128k, code = told.values()
    assert min(interpolated) == interpolated[1] and interpolated[2] > 2 * interpolated[1]
    assert min(x for x in to_64k if x) == to_64k[3] and to_64k[4] > 6 * to_64k[3]
    assert max(to_128k[2:]) < to_128k[1] and to_128k[0] > to_64k[0] and max(code[1:]) < 3
    page = (ROOT / "book" / "06_long_context.md").read_text(encoding="utf-8")
    assert (
        "has 2.64 at 32K and 7.9 at 40K" in page
        and "it is at 4.21 and YaRN to 64K at 4.14" in page
        and "has 2.37 at 128K" in page
    )


def test_parts_of_a_softmax_merge_in_any_order():
    g = torch.Generator().manual_seed(6)
    scores = torch.randn(12, generator=g, dtype=torch.float64) * 4
    values = torch.randn(12, 3, generator=g, dtype=torch.float64)

    def part(at):
        largest = scores[at].max()
        weights = (scores[at] - largest).exp()
        return largest, weights.sum(), weights @ values[at]

    def merged(one, other):
        largest = torch.maximum(one[0], other[0])
        first, second = ((x[0] - largest).exp() for x in (one, other))
        return largest, first * one[1] + second * other[1], first * one[2] + second * other[2]

    pieces = [part(slice(i, i + 3)) for i in (6, 0, 9, 3)]
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = merged(whole, piece)
    torch.testing.assert_close(whole[2] / whole[1], torch.softmax(scores, 0) @ values)


def test_the_rule_of_the_ring_is_that_of_the_exercise():
    """n >= (g b / h) F / B, for an attention layer of Qwen3.5-35B-A3B on H200s."""
    mixer = next(
        layer.mixer for layer in load_spec("qwen3.5-35b-a3b").layers if hasattr(layer.mixer, "kv_heads")
    )
    flops, link, width = 989.4e12, 450e9, 2
    least = mixer.kv_heads * width / mixer.heads * flops / link
    per_pair = 4 * mixer.heads * mixer.head_dim
    sent = 2 * mixer.kv_heads * mixer.head_dim * width
    assert per_pair / 2 * least**2 / flops == pytest.approx(sent * least / link)
    assert round(least) == 550


def test_every_source_has_its_line():
    page = (ROOT / "book" / "06_long_context.md").read_text(encoding="utf-8")
    cited = {key for keys in re.findall(r"\{cite\}`([^`]+)`", page) for key in keys.split(",")}
    sources = PAGE[PAGE.index("(long-ref-sources)=") :]
    assert sorted(key for key in cited if f"`{key}`" not in sources) == []
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    keys = {key for keys in re.findall(r"\{cite\}`([^`]+)`", PAGE + page) for key in keys.split(",")}
    assert sorted(key for key in keys if f"{{{key}," not in bibliography) == []
