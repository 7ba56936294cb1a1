"""Banded attention by chunks: equal to the mask, with gradients, at lengths that no chunk divides."""

import pytest
import torch

from course_lib.layers.attention.blocks import attend_blocks, into_blocks
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.sliding_window import (
    More,
    banded_attention,
    banded_attention_naive,
    local_window_attention,
    sliding_window_attention,
)
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, local_window, sliding_window
from course_lib.layers.positions.bias import RelativeBias

EXACT = {"rtol": 1e-11, "atol": 1e-12}


def qkv(n, heads=4, groups=2, width=4, value_width=4, batch=2):
    shapes = (heads, width), (groups, width), (groups, value_width)
    return [torch.randn(batch, n, *shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def numbered(n, batch=2):
    return torch.arange(n).expand(batch, n)


def gradients(y, parts):
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    return torch.autograd.grad((y * weights).sum(), parts)


@pytest.mark.parametrize("n", [1, 2, 7, 13, 33])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (2, 2), (0, 4), (50, 50)])
def test_the_band_equals_masked_attention_with_gradients(n, before, after):
    parts = qkv(n)
    mask = torch.ones(n, n, dtype=torch.bool).tril(after).triu(-before).expand(2, n, n)
    whole, _ = attend(*parts, mask)
    for chunk in (None, 1, 4, 5, 100):
        y = banded_attention(*parts, before=before, after=after, chunk=chunk)
        torch.testing.assert_close(y, whole, **EXACT)
        torch.testing.assert_close(gradients(y, parts), gradients(whole, parts), **EXACT)
        whole, _ = attend(*parts, mask)


@pytest.mark.parametrize(("before", "after"), [(3, 0), (2, 2), (0, 1)])
def test_one_query_at_a_time_gives_the_same(before, after):
    parts = [x.detach() for x in qkv(9, value_width=5)]  # values of another width than keys
    y = banded_attention(*parts, before=before, after=after, chunk=4)
    plain = banded_attention_naive(*parts, before=before, after=after)
    torch.testing.assert_close(y, plain, **EXACT)


def test_the_two_windows_follow_the_rules_of_the_masks():
    parts, places = qkv(21), numbered(21)
    one_sided = (CAUSAL & sliding_window(5)).mask(places, places)
    y = sliding_window_attention(*parts, window=5, chunk=4)
    torch.testing.assert_close(y, attend(*parts, one_sided)[0], **EXACT)
    two_sided = (BIDIRECTIONAL & local_window(5)).mask(places, places)
    y = local_window_attention(*parts, distance=5, chunk=4)
    torch.testing.assert_close(y, attend(*parts, two_sided)[0], **EXACT)


def test_a_window_as_long_as_the_text_is_full_attention_and_one_shorter_is_not():
    parts, places = qkv(12), numbered(12)
    full = attend(*parts, CAUSAL.mask(places, places))[0]
    torch.testing.assert_close(sliding_window_attention(*parts, window=12), full, **EXACT)
    y = sliding_window_attention(*parts, window=11)
    torch.testing.assert_close(y[:, :11], full[:, :11], **EXACT)
    assert (y[:, 11] - full[:, 11]).abs().max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_neither_seen_nor_sees(side):
    parts = qkv(11)
    places = torch.stack([torch.arange(11), torch.arange(11)])
    if side == "left":
        places[1] = torch.tensor([-1, -1, -1, *range(8)])
    else:
        places[1, 8:] = -1
    mask = (BIDIRECTIONAL & local_window(2)).mask(places, places)
    y = local_window_attention(*parts, places, distance=2, chunk=3)
    torch.testing.assert_close(y, attend(*parts, mask)[0], **EXACT)
    assert not y[1][places[1] < 0].any()


def test_further_keys_join_the_same_softmax():
    parts = qkv(14)
    more_keys, more_values = qkv(3)[1:]
    more_mask = torch.rand(2, 14, 3) > 0.4
    places = numbered(14)
    mask = torch.cat(((CAUSAL & sliding_window(4)).mask(places, places), more_mask), -1)
    keys, values = torch.cat((parts[1], more_keys), 1), torch.cat((parts[2], more_values), 1)
    whole, _ = attend(parts[0], keys, values, mask)
    more = More(more_keys, more_values, more_mask)
    y = sliding_window_attention(*parts, window=4, more=more, chunk=5)
    torch.testing.assert_close(y, whole, **EXACT)


@pytest.mark.parametrize("with_bias", ["band", "more", "both"])
def test_a_bias_on_the_band_and_on_the_further_keys(with_bias):
    parts, places = qkv(11), numbered(11)
    more_keys, more_values = qkv(3)[1:]
    table = RelativeBias(4, buckets=8, max_distance=6).double()
    nothing = torch.zeros(2, 4, 11, 11, dtype=torch.float64)
    further = torch.randn(2, 4, 11, 3, dtype=torch.float64)
    on_band = None if with_bias == "more" else table
    on_more = None if with_bias == "band" else further
    near = nothing if on_band is None else table(places, places)
    far = torch.zeros_like(further) if on_more is None else further
    all_more = torch.ones(2, 11, 3, dtype=torch.bool)
    mask = torch.cat(((BIDIRECTIONAL & local_window(3)).mask(places, places), all_more), -1)
    keys, values = torch.cat((parts[1], more_keys), 1), torch.cat((parts[2], more_values), 1)
    whole, _ = attend(parts[0], keys, values, mask, bias=torch.cat((near, far), -1))
    more = More(more_keys, more_values, all_more, on_more)
    y = local_window_attention(*parts, distance=3, more=more, position_bias=on_band, chunk=4)
    torch.testing.assert_close(y, whole, **EXACT)


def test_a_scale_and_heads_of_their_own():
    parts = qkv(10, heads=3, groups=3)
    mask = (CAUSAL & sliding_window(3)).mask(numbered(10), numbered(10))
    y = sliding_window_attention(*parts, window=3, scale=0.7)
    torch.testing.assert_close(y, attend(*parts, mask, scale=0.7)[0], **EXACT)


def test_blocks_take_a_bias_and_a_mask_for_all():
    q, k, v = (torch.randn(1, 3, size, 2, 4, dtype=torch.float64) for size in (2, 5, 5))
    mask, bias = torch.rand(1, 1, 2, 5) > 0.3, torch.randn(1, 1, 2, 2, 5, dtype=torch.float64)
    mask[..., 0] = True
    y = attend_blocks(q, k, v, mask, bias=bias)
    for i in range(3):
        one = attend(q[:, i], k[:, i], v[:, i], mask[:, 0], bias=bias[:, 0])[0]
        torch.testing.assert_close(y[:, i], one, **EXACT)
    assert into_blocks(torch.ones(1, 5), 3).tolist() == [[[1, 1, 1], [1, 1, 0]]]


def test_wrong_arguments_are_refused():
    parts = qkv(4)
    for options, problem in (
        ({"before": -1}, "before=-1"),
        ({"before": 0, "after": -2}, "after=-2"),
        ({"before": 1, "chunk": 0}, "size=0"),
    ):
        with pytest.raises(ValueError, match=problem):
            banded_attention(*parts, **options)
    with pytest.raises(ValueError, match="window=0"):
        sliding_window_attention(*parts, window=0)
    with pytest.raises(ValueError, match="distance=-1"):
        local_window_attention(*parts, distance=-1)
    with pytest.raises(ValueError, match="kv_heads=2"):
        banded_attention(*qkv(4, heads=3), before=1)
