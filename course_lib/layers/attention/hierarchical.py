"""Hierarchical attention: tokens attend to tokens nearby and to summaries of blocks,
which stand for what is far.

Symbols: n tokens in blocks of c, of which n // c are whole.

    transient-global   a window of r on either side, and one summary of every block:
    (LongT5)           norm(sum of the block's vectors), from which the layer's own
                       projections make a key and a value. n (2 r + 1 + n / c) scores.
                       The summaries are made anew in each layer, hence "transient"
    two levels         causal: the own block token by token, and of each earlier block
    (of our own)       the mean key and the mean value. n (c + n / c) scores, fewest
                       with c = sqrt(n)

A summary of c tokens that counts as one key is outvoted by c single keys. `two_level`
therefore adds log c to its score: where the keys of a block are equal and its values
too, it is then full attention, exactly. What differs within a block, a query cannot
tell apart: that is the price.

Terms:
    hierarchical attention, block summaries, two-level attention: near tokens one by
        one, far ones as summaries of blocks -> two_level_attention,
        two_level_attention_naive
    transient-global attention, LongT5: a window and a summary of every block, made
        anew in each layer -> TransientGlobalAttention
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.blocks import attend_blocks, into_blocks
from course_lib.layers.attention.forms import queries_per_kv_head
from course_lib.layers.attention.layer import AttentionHeads
from course_lib.layers.attention.sliding_window import More, local_window_attention
from course_lib.layers.norms import RMSNorm


class TransientGlobalAttention(AttentionHeads):
    """LongT5's encoder layer: a window and a summary of each block, in one softmax.

    Args:
        d, heads, head_dim: model width, h and k.
        distance: r, tokens on either side of the window.
        size: c, tokens in a block that is summed up.
        local_bias, summary_bias: modules from positions to a bias: by the distance in
            tokens, and by the distance in blocks. The layers of a stack share them;
            None for none.
        norm_eps: of the norm on the sums.

    Raises:
        ValueError: `distance` is below 0 or `size` below 1.

    *Cost*: 4 d h k + d parameters; 4 n (2 r + 1 + n / c) h k FLOPs for scores and sums.
    *Source*: Guo et al. 2021, section 3.1, arXiv:2112.07916. The scores are not scaled,
        as in T5.

    >>> layer = TransientGlobalAttention(8, 2, 4, distance=1, size=2)
    >>> layer(torch.zeros(1, 5, 8), torch.arange(5)[None]).shape
    torch.Size([1, 5, 8])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        head_dim: int,
        *,
        distance: int,
        size: int,
        local_bias: nn.Module | None = None,
        summary_bias: nn.Module | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__(d, heads, heads, head_dim, scale=1.0)
        for name, number, least in (("distance", distance, 0), ("size", size, 1)):
            if number < least:
                raise ValueError(
                    f"{name}={number}: allowed are whole numbers from {least}"
                )
        self.distance, self.size = distance, size
        self.local_bias, self.summary_bias = local_bias, summary_bias
        self.summary_norm = RMSNorm(d, norm_eps)

    def forward(
        self, x: Float[Tensor, "b n d"], positions: Int[Tensor, "b n"]
    ) -> Float[Tensor, "b n d"]:
        """Mix the tokens of each row; `positions` rise, -1 for padding."""
        sums, block, real = block_sums(x, positions, self.size)
        summaries = self.summary_norm(sums)
        bias, count = None, torch.arange(sums.shape[1], device=x.device)
        if self.summary_bias is not None:
            bias = self.summary_bias(block, count.expand(len(x), -1))
        mask = real[:, None] & (positions >= 0)[..., None]
        more = More(self.keys(summaries), self.values(summaries), mask, bias)
        parts = self.queries(x), self.keys(x), self.values(x), positions
        options = {"position_bias": self.local_bias, "scale": self.scale}
        y = local_window_attention(*parts, distance=self.distance, more=more, **options)
        return self.wo(y.flatten(2))


