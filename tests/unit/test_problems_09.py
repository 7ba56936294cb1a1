"""The answers of the page on hybrids and novel architectures, computed again; it prints what comes out."""

import math
import re
from pathlib import Path

import pytest
import torch

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token, cache_line
from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_weights,
    state_elements,
    token_elements,
)
from course_lib.costs.params import param_count
from course_lib.costs.spikes import break_even_rate, dense_macs, neuron_operations, synaptic_operations
from course_lib.evaluate.seeds import seeds_needed
from course_lib.layers.attention.nearest import joined
from course_lib.layers.graph.message_passing import edge_softmax, summed_at
from course_lib.layers.recurrent.learned_at_test_time import test_time_training as train_on_text
from course_lib.layers.recurrent.short_conv import ShortConv
from course_lib.layers.spiking.lif import lif_naive
from course_lib.models.hybrids.looped import exit_distribution
from course_lib.models.hybrids.segment_recurrence import earliest_seen
from course_lib.models.hybrids.stack import every_nth, hybrid_spec
from course_lib.search.space import Space
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec, MoESpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "09_hybrids.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
QWEN, JAMBA = map(load_spec, ("qwen3.5-35b-a3b", "jamba-v0.1"))
DELTA, ATTENDS = QWEN.layers[0].mixer, QWEN.layers[3].mixer
MIB, TOKENS = 2**20, 262_144
STATE_BYTES, INPUT_BYTES = 4, 2


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def kept(mixer, width: int) -> int:
    """Bytes of a recurrent layer: float32 states, bf16 inputs."""
    states, inputs = state_elements(mixer, width)
    return states * STATE_BYTES + inputs * INPUT_BYTES


def stack_bytes(attends: int) -> float:
    """A text of 262,144 tokens in 40 layers of which so many attend."""
    return attends * token_elements(ATTENDS) * 2 * TOKENS + (40 - attends) * kept(DELTA, QWEN.width)


def expected_largest(n: int, steps: int = 200_001) -> float:
    """The expected largest of n standard normal numbers, by summing up n x f(x) F(x)^(n-1)."""
    x = torch.linspace(-8, 8, steps, dtype=torch.float64)
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return torch.trapezoid(x * n * density * torch.special.ndtr(x) ** (n - 1), x).item()


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 19
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []


def test_numbers_of_the_text():
    kinds = [isinstance(layer.mixer, AttentionSpec) for layer in JAMBA.layers]
    assert (sum(kinds), len(kinds)) == (4, 32) and "one layer of eight attends" in PAGE
    assert JAMBA.layers[4].mixer.rope is None and "no positional encoding" in PAGE
    assert 4 * ATTENDS.rope.dim == ATTENDS.head_dim and "rotate a quarter of each head" in PAGE
    assert [round(expected_largest(n), 1) for n in (40, 100)] == [2.2, 2.5]
    assert "2.2 for 40 and 2.5 for 100" in PAGE


def test_ten_minutes_on_the_transformer():
    token = 2 * 8 * 128 * 32 * 2
    assert token == 128 * 2**10
    printed("hyb-try-refresher", "(a) 1 to 5; all", "= 128$ KiB", "8, one in sixteen")


def test_jamba_at_256k():
    line, mixer = cache_line(JAMBA), JAMBA.layers[0].mixer
    assert (
        line.bytes_per_token == 4 * 2 * 8 * 128 * 2 == 16 * 2**10 and line.bytes_per_token * TOKENS == 2**32
    )
    assert line.fixed_bytes == 28 * 8192 * (16 * 4 + 4 * 2) == 28 * kept(mixer, JAMBA.width) == 15.75 * MIB
    assert cache_bytes(JAMBA, batch=1, tokens=TOKENS) == 4111.75 * MIB
    assert 8 * line.bytes_per_token * TOKENS == 32 * 2**30
    assert line.fixed_bytes / line.bytes_per_token == 1008
    printed("hyb-try-jamba", "= 16$ KiB: 4 GiB", "= 15.75$ MiB", "4,111.75 MiB", "32 GiB", "1,008 tokens")


def test_one_layer_in_eight():
    weights, room = param_count(QWEN).total * 2, load_hardware("H200-SXM").memory_bytes
    assert f"{weights / 1e9:.1f}" == "69.3" and f"{(room - weights) / 1e9:.1f}" == "71.7"
    for attends, mib, size, fit in ((10, 5181.875, "5.43", 13), (5, 2632.1875, "2.76", 25)):
        assert stack_bytes(attends) == mib * MIB and f"{mib * MIB / 1e9:.2f}" == size
        assert (room - weights) // stack_bytes(attends) == fit
    assert stack_bytes(10) == cache_bytes(QWEN, batch=1, tokens=TOKENS)
    printed("hyb-try-hybrid-ratio", "5{,}181.875$ MiB $= 5.43$ GB", "gives 13", "2{,}632.1875", "25 fit")


