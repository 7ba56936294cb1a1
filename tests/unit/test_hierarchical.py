"""Two levels and block sums: equal to their plain forms, and to full attention where blocks are uniform."""

import pytest
import torch

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.hierarchical import (
    TransientGlobalAttention,
    block_sums,
    two_level_attention,
    two_level_attention_naive,
)
from course_lib.layers.attention.longformer import LongformerAttention

EXACT = {"rtol": 1e-11, "atol": 1e-12}


def qkv(n, heads=4, groups=2):
    return [torch.randn(2, n, one, 4, dtype=torch.float64) for one in (heads, groups, groups)]


@pytest.mark.parametrize("n", [1, 6, 7, 17])
@pytest.mark.parametrize("size", [1, 3, 5, 20])
def test_two_levels_equal_one_query_at_a_time(n, size):
    parts = qkv(n)
    y = two_level_attention(*parts, size=size)
    torch.testing.assert_close(y, two_level_attention_naive(*parts, size=size), **EXACT)


def test_two_levels_are_full_attention_where_earlier_blocks_are_uniform_and_are_causal():
    queries, keys, values = qkv(12)
    even = [x[:, ::4].repeat_interleave(4, 1) for x in (keys, values)]
    mask = torch.ones(2, 12, 12, dtype=torch.bool).tril()
    y = two_level_attention(queries, *even, size=4)
    torch.testing.assert_close(y, attend(queries, *even, mask)[0], **EXACT)
    uneven = two_level_attention(queries, keys, values, size=4)
    assert (uneven - attend(queries, keys, values, mask)[0]).abs().max() > 0.01
    values.requires_grad_()
    y = two_level_attention(queries, keys, values, size=4)
    (gradient,) = torch.autograd.grad(y[:, 6].sum(), values)
    assert gradient[:, 7:].abs().max() == 0
    assert (gradient[:, :7].abs().amax((0, 2, 3)) > 0).all()


def test_block_sums_leave_padding_out_and_give_the_last_tokens_to_the_last_whole_block():
    x = torch.arange(1.0, 8.0).repeat(2, 1)[..., None]
    positions = torch.stack([torch.arange(7), torch.tensor([0, 1, 2, -1, -1, -1, -1])])
    sums, block, real = block_sums(x, positions, 3)
    assert sums[..., 0].tolist() == [[6.0, 22.0], [6.0, 0.0]]
    assert block.tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, -1, -1, -1, -1]]
    assert real.tolist() == [[True, True], [True, False]]
    sums, block, real = block_sums(x, positions, 8)
    assert sums.shape[1] == 0
    assert block.max() == -1


def test_a_summary_is_felt_everywhere_and_without_one_nothing_is():
    layer = TransientGlobalAttention(8, 2, 4, distance=1, size=4).double()
    x = torch.randn(1, 12, 8, dtype=torch.float64, requires_grad=True)
    for n, far in ((12, True), (3, False)):
        part = x[:, :n]
        y = layer(part, torch.arange(n)[None])
        (gradient,) = torch.autograd.grad(y[:, -1].sum(), x)
        assert (gradient[0, 0].abs().max() > 0) == far


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="size=0"):
        two_level_attention(*qkv(3), size=0)
    with pytest.raises(ValueError, match="size=0"):
        TransientGlobalAttention(8, 2, 4, distance=1, size=0)
    with pytest.raises(ValueError, match="distance=-1"):
        TransientGlobalAttention(8, 2, 4, distance=-1, size=2)
    with pytest.raises(ValueError, match="distance=-1"):
        LongformerAttention(8, 2, 4, distance=-1)
