"""Attention in tiles: equal to the whole, with its gradients, in memory that grows with the length alone."""

from functools import partial

import pytest
import torch

from course_lib.costs.io import tiled_attention_io
from course_lib.kit.memory import peak_tensor_bytes
from course_lib.layers.attention.flash import flash_attention, softmax_online_naive
from course_lib.layers.attention.forms import attend, attention_naive
from course_lib.layers.attention.hbm_traffic import HBMTraffic
from course_lib.layers.attention.layer import attend_sdpa
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, local_window, prefix, sliding_window
from course_lib.layers.positions.numbering import next_positions, positions_from_padding

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
BLOCKS = [(1, 1), (2, 3), (4, 4), (7, 16), (64, 64)]
RULES = {
    CAUSAL: "causal",
    CAUSAL & sliding_window(3): "window",
    prefix(4): "prefix",
    BIDIRECTIONAL & local_window(2): "near",
}
SHAPES = [(5, 5, 6, 3), (7, 11, 4, 4), (1, 9, 6, 1), (13, 13, 2, 2)]  # t, s, h, g


def qkv(t, s, heads, groups, width=3, value_width=5, batch=2):
    shapes = (batch, t, heads, width), (batch, s, groups, width), (batch, s, groups, value_width)
    return tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)


def gradients(y, inputs):
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return torch.autograd.grad((y * weight).sum(), inputs)


def test_one_pass_over_the_keys_equals_softmax_and_logsumexp():
    scores, values = torch.randn(9).double() * 30, torch.randn(9, 4).double()
    y, lse = softmax_online_naive(scores, values)
    torch.testing.assert_close(y, scores.softmax(0) @ values, **TOLERANCE)
    torch.testing.assert_close(lse, scores.logsumexp(0), **TOLERANCE)


