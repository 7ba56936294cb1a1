"""What shared models send, against collectives that are played out and against the figures by hand."""

import math
from functools import partial

import pytest
import torch

from course_lib.costs.collectives import (
    Link,
    Traffic,
    all_reduce_bytes,
    all_reduce_seconds,
    all_to_all,
    ring_all_reduce,
    tree_all_reduce,
)
from course_lib.costs.links import (
    all_reduces,
    expert_parallel_traffic,
    pipeline_traffic,
    tensor_parallel_bytes,
    tensor_parallel_seconds,
    tensor_parallel_traffic,
)
from course_lib.specs.loader import load_spec
from tests.unit.costs_models import LLAMA_70B, T5


def play_ring(parts: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """Add up `parts` [devices, n] by a ring; return what each device holds, what it sent, and the rounds.

    In each round device i hands one piece to its neighbour: first the sums travel, then the finished pieces.
    """
    devices = len(parts)
    pieces = parts.clone().reshape(devices, devices, -1)  # [device, piece, n / devices]
    sent = 0
    for turn in range(2 * (devices - 1)):
        moving = {i: (i - turn) % devices for i in range(devices)}
        messages = {i: pieces[i, piece].clone() for i, piece in moving.items()}
        for i, piece in moving.items():
            there = pieces[(i + 1) % devices, piece]
            there.copy_(messages[i] + (there if turn < devices - 1 else 0))
        sent += messages[0].numel()
    return pieces.reshape(parts.shape), sent, 2 * (devices - 1)


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_a_ring_sends_what_the_formula_says(devices):
    parts = torch.randn(devices, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(devices))
    summed, sent, rounds = play_ring(parts)
    torch.testing.assert_close(summed, parts.sum(0).expand_as(parts))
    assert (sent, rounds) == (all_reduce_bytes(24, devices=devices), ring_all_reduce(24, devices).hops)


def play_trees(parts: torch.Tensor) -> tuple[torch.Tensor, list[int], int]:
    """Add up `parts` [devices, n] by two trees, each with half of the numbers; the second tree is the mirror.

    Rank 0 is the root; the others stand at the height of their lowest set bit, so that odd ranks are leaves
    of one tree, and inner nodes of its mirror. Returns what each holds, what each sent, the levels.
    """
    devices, n = parts.shape
    sums, sent, depth = parts.clone(), [0] * devices, 0
    for half, mirror in ((slice(0, n // 2), False), (slice(n // 2, n), True)):
        level, place = {0: 0}, [devices - 1 - rank if mirror else rank for rank in range(devices)]
        parents = {rank: (rank ^ (rank & -rank)) | 2 * (rank & -rank) for rank in range(1, devices)}
        parents = {rank: up if up < devices else rank ^ (rank & -rank) for rank, up in parents.items()}
        for rank in sorted(parents, key=lambda r: r & -r):  # leaves first
            sums[place[parents[rank]], half] += sums[place[rank], half]
            sent[place[rank]] += n // 2  # up
            sent[place[parents[rank]]] += n // 2  # and down again, later
        for rank in sorted(parents, key=lambda r: -(r & -r)):
            level[rank] = level[parents[rank]] + 1
        sums[:, half] = sums[place[0], half].clone()
        depth = max(depth, *level.values())
    return sums, sent, 2 * depth


@pytest.mark.parametrize("devices", [2, 4, 8, 16])
def test_no_device_sends_more_up_and_down_two_trees_than_the_formula_says(devices):
    parts = torch.randn(devices, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(devices))
    summed, sent, levels = play_trees(parts)
    torch.testing.assert_close(summed, parts.sum(0).expand_as(parts))
    formula = tree_all_reduce(24, devices)
    assert max(sent) == formula.sent_bytes and levels == formula.hops


def test_a_tree_is_faster_for_small_tensors_and_a_ring_for_large_ones():
    """By hand: 8 devices, 1 microsecond a hop, 1 byte a nanosecond."""
    seconds = partial(all_reduce_seconds, devices=8, link=Link(1e9, latency_s=1e-6))
    assert seconds(800, algorithm="ring") == pytest.approx(14e-6 + 1.4e-6)
    assert seconds(800, algorithm="tree") == pytest.approx(6e-6 + 1.6e-6) == seconds(800)
    assert seconds(8e9) == seconds(8e9, algorithm="ring") < seconds(8e9, algorithm="tree")
    assert all_reduce_seconds(8e9, 1, Link(1e9, latency_s=1e-6)) == 0
    with pytest.raises(ValueError, match="algorithm='star'"):
        seconds(800, algorithm="star")


def test_devices_that_share_experts_send_what_they_do_not_keep():
    """Played out: each device's tokens pick experts evenly; what lies elsewhere is sent, and comes back."""
    spec, devices, tokens = load_spec("mixtral-8x7b"), 4, 64
    moe, layers = spec.layers[0].ffn, len(spec.layers)
    holder = [expert * devices // moe.experts for expert in range(moe.experts)]
    sent = 0  # by device 0, per layer: its 16 tokens pick each pair of neighbours equally often
    for token in range(tokens // devices):
        picks = [(token + i) % moe.experts for i in range(moe.top_k)]
        sent += sum(holder[expert] != 0 for expert in picks)
    traffic = expert_parallel_traffic(spec, tokens, devices=devices, dispatch_bytes=1, combine_bytes=2)
    assert traffic == Traffic(layers * sent * spec.width * 3, hops=2 * layers)


def test_expert_traffic_by_share_and_copies():
    spec = load_spec("deepseek-v3")
    traffic = partial(expert_parallel_traffic, spec, 64 * 128, devices=64)
    assert traffic(local=1).sent_bytes == 0
    assert (
        traffic(copies=4, local=0).sent_bytes == traffic(local=0).sent_bytes / 2
    )  # 4 nodes instead of 8 experts
    assert traffic(local=0).sent_bytes == 58 * 128 * 8 * 7168 * 4
    assert traffic().sent_bytes == pytest.approx(58 * 128 * 8 * 7168 * 4 * 63 / 64)
    with pytest.raises(ValueError, match="mixture"):
        expert_parallel_traffic(LLAMA_70B, 8, devices=2)
    with pytest.raises(ValueError, match="local"):
        traffic(local=1.5)


def test_a_pipeline_hands_on_the_stream_once_a_boundary():
    """By hand: 3 boundaries, [2048, 8192] numbers of 2 bytes, 1 microsecond a hop."""
    traffic = pipeline_traffic(LLAMA_70B, 2048, stages=4)
    assert traffic == Traffic(3 * 2048 * 8192 * 2, hops=3)
    assert traffic.seconds(Link(1e11, 1e-6)) == pytest.approx(3e-6 + 3 * 2048 * 8192 * 2 / 1e11)
    assert pipeline_traffic(LLAMA_70B, 8, stages=1).sent_bytes == 0
    with pytest.raises(ValueError, match="stages=81"):
        pipeline_traffic(LLAMA_70B, 8, stages=81)


def test_hops_decide_in_decode_and_bytes_in_prefill():
    link = Link(450e9, latency_s=0.6e-6)
    ring, tree = (tensor_parallel_traffic(LLAMA_70B, 8, devices=8, tree=tree) for tree in (False, True))
    assert (ring.hops, tree.hops) == (160 * 14, 160 * 6)
    decode = tensor_parallel_seconds(LLAMA_70B, 8, link, devices=8)
    assert decode == tree.seconds(link) and tree.hops * link.latency_s > 0.7 * decode
    prefill = tensor_parallel_seconds(LLAMA_70B, 8192, link, devices=8)
    assert math.isclose(prefill, 80 * 2 * 8192 * 8192 * 2 * 7 / 4 / 450e9 + 160 * 14 * 0.6e-6)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"bandwidth_bytes_per_s": 0}, "bandwidth"), ({"latency_s": -1}, "latency_s")]
)
def test_a_link_needs_a_bandwidth(wrong, named):
    with pytest.raises(ValueError, match=named):
        Link(**({"bandwidth_bytes_per_s": 1.0} | wrong))


@pytest.mark.parametrize("local", [-0.1, 1.1])
def test_a_share_lies_between_none_and_all(local):
    with pytest.raises(ValueError, match="local"):
        all_to_all(8, local=local)


def test_llama_70b_over_eight_devices():
    """By hand: 80 layers x 2 x [8192, 8192] x 2 bytes x 7 / 4."""
    assert tensor_parallel_bytes(LLAMA_70B, 8192, devices=8) == 80 * 2 * 8192 * 8192 * 2 * 7 / 4
    assert tensor_parallel_bytes(LLAMA_70B, 8192, devices=1) == 0


def test_a_parallel_block_needs_one_all_reduce():
    assert {all_reduces(layer) for layer in load_spec("palm-540b").layers} == {1}
    assert {all_reduces(layer) for layer in load_spec("gpt-j-6b").layers} == {1}
    assert {all_reduces(layer) for layer in LLAMA_70B.layers} == {2}
    assert {all_reduces(layer) for layer in load_spec("mamba-2.8b").layers} == {1}  # a layer without FFN
    assert {all_reduces(layer) for layer in T5.layers} == {3}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"tokens": 0}, "tokens"),
        ({"devices": 0}, "devices"),
        ({"bytes_per_element": 0}, "bytes_per_element"),
        ({"spec": T5}, "encoder"),
    ],
)
def test_bad_arguments_are_named(wrong, named):
    arguments = {"spec": LLAMA_70B, "tokens": 1, "devices": 2} | wrong
    with pytest.raises(ValueError, match=named):
        tensor_parallel_bytes(arguments.pop("spec"), arguments.pop("tokens"), **arguments)
