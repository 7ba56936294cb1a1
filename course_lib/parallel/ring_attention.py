"""Ring attention (context parallelism): the tokens of one text lie on D ranks, and keys
and values go round.

Symbols: D ranks, n tokens on each; h, g, k, v as in `forms`; lse the log-sum-exp of a
query's scores.

    step 0   each rank attends to its own keys
    step i   ... to those of the rank i places to its left, which arrive from its
             neighbour while it computes on the ones before

A query's output over all keys is the mean of its outputs over the D pieces, weighted by
exp(lse): the merge of `split_kv`, one piece at a time. It is exact. No rank ever holds
the keys of more than two pieces.

Backward, keys and values go round again, and with them their gradients, to which each
rank adds its own, until they are back where they belong.

Under a causal mask it matters which tokens a rank holds. In one piece each, rank 0 has
next to nothing to do and the last one everything; `striped` (every D-th token) and
`zigzag` (one early and one late piece) give all the same: `costs.ring`.

Source: Liu, Zaharia and Abbeel 2023, arXiv:2310.01889; stripes, Brandon et al. 2023,
    arXiv:2311.09431.

Terms:
    ring attention, context parallelism: one text over several ranks, whose keys and
        values go round a ring -> ring_attention
    striped attention, zigzag layout: which tokens a rank holds, so that a causal mask
        leaves all ranks the same work -> tokens_of, shard
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.costs.ring import check_layout
from course_lib.layers.attention.flash import flash_attention
from course_lib.layers.attention.split_kv import merge_chunks
from course_lib.layers.masks import CAUSAL, EMPTY, MaskMod
from course_lib.parallel.ranks import Ranks


def tokens_of(
    rank: int, count: int, length: int, layout: str = "striped"
) -> Int[Tensor, " n"]:
    """The positions of the tokens that a rank holds, -1 where it is filled up: all
    ranks hold equally many.

    Raises:
        ValueError: `layout` is none of `costs.ring.LAYOUTS`, `length` or `count` is
        below 1, or `rank` none of the `count`.

    >>> [tokens_of(r, 2, 7).tolist() for r in range(2)]
    [[0, 2, 4, 6], [1, 3, 5, -1]]
    >>> [tokens_of(r, 2, 8, "zigzag").tolist() for r in range(2)]
    [[0, 1, 6, 7], [2, 3, 4, 5]]
    """
    check_layout(layout)
    if length < 1 or count < 1 or not 0 <= rank < count:
        raise ValueError(
            f"rank={rank}, count={count}, length={length}: allowed are a length and a "
            "count from 1, and ranks below the count"
        )
    pieces = 2 * count if layout == "zigzag" else count
    all_tokens = torch.arange(-(-length // pieces) * pieces)
    if layout == "striped":
        own = all_tokens[rank::count]
    else:
        cut = all_tokens.view(pieces, -1)
        own = cut[rank] if layout == "contiguous" else cut[[rank, pieces - 1 - rank]]
    return own.flatten().masked_fill(own.flatten() >= length, EMPTY)


def shard(x: Float[Tensor, "b t *axes"], tokens: Int[Tensor, " n"]) -> Tensor:
    """x at these positions, zeros where there is none: a rank's share of a text."""
    there = (tokens >= 0).view(1, -1, *[1] * (x.ndim - 2)).to(x.device)
    return x[:, tokens.clamp(min=0)] * there