def block_sums(
    x: Float[Tensor, "b n d"], positions: Int[Tensor, "b n"], size: int
) -> tuple[Float[Tensor, "b j d"], Int[Tensor, "b n"], Bool[Tensor, "b j"]]:
    """The sum of the vectors of each whole block; the tokens after the last one count
    to it.

    Returns:
        the sums, the block of each token (-1 for padding, and where no block is whole),
        and which sums a row has.

    *Source*: Guo et al. 2021, section 3.1, arXiv:2112.07916; what becomes of the last
        tokens, transformers 5.23.

    >>> x = torch.arange(1.0, 6.0).view(1, 5, 1)
    >>> sums, block, real = block_sums(x, torch.arange(5)[None], 2)
    >>> sums.flatten().tolist(), block.tolist()
    ([3.0, 12.0], [[0, 0, 1, 1, 1]])
    """
    whole = (positions.max(-1).values + 1) // size  # [b]
    block = torch.minimum(positions // size, whole[:, None] - 1)
    block = block.masked_fill(positions < 0, -1)
    count = x.shape[1] // size
    place = torch.where(block < 0, count, block)[..., None].expand_as(x)
    sums = x.new_zeros(len(x), count + 1, x.shape[-1]).scatter_add(1, place, x)
    real = torch.arange(count, device=x.device) < whole[:, None]
    return sums[:, :count], block, real


def two_level_attention_naive(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    *,
    size: int,
) -> Float[Tensor, "b n h v"]:
    """One query of one head at a time: the means of the earlier blocks, the keys of its
    own, one softmax.
    """
    in_group = queries_per_kv_head(queries.shape[2], keys.shape[2])
    y = values.new_zeros(*queries.shape[:3], values.shape[-1])
    for b, t, h in torch.cartesian_prod(*map(torch.arange, y.shape[:3])).tolist():
        k, v = keys[b, :, h // in_group], values[b, :, h // in_group]
        start = t // size * size
        far = range(0, start, size)
        k_all = [k[i : i + size].mean(0) for i in far] + list(k[start : t + 1])
        v_all = [v[i : i + size].mean(0) for i in far] + list(v[start : t + 1])
        scores = torch.stack(k_all) @ queries[b, t, h] * queries.shape[-1] ** -0.5
        scores[: len(far)] += math.log(size)
        y[b, t, h] = scores.softmax(0) @ torch.stack(v_all)
    return y


def two_level_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    *,
    size: int,
    scale: float | None = None,
) -> Float[Tensor, "b n h v"]:
    """Causal attention of two levels: the own block of c token by token, each earlier
    block by its mean key and mean value.

    *Equation*: a = softmax(scale * q . K, scale * q . mean(K_i) + log c), y = a [V;
        mean(V_i)].

    Raises:
        ValueError: `size` is below 1, or g does not divide h.

    *Cost*: 2 n (c + n / c) h (k + v) FLOPs; least with c = sqrt(n). A cache needs the
        keys of the own block and the means: c + n / c tokens.

    >>> x = torch.tensor([1.0, 1.0, 5.0]).view(1, 3, 1, 1)
    >>> y = two_level_attention(torch.zeros_like(x), x, x, size=2)
    >>> round(y[0, 2].item(), 4)  # (2 * 1 + 5) / 3, as full attention
    2.3333
    """
    queries_per_kv_head(queries.shape[2], keys.shape[2])
    length = queries.shape[1]
    queries, keys, values = (into_blocks(x, size) for x in (queries, keys, values))
    count = queries.shape[1]
    keys, values = (
        torch.cat((x, x.mean(2)[:, None].expand(-1, count, *x.mean(2).shape[1:])), 2)
        for x in (keys, values)
    )  # [b m c+m g k]: the own block, the means of all blocks
    own = torch.ones(size, size, dtype=torch.bool, device=keys.device).tril()
    earlier = torch.ones(count, count, dtype=torch.bool, device=keys.device).tril(-1)
    mask = torch.cat(
        (own.expand(count, -1, -1), earlier[:, None].expand(-1, size, -1)), -1
    )
    bias = keys.new_zeros(size + count)
    bias[size:] = math.log(size)
    bias = bias.expand(1, 1, queries.shape[3], size, -1)
    y = attend_blocks(queries, keys, values, mask[None], scale=scale, bias=bias)
    return y.flatten(1, 2)[:, :length]
