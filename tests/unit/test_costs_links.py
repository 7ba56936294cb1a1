"""What tensor parallelism sends, against a ring that is played out and against the figures by hand."""

import pytest
import torch

from course_lib.costs.links import all_reduce_bytes, all_reduces, tensor_parallel_bytes
from course_lib.specs.loader import load_spec
from tests.unit.costs_models import LLAMA_70B, T5


def ring_all_reduce(parts: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Add up `parts` [devices, n] by a ring; return what each device holds, and the elements it sent.

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
    return pieces.reshape(parts.shape), sent


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_a_ring_sends_what_the_formula_says(devices):
    parts = torch.randn(devices, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(devices))
    summed, sent = ring_all_reduce(parts)
    torch.testing.assert_close(summed, parts.sum(0).expand_as(parts))
    assert sent == all_reduce_bytes(24, devices=devices)


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