def ring_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    ranks: Ranks,
    *,
    length: int,
    layout: str = "striped",
    mask_mod: MaskMod = CAUSAL,
    scale: float | None = None,
) -> Float[Tensor, "b n h v"]:
    """Attention of this rank's tokens to all tokens of the text.

    Args:
        queries, keys, values: of this rank's tokens, `tokens_of(ranks.rank, ...)`,
            already turned by their positions.
        ranks: the processes; all of them call this, and backward, in the same order.
        length: tokens of the whole text.
        layout: which tokens a rank holds.
        mask_mod: which query attends to which key, by the positions in the text.
        scale: factor on the scores, 1 / sqrt(k) when left out.

    Returns:
        y of this rank's tokens; zeros where it is filled up.

    Raises:
        ValueError: the tensors do not hold the tokens that `layout` gives a rank, or
        g does not divide h.

    *Cost*: each rank sends `costs.ring.ring_bytes`, in D - 1 messages; its pairs in a
        step are `costs.ring.ring_pairs`. Backward computes each piece once more.
    *Source*: Liu et al. 2023, algorithm 1, arXiv:2310.01889.
    """
    tokens = tokens_of(ranks.rank, ranks.count, length, layout)
    if queries.shape[1] != len(tokens) or keys.shape[1] != len(tokens):
        raise ValueError(
            f"queries and keys of {queries.shape[1]} and {keys.shape[1]} tokens: "
            f"allowed are the {len(tokens)} that {layout} gives a rank of {length}"
        )
    ring = _Ring(ranks, length, layout, mask_mod, scale)
    return _RingAttention.apply(queries, keys, values, ring)


class _Ring:
    """The pieces as they pass by, and attention to one of them."""

    def __init__(self, ranks, length, layout, mask_mod, scale) -> None:
        self.ranks, self.length, self.layout = ranks, length, layout
        self.mask_mod, self.scale = mask_mod, scale

    def pieces(self, both: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(source, its keys and values) for each step; the next ones are on their way
        while the caller computes.
        """
        for step in range(self.ranks.count):
            last = step == self.ranks.count - 1
            arrive = None if last else self.ranks.passing_right(both)
            yield (self.ranks.rank - step) % self.ranks.count, both
            both = both if last else arrive()

    def attend(self, queries, keys, values, source: int) -> tuple[Tensor, Tensor]:
        """(y, lse) of this rank's queries over one piece."""
        places = [
            tokens_of(rank, self.ranks.count, self.length, self.layout)
            .to(queries.device)
            .expand(len(queries), -1)
            for rank in (self.ranks.rank, source)
        ]
        options = {"mask_mod": self.mask_mod, "scale": self.scale}
        return flash_attention(queries, keys, values, *places, **options)


class _RingAttention(torch.autograd.Function):
    """Forward: merge piece by piece. Backward: the same round with the gradients."""

    @staticmethod
    def forward(ctx, queries, keys, values, ring):
        y = lse = None
        for source, both in ring.pieces(torch.cat((keys, values), -1)):
            k, v = both.split((keys.shape[-1], values.shape[-1]), -1)
            found = ring.attend(queries, k, v, source)
            if y is None:
                y, lse = found
            else:
                y, lse = merge_chunks((y, found[0]), (lse, found[1]))
        ctx.save_for_backward(queries, keys, values, y, lse)
        ctx.ring = ring
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        queries, keys, values, y, lse = ctx.saved_tensors
        widths, ring = (keys.shape[-1], values.shape[-1]), ctx.ring
        lse = lse.masked_fill(lse == float("-inf"), 0.0)
        dq, gradients = torch.zeros_like(queries), None
        for source, both in ring.pieces(torch.cat((keys, values), -1)):
            parts = [
                x.detach().requires_grad_() for x in (queries, *both.split(widths, -1))
            ]
            with torch.enable_grad():
                piece_y, piece_lse = ring.attend(*parts, source)
            share = (piece_lse.detach() - lse).exp()
            # y = sum of share y_piece, and share grows with lse_piece:
            d_lse = share * (dy * (piece_y.detach() - y)).sum(-1)
            found = torch.autograd.grad(
                (piece_y, piece_lse), parts, (share[..., None] * dy, d_lse)
            )
            dq += found[0]
            own = torch.cat(found[1:], -1)
            # these gradients belong to `source`, and travel with its keys
            gradients = own if gradients is None else gradients + own
            gradients = ring.ranks.passing_right(gradients)()
        return dq, *gradients.split(widths, -1), None