def test_one_set_of_weights():
    counts, one = param_count(QWEN), mixer_weights(ATTENDS, QWEN.width)
    assert f"{one / 1e6:.2f}" == "27.26" and f"{counts.total / 1e9:.2f}" == "34.66"
    assert round(9 * one / 1e6) == 245 and f"{9 * one / counts.total:.1%}" == "0.7%"
    assert round(100 * counts.by_part["experts"] / counts.total) == 93
    printed("hyb-try-hybrid-shared", "245 million, 0.7 %", "nothing", "93 % are experts")


def test_how_far_back():
    seen = [earliest_seen(2000, layers, segment=128, memory=128) for layers in (1, 2, 12)]
    assert seen == [1792, 1664, 384] and 2000 // 128 * 128 == 1920 == 15 * 128
    printed("hyb-try-reach", "= 1792$", "1,664", "= 384$", "1,920")


def test_two_sets_of_keys():
    scores, values = torch.tensor([0.0, 0.0, math.log(2)]), torch.tensor([1.0, 3.0, 8.0])
    text, memory = (scores[:2], values[:2]), (scores[2:], values[2:])
    parts = [(s.softmax(0) @ v, s.logsumexp(0)) for s, v in (text, memory)]
    shaped = [x.view(1, 1, 1, *([1] * last)) for pair in parts for x, last in zip(pair, (1, 0), strict=True)]
    y = joined(*shaped).item()
    assert y == pytest.approx(5) == pytest.approx((scores.softmax(0) @ values).item())
    assert scores.softmax(0).tolist() == pytest.approx([0.25, 0.25, 0.5])
    printed("hyb-try-joined", "w = 0.5", "= 5$", "0.25, 0.25, 0.5")


def test_what_is_carried():
    width, attends = QWEN.width, 10
    vectors, rows = attends * 4096 * width * 2, 4096 * cache_bytes_per_token(QWEN)
    assert (vectors / MIB, rows / MIB, 16 * width * 2 / 2**10) == (160, 80, 64)
    assert TOKENS * token_elements(ATTENDS) * 2 / MIB == 512 and token_elements(ATTENDS) * 2 == width
    assert round(cache_line(QWEN).fixed_bytes / MIB) == 62
    printed("hyb-try-hybrid-carry", "= 160$ MiB", "= 80$ MiB, half", "= 64$ KiB", "= 512$ MiB", "62 MiB")


def test_two_steps_of_learning():
    one = torch.ones(1, 2, 1, 1)
    start = {"state": torch.full((1, 1, 1, 1), 2.0)}
    for chunk, after in ((1, 4.25), (2, 5.0)):
        _, memory = train_on_text(one, one, 5 * one, 0.5 * one[..., 0], memory=start, chunk=chunk)
        assert memory["state"].item() == pytest.approx(after)
    printed("hyb-try-ttt", "= 3.5$", "= 4.25$", "= 5$")


def test_a_worse_retriever():
    def right(r):
        return r * 0.9 + (1 - r) * 0.3

    assert (right(0.8), right(0.5), right(1 / 12)) == pytest.approx((0.78, 0.60, 0.35))
    printed("hyb-try-coupling", r"= 78\,\%", r"60\,\%", "r = 1/12$, about 8 %")


def test_the_price_of_eight_passages():
    pair = 10 * attention_flops_per_pair(ATTENDS)
    head = 2 * param_count(QWEN).by_part["head"]
    alone = flops_per_token(QWEN, 1) - head - pair
    pairs, linear = 4000 * 4001 // 2 * pair, 4000 * alone
    assert pair == 163_840 and f"{alone / 1e9:.2f}" == "4.99"
    assert prefill_flops(QWEN, 4000) == linear + pairs + head
    assert [f"{x / 1e12:.1f}" for x in (linear, pairs, linear + pairs)] == ["19.9", "1.3", "21.3"]
    peak = load_hardware("H200-SXM").peak_flops
    assert round(peak / 1e12) == 989 and round((linear + pairs) / (peak / 2) * 1e3) == 43
    assert f"{4000 * cache_bytes_per_token(QWEN) / MIB:.1f}" == "78.1"
    printed("hyb-try-hybrid-prompt", "= 19.9$ TFLOP", "= 1.3$ TFLOP: 21.3 TFLOP, 43 ms", "= 78.1$ MiB")


def test_one_message():
    scores = torch.tensor([[0.0], [0.0], [math.log(2)]])
    targets = torch.zeros(3, dtype=torch.long)
    weights = edge_softmax(scores, targets, 1)
    assert weights.flatten().tolist() == pytest.approx([0.25, 0.25, 0.5])
    y = summed_at(weights * torch.tensor([[4.0], [0.0], [8.0]]), targets, 1)
    assert y.item() == pytest.approx(5) and 10_000**2 / 50_000 == 2000
    printed("hyb-try-graph", "= 5$", "= 2{,}000$ times")


