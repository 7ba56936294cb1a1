"""Block-sparse selection (MSA, QSA): an indexer picks blocks of keys, and attention
looks at all keys of these.

Symbols: t queries, s keys in m blocks of c (by position: key p lies in block p // c), i
index heads, k width of an index head.

    MSA (MiniMax-M3)      a block's score is the largest of its keys'; each KV group has
                          an index head and picks for itself; the newest blocks are
                          always in
    QSA (Qwen4-Exp)       a block's key is the mean of its keys, normed and turned by
                          the place of its first; one pick for all heads, of whole
                          blocks; the keys behind the last whole one are always in
    DSA (`indexer`)       blocks of one key

A mean is cheaper than a maximum, since m keys are scored and not s. It may hide one
key that matters among others that do not.

Source: both as transformers 5.23 builds them (minimax_m3_vl, qwen4_exp).

Terms:
    block selection, MSA, MiniMax sparse attention: each KV group attends to the blocks
        with the best key in them -> MaxBlockIndexer, block_max, pick_blocks
    QSA, pooled keys: blocks are scored by their mean key -> MeanBlockIndexer,
        block_means
    mask of a group: each KV group attends to keys of its own -> attend_selected
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend, queries_per_kv_head
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions.rope import Rope, apply_rope


def block_max(
    scores: Float[Tensor, "b t i s"], key_positions: Int[Tensor, "b s"], size: int
) -> Float[Tensor, "b t i m"]:
    """The largest score in each block; minus infinity in a block without a key.

    >>> scores = torch.tensor([[[[1.0, 7.0, 3.0]]]])
    >>> block_max(scores, torch.tensor([[0, 1, 2]]), 2).tolist()
    [[[[7.0, 3.0]]]]
    """
    block = _blocks(key_positions, size)
    count = int(block.max()) + 1
    hidden = (key_positions < 0)[:, None, None]
    place = block[:, None, None].expand_as(scores)
    best = scores.new_full((*scores.shape[:3], count), float("-inf"))
    return best.scatter_reduce(
        -1, place, scores.masked_fill(hidden, float("-inf")), "amax"
    )


def block_means(
    keys: Float[Tensor, "b s k"], key_positions: Int[Tensor, "b s"], size: int
) -> Float[Tensor, "b m k"]:
    """The mean key of each block; zeros in one without a key.

    >>> keys = torch.tensor([[[1.0], [3.0], [8.0]]])
    >>> block_means(keys, torch.tensor([[0, 1, 2]]), 2).flatten().tolist()
    [2.0, 8.0]
    """
    block, real = _blocks(key_positions, size), (key_positions >= 0)[..., None]
    count = int(block.max()) + 1
    place = block[..., None].expand_as(keys)
    total = keys.new_zeros(len(keys), count, keys.shape[-1])
    total = total.scatter_add(1, place, keys * real)
    held = keys.new_zeros(len(keys), count, 1)
    held = held.scatter_add(1, block[..., None], real.to(keys.dtype))
    return total / held.clamp(min=1)


def pick_blocks(
    scores: Float[Tensor, "b t i m"], always: Bool[Tensor, "b t i m"], top: int
) -> Bool[Tensor, "b t i m"]:
    """The `top` best blocks of each query and head; those in `always` come first, and
    one with a score of minus infinity never comes.

    Raises:
        ValueError: `top` is below 1.
    """
    if top < 1:
        raise ValueError(f"top={top}: allowed are whole numbers from 1")
    allowed = scores.isfinite()
    scores = scores.masked_fill(always & allowed, float("inf"))
    best = scores.topk(min(top, scores.shape[-1]), dim=-1).indices
    return torch.zeros_like(always).scatter(-1, best, True) & allowed


def keys_of_blocks(
    blocks: Bool[Tensor, "b t i m"], key_positions: Int[Tensor, "b s"], size: int
) -> Bool[Tensor, "b t i s"]:
    """Which keys lie in the picked blocks."""
    block = _blocks(key_positions, size)[:, None, None]
    chosen = blocks.gather(-1, block.expand(*blocks.shape[:3], -1))
    return chosen & (key_positions >= 0)[:, None, None]


def attend_selected(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t g s"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "b t h v"]:
    """Attention in which each KV group has a mask of its own: groups as rows.

    The plain form, with a dense mask. A kernel loads the picked blocks alone.

    Raises:
        ValueError: g does not divide h.
    """
    groups = keys.shape[2]
    queries_per_kv_head(queries.shape[2], groups)
    q = queries.unflatten(2, (groups, -1)).transpose(1, 2).flatten(0, 1)
    k, v = (x.transpose(1, 2).flatten(0, 1)[:, :, None] for x in (keys, values))
    y, _ = attend(q, k, v, mask.transpose(1, 2).flatten(0, 1), scale=scale)
    return y.unflatten(0, (-1, groups)).transpose(1, 2).flatten(2, 3)


class _BlockIndexer(nn.Module):
    """Projections, norms and turns that both have."""

    def __init__(
        self,
        d: int,
        heads: int,
        head_dim: int,
        *,
        size: int,
        top: int,
        rope: Rope,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        for name, number in (("size", size), ("top", top)):
            if number < 1:
                raise ValueError(f"{name}={number}: allowed are whole numbers from 1")
        self.head_dim, self.size, self.top, self.rope = head_dim, size, top, rope
        self.wq = nn.Linear(d, heads * head_dim, bias=False)
        self.wk = nn.Linear(d, head_dim, bias=False)
        self.q_norm = RMSNorm(head_dim, norm_eps, offset=1.0)
        self.k_norm = RMSNorm(head_dim, norm_eps, offset=1.0)

    def queries(self, x: Tensor, positions: Tensor) -> Float[Tensor, "b t i k"]:
        """The index heads' queries, normed and turned."""
        return self._turn(
            self.q_norm(self.wq(x).unflatten(-1, (-1, self.head_dim))), positions
        )

    def _turn(self, x: Tensor, positions: Tensor) -> Tensor:
        tables = self.rope.tables(positions, x.dtype)
        return apply_rope(x, *tables, self.rope.pairing)


