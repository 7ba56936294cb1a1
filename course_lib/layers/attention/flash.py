"""FlashAttention (reference): the [t s] scores are computed tile by tile, and none is
kept.

Symbols: t queries, s keys, z a score, m the largest score so far, l the sum of exp(z -
m) so far, y the weighted sum of values so far, lse = m + log l. FlashAttention's paper
writes N for t = s, and B_r x B_c for a tile. A larger maximum m' rescales what was
summed before it by exp(m - m'); that is all "online" means.

`softmax_online_naive` is the recurrence, one key at a time. `flash_attention` walks
over tiles. Its backward pass recomputes the scores from q, k and the one saved number a
row, lse: memory is O(t + s), not O(t s).

Terms:
    FlashAttention, tiled attention: attention one tile of scores at a time, with no
        score matrix in memory -> flash_attention
    online softmax: a softmax summed key by key, rescaled whenever a larger score comes
        -> softmax_online_naive
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.layers.attention.forms import queries_per_kv_head
from course_lib.layers.attention.hbm_traffic import HBMTraffic
from course_lib.layers.masks import CAUSAL, MaskMod


def softmax_online_naive(
    scores: Float[Tensor, " s"], values: Float[Tensor, "s v"]
) -> tuple[Float[Tensor, " v"], Float[Tensor, ""]]:
    """softmax(scores) @ values and the log-sum-exp of the scores, in one pass over the
    keys.

    *Equation*: m' = max(m, z); l' = l e^(m - m') + e^(z - m'); y' = y e^(m - m') + e^(z
        - m') V; at the end y / l and m + log l. The scores are finite.
    *Source*: Milakov and Gimelshein 2018, algorithm 3, arXiv:1805.02867; the values,
        Rabe and Staats 2021, arXiv:2112.05682.

    >>> y, lse = softmax_online_naive(torch.zeros(2), torch.tensor([[1.0], [3.0]]))
    >>> y.tolist(), round(lse.exp().item(), 3)
    ([2.0], 2.0)
    """
    highest, total = scores.new_tensor(float("-inf")), scores.new_zeros(())
    y = values.new_zeros(values.shape[-1])
    for z, value in zip(scores, values, strict=True):
        higher = torch.maximum(highest, z)
        before, share = torch.exp(highest - higher), torch.exp(z - higher)
        highest, total, y = higher, total * before + share, y * before + share * value
    return y / total, highest + total.log()


def flash_attention(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    query_positions: Int[Tensor, "b t"] | None = None,
    key_positions: Int[Tensor, "b s"] | None = None,
    *,
    mask_mod: MaskMod = CAUSAL,
    scale: float | None = None,
    block_q: int = 128,
    block_k: int = 256,
    traffic: HBMTraffic | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b t h"]]:
    """Attention of h heads over g groups that never holds more than one tile of scores.

    *Equation*: that of `attend`; lse = log sum_j exp(scale * q . K_j) over the j a
        query attends to.

    Args:
        queries, keys, values: of h heads and g groups; g divides h.
        query_positions, key_positions: where they stand, -1 for padding and empty
            slots. Both left out, every query attends to every key.
        mask_mod: which query attends to which key, asked for one tile at a time:
            `CAUSAL`, `CAUSAL & sliding_window(W)`, `prefix(p)`. A tile in which nobody
            attends to anything is not loaded.
        scale: factor on the scores, 1 / sqrt(k) when left out.
        block_q, block_k: query positions and keys in a tile; neither has to divide t or
            s.
        traffic: counts what the forward pass loads and stores.

    Returns:
        (y, lse), both differentiable. A query that attends to nothing has y = 0 and lse
        = -inf. Half-precision input is summed in float32.

    Raises:
        ValueError: g does not divide h, one kind of position is missing, or a block is
        below 1.

    *Cost*: FLOPs of `attend` forward, 2.5 times as many backward (the scores are worked
        out again); memory b h (t + block_q block_k) + b g s numbers. Bytes moved:
        `costs.io.tiled_attention_io`.
    *Source*: Dao 2023, algorithms 1 and 2, arXiv:2307.08691; Dao et al. 2022,
        arXiv:2205.14135.

    >>> x = torch.ones(1, 3, 2, 4)
    >>> places = torch.tensor([[-1, 0, 1]])
    >>> y, lse = flash_attention(x, x, x, places, places, block_q=2, block_k=1)
    >>> y[0, :, 0, 0].tolist(), [round(n, 3) for n in lse[0, :, 0].tolist()]
    ([0.0, 1.0, 1.0], [-inf, 2.0, 2.693])
    """
    queries_per_kv_head(queries.shape[2], keys.shape[2])
    if (query_positions is None) != (key_positions is None):
        missing = "query_positions" if query_positions is None else "key_positions"
        raise ValueError(
            f"{missing} is missing: allowed are both kinds of positions or neither"
        )
    for name, block in (("block_q", block_q), ("block_k", block_k)):
        if block < 1:
            raise ValueError(f"{name}={block}: allowed are whole numbers from 1")
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    plan = _Plan(
        query_positions,
        key_positions,
        mask_mod,
        scale,
        block_q,
        block_k,
        traffic or HBMTraffic(),
    )
    return _Tiled.apply(queries, keys, values, plan)


@dataclass(frozen=True)
class _Plan:
    """How the score matrix is cut up, and who attends to whom."""

    query_positions: Tensor | None
    key_positions: Tensor | None
    mask_mod: MaskMod
    scale: float
    block_q: int
    block_k: int
    traffic: HBMTraffic

    def tiles(self, rows: slice, keys: int) -> Iterator[tuple[slice, Tensor | None]]:
        """For a block of queries, the blocks of keys that some of them attend to, and
        the pairs in which nobody does.
        """
        for start in range(0, keys, self.block_k):
            columns = slice(start, min(start + self.block_k, keys))
            if self.query_positions is None:
                yield columns, None
                continue
            hidden = ~self.mask_mod.mask(
                self.query_positions[:, rows], self.key_positions[:, columns]
            )
            if not hidden.all():
                yield columns, hidden if hidden.any() else None

    def rows(self, queries: int) -> Iterator[slice]:
        for start in range(0, queries, self.block_q):
            yield slice(start, min(start + self.block_q, queries))

    def scores(self, q: Tensor, k: Tensor, hidden: Tensor | None) -> Tensor:
        """One tile, [b g r*rows columns]: the heads of a group lie below each other."""
        z = torch.matmul(q, k.transpose(-1, -2)).mul_(self.scale)
        if hidden is not None:
            z.unflatten(2, (-1, hidden.shape[1])).masked_fill_(
                hidden[:, None, None], float("-inf")
            )
        return z


class _Tiled(torch.autograd.Function):
    """Forward: y and lse. Backward: every tile's weights again, a = exp(z - lse)."""

    @staticmethod
    def forward(ctx, queries, keys, values, plan):
        y = values.new_empty(*queries.shape[:3], values.shape[-1])
        lse = queries.new_empty(queries.shape[:3], dtype=_wide(queries))
        for rows in plan.rows(queries.shape[1]):
            q = _stack(plan.traffic.load(queries[:, rows]), keys.shape[2])
            # The least finite number, for min - min is 0 where (-inf) - (-inf) would be
            # nan.
            highest = q.new_full((*q.shape[:3], 1), torch.finfo(q.dtype).min)
            total, sums = (
                torch.zeros_like(highest),
                q.new_zeros(*q.shape[:3], values.shape[-1]),
            )
            for columns, hidden in plan.tiles(rows, keys.shape[1]):
                k, v = (
                    _side(plan.traffic.load(tensor[:, columns]))
                    for tensor in (keys, values)
                )
                z = plan.scores(q, k, hidden)
                higher = torch.maximum(highest, z.amax(-1, keepdim=True))
                share, before = z.sub_(higher).exp_(), highest.sub_(higher).exp_()
                highest, total = (
                    higher,
                    total.mul_(before).add_(share.sum(-1, keepdim=True)),
                )
                sums.mul_(before).add_(torch.matmul(share, v))
            # Nothing attended to: total = 0 and sums = 0, so that any divisor gives
            # y = 0; lse = min + log 0 = -inf.
            plan.traffic.store(
                y[:, rows],
                _unstack(sums.div_(total.masked_fill(total == 0, 1.0)), y.shape[2]),
            )
            plan.traffic.store(
                lse[:, rows], _unstack(highest + total.log(), y.shape[2])[..., 0]
            )
        ctx.save_for_backward(queries, keys, values, y, lse)
        ctx.plan = plan
        return y, lse

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dlse):
        queries, keys, values, y, lse = ctx.saved_tensors
        plan, groups = ctx.plan, keys.shape[2]
        dq, dk, dv = (
            torch.zeros_like(tensor, dtype=_wide(tensor))
            for tensor in (queries, keys, values)
        )
        for rows in plan.rows(queries.shape[1]):
            q, d_out, out = (
                _stack(tensor[:, rows], groups) for tensor in (queries, dy, y)
            )
            level, d_level = (
                _stack(tensor[:, rows, :, None], groups) for tensor in (lse, dlse)
            )
            level = level.masked_fill(
                level == float("-inf"), 0.0
            )  # exp(-inf - 0) = 0: no weight, no gradient
            # The softmax's Jacobian needs one number a row: sum_j a_j (dy . V_j) =
            # dy . y.
            centre = (d_out * out).sum(-1, keepdim=True) - d_level
            for columns, hidden in plan.tiles(rows, keys.shape[1]):
                k, v = _side(keys[:, columns]), _side(values[:, columns])
                a = plan.scores(q, k, hidden).sub_(level).exp_()
                dv[:, columns] += torch.matmul(a.transpose(-1, -2), d_out).transpose(
                    1, 2
                )
                dz = (
                    torch.matmul(d_out, v.transpose(-1, -2))
                    .sub_(centre)
                    .mul_(a)
                    .mul_(plan.scale)
                )
                dq[:, rows] += _unstack(torch.matmul(dz, k), queries.shape[2])
                dk[:, columns] += torch.matmul(dz.transpose(-1, -2), q).transpose(1, 2)
        return dq.to(queries.dtype), dk.to(keys.dtype), dv.to(values.dtype), None


def _stack(x: Tensor, groups: int) -> Tensor:
    """[b n h k] -> [b g r*n k]: the rows of the heads of one group, below each
    other.
    """
    return (
        x.unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3).to(_wide(x))
    )


def _unstack(x: Tensor, heads: int) -> Tensor:
    """[b g r*n k] -> [b n h k]."""
    return (
        x.unflatten(2, (heads // x.shape[1], -1)).permute(0, 3, 1, 2, 4).flatten(2, 3)
    )


def _side(x: Tensor) -> Tensor:
    """[b n g k] -> [b g n k]."""
    return x.transpose(1, 2).to(_wide(x))


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