def test_convolutions_in_place_of_states():
    width, conv = QWEN.width, 3
    with torch.device("meta"):
        weights = sum(p.numel() for p in ShortConv(width, conv).parameters())
    assert weights == 4 * width**2 + conv * width and f"{weights / 1e6:.1f}" == "16.8"
    assert f"{mixer_weights(DELTA, width) / 1e6:.1f}" == "33.7" and conv * width * 2 == 12 * 2**10
    assert 1 + 3 * (conv - 1) == 7
    printed("hyb-try-hybrid-conv", "16.8 million", "12 KiB", "= 7$ tokens")


def test_a_neuron_by_hand():
    spikes, membranes = lif_naive([0.6] * 4, 0.9)
    assert spikes == [0, 1, 0, 1] and membranes == pytest.approx([0.6, 1.14, 0.626, 1.1634])
    printed("hyb-try-lif", "= 1.14$, event", "= 0.626$", "= 1.1634$, event")


def test_break_even():
    moe = next(layer.ffn for layer in QWEN.layers if isinstance(layer.ffn, MoESpec))
    inputs, neurons, steps = QWEN.width, moe.expert.width, 16
    assert (inputs, neurons) == (2048, 512)
    for cost, shown in ((1, "6.2"), (5, "31")):
        rate = break_even_rate(inputs, steps, mac_cost=cost)
        spent = synaptic_operations(inputs, neurons, steps, rate) + neuron_operations(neurons, steps)
        assert spent == pytest.approx(cost * dense_macs(inputs, neurons))
        assert f"{100 * rate:.{1 if cost == 1 else 0}f}" == shown
    printed("hyb-try-hybrid-spikes", r"r = 6.2\,\%", r"r = 31\,\%", "+ 32 = 2048", "+ 32 = 10240")


def test_another_round():
    core = QWEN.layers[8:32]
    attends = sum(isinstance(layer.mixer, AttentionSpec) for layer in core)
    visits = len(QWEN.layers) + len(core)
    assert (len(core), attends, visits, visits / 40) == (24, 6, 64, 1.6)
    assert (10 + attends) * token_elements(ATTENDS) * 2 == 32 * 2**10
    assert (30 + 18) * kept(DELTA, QWEN.width) == 99 * MIB
    assert sum(exit_distribution(torch.tensor([0.3, 0.6, 0.1]))).item() == pytest.approx(1)
    printed("hyb-try-hybrid-loop", "64 visits, 1.6 times", "= 32$ KiB", "= 99$ MiB")


def test_rows_and_columns():
    mix = torch.tensor([[1.0, 1.0], [1.0, 3.0]])
    mix = mix / mix.sum(1, keepdim=True)
    assert mix.tolist() == [[0.5, 0.5], [0.25, 0.75]] and mix.sum(0).tolist() == [0.75, 1.25]
    mix = mix / mix.sum(0)
    assert [round(x, 3) for x in mix.flatten().tolist()] == [0.667, 0.4, 0.333, 0.6]
    assert [round(x, 3) for x in mix.sum(1).tolist()] == [1.067, 0.933]
    printed("hyb-try-sinkhorn", "(0.667, 0.4)", "(0.333, 0.6)", "1.067 and 0.933")


def test_luck_in_nats():
    luck = expected_largest(100) * 0.02
    assert f"{luck:.2f}" == "0.05" and f"{luck / math.sqrt(5):.3f}" == "0.022"
    torch.manual_seed(0)
    tried = torch.randn(4000, 100).max(1).values.mean().item()
    assert tried == pytest.approx(expected_largest(100), abs=0.03)
    printed("hyb-try-winner", "= 0.05$ nats", "= 0.022$", "five times", "half of the first round")


def test_a_budget_cuts_the_space():
    assert [stack_bytes(a) <= 3 * 2**30 for a in (5, 6)] == [True, False]
    assert [round(stack_bytes(a) / MIB) for a in (5, 6)] == [2632, 3142]
    assert sum(math.comb(40, a) for a in range(6)) == 760_099 and math.comb(40, 10) == 847_660_528
    assert Space("ad", layers=40, context=1).size == 2**40
    printed("hyb-try-hybrid-space", "2,632 MiB, 6 gives 3,142", "760{,}099", "847{,}660{,}528")


def test_first_or_fifth():
    rough = 2 * (1.96 + 0.84) ** 2 * (0.02 / 0.01) ** 2
    assert round(rough) == 63 and seeds_needed(0.02, 0.01, paired=False) == 64
    assert round((1.96 + 0.84) ** 2) == 8 and seeds_needed(0.01, 0.01) == 10
    printed("hyb-problem-seeds", "= 63$, exactly 64", "= 8$, and 10")


def test_a_pattern_is_a_stack():
    spec = hybrid_spec(every_nth(8, 32))
    attends = [isinstance(layer.mixer, AttentionSpec) for layer in spec.layers]
    assert sum(attends) == 4 and attends[7] and "a letter a layer" in PAGE