class MaxBlockIndexer(_BlockIndexer):
    """MSA's: the best key stands for its block, and each KV group picks for itself.

    Args:
        d: model width. heads: i, as many as KV groups. head_dim: k.
        size: c, tokens in a block. top: blocks a query attends to, the newest among
            them.
        rope, norm_eps: of queries and keys.
        local: newest blocks that are always in.

    Raises:
        ValueError: `size` or `top` is below 1.

    *Cost*: d k (i + 1) + 2 k parameters; 2 t s i k FLOPs; k numbers a token in a cache.
    """

    def __init__(self, *sizes: int, local: int = 1, **options) -> None:
        super().__init__(*sizes, **options)
        self.local = local

    def keys(
        self, x: Float[Tensor, "b t d"], positions: Int[Tensor, "b t"]
    ) -> Float[Tensor, "b t k"]:
        """One key a token, normed and turned: what a cache keeps."""
        return self._turn(self.k_norm(self.wk(x))[:, :, None], positions)[:, :, 0]

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        keys: Float[Tensor, "b s k"],
        key_positions: Int[Tensor, "b s"],
        mask: Bool[Tensor, "b t s"],
    ) -> Bool[Tensor, "b t i s"]:
        """Of the keys that `mask` allows, those that each head picks."""
        scores = torch.einsum("btik,bsk->btis", self.queries(x, positions), keys)
        scores = scores.masked_fill(~mask[:, :, None], float("-inf"))
        best = block_max(scores, key_positions, self.size)
        behind = (positions // self.size)[..., None] - _count(best)
        always = ((behind >= 0) & (behind < self.local))[:, :, None].expand_as(best)
        picked = pick_blocks(best, always, self.top)
        return keys_of_blocks(picked, key_positions, self.size) & mask[:, :, None]


class MeanBlockIndexer(_BlockIndexer):
    """QSA's: the mean key stands for its block, and all heads pick together.

    Args: those of `MaxBlockIndexer` without `local`; `top` counts whole blocks.

    *Equation*: I = sum_i ReLU(q_i . k) / sqrt(k), k the normed and turned mean.
    *Cost*: d k (i + 1) + 2 k parameters; 2 t s i k / c FLOPs; k numbers a token.
    """

    def keys(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t k"]:
        """One key a token, as it is averaged: what a cache keeps."""
        return self.wk(x)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        keys: Float[Tensor, "b s k"],
        key_positions: Int[Tensor, "b s"],
        mask: Bool[Tensor, "b t s"],
    ) -> Bool[Tensor, "b t s"]:
        """Of the keys that `mask` allows, those that all heads pick, and those behind
        the query's last whole block.
        """
        means = self.k_norm(block_means(keys, key_positions, self.size))
        first = torch.arange(means.shape[1], device=x.device) * self.size
        means = self._turn(means[:, :, None], first.expand(len(x), -1))[:, :, 0]
        scores = torch.einsum("btik,bmk->btim", self.queries(x, positions), means)
        scores = F.relu(scores).sum(2, keepdim=True) * self.head_dim**-0.5
        whole = (positions + 1) // self.size  # blocks that lie before t, t included
        partial = _count(scores) >= whole[..., None, None]
        scores = scores.masked_fill(partial, float("-inf"))
        picked = pick_blocks(scores, torch.zeros_like(partial), self.top)
        chosen = keys_of_blocks(picked, key_positions, self.size)[:, :, 0]
        tail = key_positions[:, None] >= (whole * self.size)[..., None]
        return (chosen | tail) & mask


def _blocks(key_positions: Tensor, size: int) -> Tensor:
    """The block of each key; padding counts to block 0 and is left out elsewhere."""
    return key_positions.clamp(min=0) // size


def _count(scores: Tensor) -> Tensor:
    """0 to m - 1."""
    return torch.arange(scores.shape[-1], device=scores.device)
