"""The diagrams of the page on hybrids and novel architectures say what comes out when it is computed."""

from statistics import mean

import pytest
import torch

from course_lib.costs.cache import cache_bytes, cache_line
from course_lib.course.pictures import (
    attention_share,
    depth_reused,
    graph_as_mask,
    segment_reach,
    six_hybrids,
    spiking_neuron,
    winners_curse,
)
from course_lib.course.pictures.drawn import drawing
from course_lib.layers.graph.message_passing import adjacency
from course_lib.layers.masks import CAUSAL
from course_lib.layers.spiking.lif import lif
from course_lib.models.hybrids.hyper_connections import write
from course_lib.models.hybrids.segment_recurrence import segment_window
from course_lib.search.searches import shrinkage
from course_lib.specs.loader import load_spec
from tests.unit.drawn import cells, words

NAMES = "six_hybrids attention_share three_ways_to_mix segment_reach four_memories found_text"
NAMES += " graph_as_mask spiking_neuron depth_reused winners_curse"


@pytest.mark.parametrize("name", NAMES.split())
def test_nothing_lies_on_anything(name):
    assert drawing(name).faults() == []


def test_each_column_has_the_layers_of_its_configuration():
    (panel,) = drawing("six_hybrids").panels
    specs = [load_spec(name) for name, *_ in six_hybrids.MODELS]
    attending = [sum(six_hybrids.attends(spec)) for spec in specs]
    assert cells(panel, "p attn") == sum(attending) == 4 + 10 + 6 + 12 + 10 + 7
    assert cells(panel, "q state") == sum(len(spec.layers) for spec in specs) - sum(attending)
    shown = words("six_hybrids")
    for spec, some in zip(specs, attending, strict=True):
        line = cache_line(spec)
        assert f"{some} of {len(spec.layers)}" in shown
        assert f"{line.fixed_bytes / 2**20:.0f} MiB" in shown
        assert f"{line.bytes_per_token / 2**10:.0f} KiB" in shown


def test_shares_of_the_published_stacks_are_those_of_the_text():
    """Between one layer in four and one in eight; the text says so of all six."""
    for name, *_ in six_hybrids.MODELS:
        kinds = six_hybrids.attends(load_spec(name))
        assert 1 / 8 <= sum(kinds) / len(kinds) <= 7 / 27


def test_ten_of_forty_is_the_model_itself():
    own = cache_bytes(load_spec("qwen3.5-35b-a3b"), batch=1, tokens=attention_share.TOKENS)
    assert sum(attention_share.parts(10)) == own
    assert "5,182 MiB" in words("attention_share")
    kept, _ = attention_share.parts(1)
    assert kept > attention_share.parts(0)[1], "even one attention layer outweighs all states"


def test_what_is_solid_is_what_the_last_output_depends_on():
    """By products of the masks of all layers, apart from the formula."""
    n = segment_reach.TOKENS
    positions = torch.arange(n)[None]
    mask = (segment_window(segment_reach.SEGMENT, segment_reach.MEMORY) & CAUSAL).mask(positions, positions)[
        0
    ]
    seen = torch.zeros(n, dtype=torch.bool)
    seen[-1] = True
    for level in range(segment_reach.LAYERS - 1, -1, -1):
        seen = mask[seen].any(0)
        first = int(seen.nonzero()[0])
        assert first == segment_reach.first_seen(level) and bool(seen[first:].all())
    assert "The last output depends on 16 tokens." in words("segment_reach")
    (panel,) = drawing("segment_reach").panels
    solid = panel.pen.body().count('class="k attn"')
    assert solid == 1 + sum(n - segment_reach.first_seen(level) for level in range(3))


def test_the_graph_is_its_mask():
    n = len(graph_as_mask.NODES)
    own = [(i, i) for i in range(n)]
    for edges in (graph_as_mask.EDGES, graph_as_mask.causal_edges()):
        sources, targets = zip(*edges, *own, strict=True)
        mask = adjacency(torch.tensor([sources, targets]), n)
        assert mask.tolist() == graph_as_mask.mask(edges)
    assert graph_as_mask.mask(graph_as_mask.causal_edges()) == torch.ones(n, n).tril().bool().tolist()
    assert {"11 of 25 pairs", "15 of 25 pairs"} <= set(words("graph_as_mask"))


def test_the_neuron_fires_as_the_layer_does():
    given = torch.tensor(spiking_neuron.INPUTS)[None, :, None]
    spikes, _ = lif(given, spiking_neuron.BETA, spiking_neuron.THRESHOLD)
    assert f"{int(spikes.sum())} events in {given.shape[1]} steps" in words("spiking_neuron")
    assert 2 <= spikes.sum() < given.shape[1] / 2


def test_the_mix_is_doubly_stochastic_and_keeps_the_mean():
    mix = torch.tensor(depth_reused.MIX)
    torch.testing.assert_close(mix.sum(0), torch.ones(3))
    torch.testing.assert_close(mix.sum(1), torch.ones(3))
    streams = torch.tensor(depth_reused.STREAMS)[:, None]
    after = write(mix, torch.zeros(3), streams[None, None], torch.zeros(1, 1, 1))[0, 0, :, 0]
    torch.testing.assert_close(after, torch.tensor(depth_reused.mixed()))
    assert after.mean() == pytest.approx(streams.mean().item()) and after.norm() <= streams.norm()
    assert f"mean {streams.mean():.1f}, before and after" in words("depth_reused")
    visits = 2 + depth_reused.LOOPS * len(depth_reused.CORE)
    assert f"{visits} visits, each with a cache" in words("depth_reused")


def test_the_best_of_equals_lose_what_luck_gave_them():
    first, again = winners_curse.scores()
    best = winners_curse.best()
    assert [first[i] for i in best] == sorted(first)[: winners_curse.TOP]
    lost = mean(again[i] for i in best) - mean(first[i] for i in best)
    assert lost == pytest.approx(shrinkage(first, again, winners_curse.TOP)) and lost > winners_curse.SPREAD
    assert f"They lose {lost:.3f} nats on average." in words("winners_curse")
    assert max(map(abs, first + [again[i] for i in best])) < winners_curse.MOST, "all are in the picture"
