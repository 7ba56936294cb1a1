"""Sliding-window attention in linear time and memory: the band of the score matrix is
computed, and the rest is not.

Symbols: n tokens, W the window (a query and the W - 1 keys before it), c queries in a
chunk. One-sided, a query at t attends to t - W + 1 .. t; two-sided with distance r, to
t - r .. t + r.

    queries   | chunk 0 | chunk 1 | chunk 2 |        c queries each
    keys of chunk 1:   [W - 1 before | c]            c + W - 1 keys each, gathered

Each chunk is attended to its own keys, all chunks as one batch: n (c + W - 1) scores
against n n. A chunk costs (c + W - 1) / W times what the band itself would: nearly 2
with c = W, and 1.25 with c = W / 4, where a key is copied five times.

`banded_attention_naive` takes one query at a time. The mask forms of the same rule are
`masks.sliding_window` and `masks.local_window`.

Terms:
    banded attention, chunked sliding window: only the band of scores around the
        diagonal is computed, in chunks of queries -> banded_attention,
        sliding_window_attention, local_window_attention, banded_attention_naive
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.blocks import attend_blocks, into_blocks
from course_lib.layers.attention.forms import queries_per_kv_head
from course_lib.layers.masks import EMPTY, MaskMod, local_window, sliding_window

LEAST_CHUNK = 64  # measured: shorter ones cost more in copies than they save


class More(NamedTuple):
    """Keys beside the band, which join its softmax: global tokens, summaries.

    Attributes:
        keys, values: of j of them.
        mask: which tokens attend to which of them.
        bias: added to each head's scores.
    """

    keys: Float[Tensor, "b j g k"]
    values: Float[Tensor, "b j g v"]
    mask: Bool[Tensor, "b n j"]
    bias: Float[Tensor, "b h n j"] | None = None


def banded_attention_naive(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    *,
    before: int,
    after: int = 0,
) -> Float[Tensor, "b n h v"]:
    """One query of one head at a time: cut out its keys, take the softmax, sum."""
    in_group = queries_per_kv_head(queries.shape[2], keys.shape[2])
    y = values.new_zeros(*queries.shape[:3], values.shape[-1])
    for b, t, h in torch.cartesian_prod(*map(torch.arange, y.shape[:3])).tolist():
        near = slice(max(0, t - before), t + after + 1)
        scores = keys[b, near, h // in_group] @ queries[b, t, h]
        weights = torch.softmax(scores * queries.shape[-1] ** -0.5, 0)
        y[b, t, h] = weights @ values[b, near, h // in_group]
    return y


def banded_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    positions: Int[Tensor, "b n"] | None = None,
    *,
    before: int,
    after: int = 0,
    more: More | None = None,
    position_bias: nn.Module | None = None,
    chunk: int | None = None,
    scale: float | None = None,
) -> Float[Tensor, "b n h v"]:
    """Attention of each token to those at most `before` places behind it and `after`
    places ahead.

    *Equation*: that of `attend` with the mask t - before <= s <= t + after.

    Args:
        queries, keys, values: of the same n tokens; g divides h.
        positions: where the tokens stand, rising along a row, -1 for padding; 0 to n -
            1 when left out.
        before, after: places.
        more: further keys that join the softmax.
        position_bias: a module from positions to a bias on the scores in the band, of
            which only the distance between two tokens counts.
        chunk: c, queries taken together, a quarter of the window (64 at the least)
            when left out; it need not divide n.
        scale: factor on the scores, 1 / sqrt(k) when left out.

    Raises:
        ValueError: `before` or `after` is below 0, `chunk` below 1, or g does not
        divide h.

    *Cost*: 2 b n (c + before + after) h (k + v) FLOPs; memory in proportion to n, in
        the backward pass too.
    *Source*: Beltagy et al. 2020, section 3.2 ("sliding chunks"), arXiv:2004.05150.
    *Differs from source*: chunks need not be as long as the window.

    >>> x = torch.arange(4.0).view(1, 4, 1, 1)
    >>> y = banded_attention(torch.zeros_like(x), x, x, before=1)
    >>> y.flatten().tolist()  # the mean of a value and the one before it
    [0.0, 0.5, 1.5, 2.5]
    """
    for name, places in (("before", before), ("after", after)):
        if places < 0:
            raise ValueError(f"{name}={places}: allowed are whole numbers from 0")
    queries_per_kv_head(queries.shape[2], keys.shape[2])
    batch, length = queries.shape[:2]
    if positions is None:
        positions = torch.arange(length, device=queries.device)[None]
    if chunk is None:
        chunk = max((before + after + 1) // 4, LEAST_CHUNK)
    size = min(chunk, length)

    cut = into_blocks(queries, size)  # [b m c h k]
    keys_near, values_near = (_gather(x, size, before, after) for x in (keys, values))
    query_at = into_blocks(positions, size, EMPTY).flatten(0, 1)
    key_at = _gather(positions, size, before, after, EMPTY).flatten(0, 1)
    band = MaskMod(lambda t, s: (t - s <= before) & (s - t <= after))
    mask = band.mask(query_at, key_at).unflatten(0, (len(positions), -1))
    bias = None
    if position_bias is not None:  # the same in each chunk: [1 1 h c s]
        at = torch.arange(-before, size + after, device=queries.device)[None]
        bias = position_bias(at[:, before : before + size], at)[:, None]
    if more is not None:
        keys_near, values_near = (
            _beside(keys_near, more.keys),
            _beside(values_near, more.values),
        )
        mask = torch.cat(
            (mask.expand(batch, -1, -1, -1), into_blocks(more.mask, size)), -1
        )
        bias = _bias_beside(bias, more.bias, size, mask)
    y = attend_blocks(cut, keys_near, values_near, mask, scale=scale, bias=bias)
    return y.flatten(1, 2)[:, :length]


def sliding_window_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    positions: Int[Tensor, "b n"] | None = None,
    *,
    window: int,
    **options,
) -> Float[Tensor, "b n h v"]:
    """A decoder's window: each token attends to the W newest, itself among them.

    `options` and errors are those of `banded_attention`; a `window` below 1 is a
    ValueError.
    """
    sliding_window(window)  # refuses a wrong number
    parts = queries, keys, values, positions
    return banded_attention(*parts, before=window - 1, **options)


def local_window_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    positions: Int[Tensor, "b n"] | None = None,
    *,
    distance: int,
    **options,
) -> Float[Tensor, "b n h v"]:
    """An encoder's window: each token attends to those at most `distance` away, on both
    sides.

    `options` and errors are those of `banded_attention`; a `distance` below 0 is a
    ValueError.
    """
    local_window(distance)  # refuses a wrong number
    parts = queries, keys, values, positions
    return banded_attention(*parts, before=distance, after=distance, **options)


def _gather(x: Tensor, size: int, before: int, after: int, fill: float = 0) -> Tensor:
    """For each chunk its own tokens, those before it and those after: [b n ...] to [b m
    s ...], a view of one padded copy.

    >>> _gather(torch.tensor([[1, 2, 3]]), 2, 1, 0).tolist()
    [[[0, 1, 2], [2, 3, 0]]]
    """
    further = [0, 0] * (x.ndim - 2)
    padded = F.pad(x, [*further, before, -x.shape[1] % size + after], value=fill)
    return padded.unfold(1, before + size + after, size).movedim(-1, 2)


def _beside(gathered: Tensor, more: Tensor) -> Tensor:
    """The keys of every block, and behind them those that all blocks share."""
    shared = more[:, None].expand(-1, gathered.shape[1], -1, -1, -1)
    return torch.cat((gathered, shared), 2)


def _bias_beside(
    near: Tensor | None, more: Tensor | None, size: int, mask: Tensor
) -> Tensor | None:
    """The bias on the band [1 1 h c s] and on the further keys [b h n j], side by side
    for each block; zeros where one of them has none.
    """
    if near is None and more is None:
        return None
    if more is not None:
        more = into_blocks(more.movedim(2, 1), size).transpose(2, 3)  # [b m h c j]
    if near is None:
        near = more.new_zeros(1, 1, 1, 1, mask.shape[-1] - more.shape[-1])
    if more is None:
        more = near.new_zeros(1, 1, 1, 1, mask.shape[-1] - near.shape[-1])
    heads = max(near.shape[2], more.shape[2])
    shape = *mask.shape[:2], heads, mask.shape[2]
    return torch.cat([x.expand(*shape, -1) for x in (near, more)], -1)
