"""Position biases on the scores: ALiBi's slopes, and T5's relative bias, learned for
buckets of distances.

Symbols: t queries, s keys, h heads, q and k positions of a query and a key, m_h a
head's slope, n buckets. Both add to the score of a pair a number that depends on k - q
alone, so the bias is made from positions, as a mask is, and holds for padding, a cache
with free slots and a ring buffer.

Terms:
    ALiBi, attention with linear biases: a score falls with the distance, at a fixed
        slope for each head -> alibi_slopes, AlibiBias
    T5 relative bias, relative position bias: a learned number for each head and bucket
        of distances, added to the score -> RelativeBias
    relative position buckets, T5 buckets: small distances by themselves, larger ones in
        buckets that widen -> t5_buckets
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def alibi_slopes(heads: int) -> Float[Tensor, " h"]:
    """How steeply each head's score falls with the distance.

    *Equation*: for h a power of two, m_i = 2^(-8 i / h), i = 1 .. h. Else the slopes of
        the next lower power p, then every other one of 2 p heads', beginning with the
        first, until there are h.

    Raises:
        ValueError: `heads` is below 1.

    *Source*: Press et al. 2021, section 3, arXiv:2108.12409; other head counts, the
        authors' code.

    >>> alibi_slopes(3).tolist()  # two heads' slopes, then the first of four heads'
    [0.0625, 0.00390625, 0.25]
    """
    if heads < 1:
        raise ValueError(f"heads={heads}: allowed are whole numbers from 1")
    lower = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * i / lower) for i in range(1, lower + 1)]
    between = [2 ** (-4 * i / lower) for i in range(1, 2 * lower + 1, 2)]
    return torch.tensor(slopes + between[: heads - lower], dtype=torch.float64)


class AlibiBias(nn.Module):
    """Attention with linear biases: the score of a key falls with its distance, at each
    head's own slope.

    *Equation*: bias = -m_h |q - k|.

    Args:
        heads: h.

    Raises:
        ValueError: `heads` is below 1.

    *Cost*: no parameters; b h t s numbers a call.
    *Source*: Press et al. 2021, arXiv:2108.12409.
    *Differs from source*: |q - k| also for keys ahead, which a causal mask hides. BLOOM
        adds m_h k instead: that differs by m_h q along a row, which softmax does not
        see.

    >>> AlibiBias(heads=2)(torch.tensor([[2]]), torch.tensor([[0, 1, 2]])).tolist()
    [[[[-0.125, -0.0625, 0.0]], [[-0.0078125, -0.00390625, 0.0]]]]
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        alibi_slopes(heads)  # refuses a wrong number here, not in the first call

    def forward(
        self, query_positions: Int[Tensor, "b t"], key_positions: Int[Tensor, "b s"]
    ) -> Float[Tensor, "b h t s"]:
        distance = (query_positions[:, :, None] - key_positions[:, None, :]).abs()
        slopes = alibi_slopes(self.heads).to(distance.device)
        return slopes[None, :, None, None] * -distance[:, None]


def t5_buckets(
    distance: Int[Tensor, "*axes"],
    *,
    buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
) -> Int[Tensor, "*axes"]:
    """Which row of T5's table a distance reads: near ones have their own, far ones
    share.

    *Equation*: half of a side's n buckets hold one distance each. The rest grow with
        its logarithm up to `max_distance`, and the last takes all that is further.
        Bidirectional gives each side half of the table, the keys ahead the upper half;
        causal counts keys ahead as distance 0.

    Args:
        distance: k - q, how far ahead of the query the key stands.
        buckets: rows of the table; even if bidirectional.
        max_distance: from here on all distances share a bucket.

    Raises:
        ValueError: `buckets` is below 2 a side or odd where both sides share it, or
            `max_distance` is not above a side's exact buckets.

    *Source*: Raffel et al. 2020, section 2.1, arXiv:1910.10683; its rounding, the
        authors' code.

    >>> t5_buckets(torch.tensor([-200, -8, -1, 0, 1, 8])).tolist()
    [15, 8, 1, 0, 17, 24]
    """
    side = buckets // 2 if bidirectional else buckets
    exact = side // 2
    if side < 2 or (bidirectional and buckets % 2):
        raise ValueError(
            f"buckets={buckets}: allowed are numbers from 2 "
            "(bidirectional: even ones from 4)"
        )
    if max_distance <= exact:
        raise ValueError(
            f"max_distance={max_distance}: allowed are numbers above {exact}, its "
            "exact buckets"
        )
    ahead = (
        side * (distance > 0).long() if bidirectional else torch.zeros_like(distance)
    )
    far = distance.abs() if bidirectional else (-distance).clamp(min=0)
    # In float32 and in this order, as the published models were trained: a bucket's
    # edge hangs on it.
    growth = (
        torch.log(far.float() / exact) / math.log(max_distance / exact) * (side - exact)
    )
    shared = exact + growth.clamp(min=0).long()
    return ahead + torch.where(far < exact, far, shared.clamp(max=side - 1))


class RelativeBias(nn.Module):
    """T5's relative positions: a learned number a head for each bucket of distances.

    *Equation*: bias = table[bucket(k - q), h].

    Args:
        heads: h.
        buckets, max_distance, bidirectional: as in `t5_buckets`.

    Raises:
        ValueError: as `t5_buckets` does.

    *Cost*: n h parameters, once a stack: its layers share one module; b h t s numbers a
        call.
    *Source*: Raffel et al. 2020, section 2.1, arXiv:1910.10683.

    >>> positions = torch.tensor([[0, 1, 2]])
    >>> RelativeBias(heads=4, buckets=8)(positions, positions).shape
    torch.Size([1, 4, 3, 3])
    """

    def __init__(
        self,
        heads: int,
        *,
        buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        self.options = {
            "buckets": buckets,
            "max_distance": max_distance,
            "bidirectional": bidirectional,
        }
        t5_buckets(
            torch.zeros(1, dtype=torch.long), **self.options
        )  # refuses wrong numbers here
        self.table = nn.Embedding(buckets, heads)

    def forward(
        self, query_positions: Int[Tensor, "b t"], key_positions: Int[Tensor, "b s"]
    ) -> Float[Tensor, "b h t s"]:
        distance = key_positions[:, None, :] - query_positions[:, :, None]
        return self.table(t5_buckets(distance, **self.options)).permute(0, 3, 1, 2)
