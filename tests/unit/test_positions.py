"""Rotary positions: the fast form against one pair at a time, and what a config may ask for."""

import pytest
import torch

from course_lib.layers.positions.rope import Rope, apply_rope, apply_rope_naive

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("pairing", ["rotate_half", "interleaved"])
@pytest.mark.parametrize(("dim", "width"), [(2, 2), (6, 6), (4, 9)])
def test_all_pairs_at_once_equal_one_pair_at_a_time(pairing, dim, width):
    rope, x = Rope(dim=dim, pairing=pairing, theta=50.0), torch.randn(2, 5, 3, width).double()
    positions = torch.randint(0, 1000, (2, 5))
    cos, sin = rope.tables(positions, x.dtype)
    turned = apply_rope(x, cos, sin, pairing)
    torch.testing.assert_close(turned, apply_rope_naive(x, positions, rope), **TOLERANCE)


@pytest.mark.parametrize("pairing", ["rotate_half", "interleaved"])
def test_a_turn_keeps_the_length(pairing):
    rope, x = Rope(dim=8, pairing=pairing), torch.randn(1, 4, 2, 8).double()
    turned = apply_rope(x, *rope.tables(torch.arange(4)[None], x.dtype), pairing)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), **TOLERANCE)


def test_position_zero_turns_nothing():
    x = torch.randn(1, 1, 2, 6).double()
    cos, sin = Rope(dim=6).tables(torch.tensor([[0]]), x.dtype)
    assert torch.equal(apply_rope(x, cos, sin), x)


def test_coordinates_past_dim_pass_through():
    x = torch.randn(1, 3, 2, 10).double()
    cos, sin = Rope(dim=4).tables(torch.arange(3)[None], x.dtype)
    assert torch.equal(apply_rope(x, cos, sin)[..., 4:], x[..., 4:])


def test_a_factor_stretches_positions():
    far, near = torch.tensor([[12]]), torch.tensor([[3]])
    stretched, plain = Rope(dim=8, scaling={"rope_type": "linear", "factor": 4.0}), Rope(dim=8)
    got, expected = stretched.tables(far, torch.float64), plain.tables(near, torch.float64)
    torch.testing.assert_close(got, expected, **TOLERANCE)


@pytest.mark.parametrize("wrong", [{"dim": 3}, {"dim": 0}, {"theta": 0.0}, {"pairing": "quarter"}])
def test_wrong_rope_is_refused(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"{name}="):
        Rope(**{"dim": 4} | wrong)


def test_rope_wider_than_the_head_is_refused():
    cos, sin = Rope(dim=6).tables(torch.tensor([[0]]))
    with pytest.raises(ValueError, match="rope dim=6"):
        apply_rope(torch.zeros(1, 1, 1, 4), cos, sin)