def test_the_largest_score_may_come_last_and_be_huge():
    scores, values = torch.tensor([0.0, 700.0, 1e4]), torch.eye(3)
    y, lse = softmax_online_naive(scores, values)
    assert y.tolist() == [0.0, 0.0, 1.0]
    assert lse.item() == 1e4


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mask_mod", RULES, ids=RULES.get)
def test_tiles_equal_the_whole_with_gradients(shape, blocks, mask_mod):
    t, s, *_ = shape
    inputs = qkv(*shape)
    places = next_positions(s - t, 2, t), next_positions(0, 2, s)
    y, lse = flash_attention(*inputs, *places, mask_mod=mask_mod, block_q=blocks[0], block_k=blocks[1])
    mask = mask_mod.mask(*places)
    expected = attend(*inputs, mask)[0]
    torch.testing.assert_close(y, expected, **TOLERANCE)
    torch.testing.assert_close(y, attention_naive(*inputs, mask), **TOLERANCE)
    for got, want in zip(gradients(y, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, want, **TOLERANCE)
    assert lse.shape == y.shape[:3]


@pytest.mark.parametrize("blocks", BLOCKS)
def test_without_positions_every_query_sees_every_key(blocks):
    inputs = qkv(5, 7, 4, 2)
    y, lse = flash_attention(*inputs, block_q=blocks[0], block_k=blocks[1])
    torch.testing.assert_close(y, attend_sdpa(*inputs), **TOLERANCE)
    scores = torch.einsum("bthk,bshk->bths", inputs[0], inputs[1].repeat_interleave(2, dim=2)) * 3**-0.5
    torch.testing.assert_close(lse, scores.logsumexp(-1), **TOLERANCE)


def test_rows_that_see_nothing_give_zeros_and_finite_gradients():
    inputs = qkv(6, 6, 4, 2)
    places = positions_from_padding(torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]))
    y, lse = flash_attention(*inputs, places, places, block_q=4, block_k=2)
    assert not y[0, :2].any() and not y[1].any()
    assert (lse[0, :2] == float("-inf")).all() and lse[0, 2:].isfinite().all()
    expected = attend(*inputs, CAUSAL.mask(places, places))[0]
    for got, want in zip(gradients(y, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(got, want, **TOLERANCE)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_finite_differences_through_both_results(causal):
    places = (next_positions(0, 1, 5),) * 2 if causal else ()
    tiled = partial(flash_attention, block_q=2, block_k=3)
    assert torch.autograd.gradcheck(lambda q, k, v: tiled(q, k, v, *places), qkv(5, 5, 4, 2, 2, 3, batch=1))


def test_lse_joins_parts_of_the_keys():
    queries, keys, values = qkv(3, 8, 2, 2)
    parts = [flash_attention(queries, keys[:, part], values[:, part]) for part in (slice(0, 3), slice(3, 8))]
    shares = torch.stack([lse for _, lse in parts]).softmax(0)[..., None]
    joined = sum(share * y for share, (y, _) in zip(shares, parts, strict=True))
    torch.testing.assert_close(joined, flash_attention(queries, keys, values)[0], **TOLERANCE)


def test_scale_is_passed_on_and_half_precision_is_summed_wide():
    inputs = qkv(5, 5, 2, 2)
    mask = torch.ones(2, 5, 5, dtype=torch.bool)
    got = flash_attention(*inputs, scale=2.0, block_k=2)[0]
    torch.testing.assert_close(got, attend(*inputs, mask, scale=2.0)[0], **TOLERANCE)
    half = [tensor.detach().bfloat16() for tensor in inputs]
    y, lse = flash_attention(*half, block_k=2, traffic=(traffic := HBMTraffic()))
    assert traffic.written_bytes == y.nbytes + lse.nbytes  # what is stored, not what was summed
    assert (y.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
    exact = attend(*(tensor.float() for tensor in half), mask)[0]
    torch.testing.assert_close(y.float(), exact, rtol=2**-8, atol=0.0)  # one rounding to bfloat16


def test_gradients_in_half_precision_are_summed_wide():
    """Each of 512 queries adds 1/512: summed in bfloat16, they would stop at 1/2."""
    zeros = torch.zeros(1, 512, 1, 1, dtype=torch.bfloat16)
    values = zeros.clone().requires_grad_()
    y, _ = flash_attention(zeros, zeros, values, block_q=1, block_k=512)
    assert (torch.autograd.grad(y.sum(), values)[0] == 1).all()


@pytest.mark.parametrize("causal", [False, True])
def test_memory_grows_with_the_length_and_not_with_its_square(causal):
    def peak(tokens, backward):
        inputs = qkv(tokens, tokens, 2, 1, 8, 8, batch=1)
        places = (next_positions(0, 1, tokens),) * 2 if causal else ()

        def work():
            y, _ = flash_attention(*inputs, *places, block_q=32, block_k=32)
            if backward:
                torch.autograd.grad(y.sum(), inputs)

        return peak_tensor_bytes(work)

    for backward in (False, True):
        one, two, four = (peak(tokens, backward) for tokens in (256, 512, 1024))
        assert four - two == 2 * (two - one) > 0
        assert four < 1024 * 1024 * 8  # the scores of one head alone


@pytest.mark.parametrize("blocks", [(1, 1), (4, 3), (7, 5), (64, 64)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
def test_the_counted_bytes_are_those_of_the_formula(blocks, causal, groups):
    inputs, traffic = qkv(13, 13, 3, groups), HBMTraffic()
    places = (next_positions(0, 2, 13),) * 2 if causal else ()
    flash_attention(*inputs, *places, block_q=blocks[0], block_k=blocks[1], traffic=traffic)
    formula = tiled_attention_io(
        queries=13,
        keys=13,
        key_dim=3,
        value_dim=5,
        heads=3,
        kv_heads=groups,
        batch=2,
        block_q=blocks[0],
        block_k=blocks[1],
        causal=causal,
        bytes_per_element=8,
        statistic_bytes=8,
    )
    assert (traffic.read_bytes, traffic.written_bytes) == (formula.read_bytes, formula.written_bytes)


def test_a_window_loads_only_the_tiles_it_touches():
    full, windowed = HBMTraffic(), HBMTraffic()
    inputs, places = qkv(32, 32, 1, 1), (next_positions(0, 2, 32),) * 2
    flash_attention(*inputs, *places, block_q=4, block_k=4, traffic=full)
    flash_attention(
        *inputs, *places, mask_mod=CAUSAL & sliding_window(4), block_q=4, block_k=4, traffic=windowed
    )
    queries, tile = inputs[0].nbytes, (inputs[1].nbytes + inputs[2].nbytes) // 8
    assert full.read_bytes == queries + (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8) * tile
    assert windowed.read_bytes == queries + (1 + 7 * 2) * tile


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_q": 0}, "block_q=0"),
        ({"block_k": -1}, "block_k=-1"),
        ({"query_positions": torch.zeros(2, 5, dtype=torch.long)}, "key_positions is missing"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        flash_attention(*qkv(5, 5, 4, 2), **options)
