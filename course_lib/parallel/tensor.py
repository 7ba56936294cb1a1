"""Tensor parallelism: one Transformer block on D ranks, two all-reduces forward and
two backward.

Symbols: D ranks. Megatron's letters: f is `to_ranks`, g is `sum_over_ranks`.

    every rank   x -> norm -> own columns -> own heads, own inner numbers -> own rows ->
                 a partial sum -> all-reduce -> + x

`split.split_block` cuts a `Block`; `TensorParallelBlock` runs a part of it over a
`Ranks`; `block_in_turn` is the plain form: the parts one after the other, in one
process. To try it with `torchrun --nproc-per-node=2 script.py`, see `ranks`.

Not split here: embedding and head, state spaces, mixtures of experts.

Source: Shoeybi et al. 2019, section 3, arXiv:1909.08053.

Terms:
    tensor parallelism, tensor-parallel block: matrices split by columns and rows over
        devices, partial sums added up -> TensorParallelBlock
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import LayerCache
from course_lib.parallel.ranks import Ranks
from course_lib.parallel.split import BlockPart


class _ToRanks(torch.autograd.Function):
    """The same tensor on every rank; backward, the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.all_reduce(gradient), None


class _SumOverRanks(torch.autograd.Function):
    """The sum of the ranks' partial results; backward, the gradient as it is."""

    @staticmethod
    def forward(ctx, part: Tensor, ranks: Ranks) -> Tensor:
        return ranks.all_reduce(part)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class TensorParallelBlock(nn.Module):
    """A rank's part of a block, run with the others.

    Every rank is given the same x and returns the same result: that of the whole block.

    Args:
        part: from `split_block`.
        ranks: the processes, as many as the block was split into.

    Raises:
        ValueError: the part is another rank's, or of a split into another number.

    *Cost*: forward, an all-reduce of [b t d] for attention and one for the network, one
        for both in the parallel layout; backward, as many of the same size.
    """

    def __init__(self, part: BlockPart, ranks: Ranks) -> None:
        if (part.rank, part.ranks) != (ranks.rank, ranks.count):
            raise ValueError(
                f"part is {part.rank} of {part.ranks}: allowed is {ranks.rank} of "
                f"{ranks.count}"
            )
        super().__init__()
        self.part, self.ranks = part, ranks

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The whole block's result. `cache` holds this rank's KV heads."""
        part = self.part
        h = self.to_ranks(part.attention_norm(x))
        mixed = part.partial_attention(h, positions, cache)

        if part.layout == "parallel":
            both = self.sum_over_ranks(mixed + part.partial_ffn(h))
            return x + both + part.bias_out + part.bias_down

        x = x + self.sum_over_ranks(mixed) + part.bias_out
        h = self.to_ranks(part.ffn_norm(x))
        return x + self.sum_over_ranks(part.partial_ffn(h)) + part.bias_down

    def to_ranks(self, x: Tensor) -> Tensor:
        """Megatron's f: x; backward an all-reduce, for each rank has used all of x."""
        return _ToRanks.apply(x, self.ranks)

    def sum_over_ranks(self, part: Tensor) -> Tensor:
        """Megatron's g: an all-reduce; backward the gradient, whole for every part."""
        return _SumOverRanks.apply(part, self.ranks)

    def add_up_shared_gradients(self) -> None:
        """After backward: add up the gradients of weights that several ranks hold and
        use in part. These are KV heads held more than once, and the QK norms. (Norms
        and output biases see the whole gradient on every rank.)
        """
        attention, ranks = self.part.attention, self.ranks
        if attention.qk_norm == "head":
            for norm in (attention.q_norm, attention.k_norm):
                norm.weight.grad = ranks.all_reduce(norm.weight.grad)
        if self.part.kv_heads < ranks.count:
            for layer in (attention.wk, attention.wv):
                for weight in layer.parameters():
                    weight.grad = self._sum_over_holders(weight.grad)

    def _sum_over_holders(self, gradient: Tensor) -> Tensor:
        """The sum over the ranks with the same KV head: every rank puts its gradient
        into its head's place and all are added.
        """
        own = self.part.rank * self.part.kv_heads // self.part.ranks
        places = gradient.new_zeros(self.part.kv_heads, *gradient.shape)
        places[own] = gradient
        return self.ranks.all_reduce(places)[own]


def block_in_turn(
    parts: Sequence[BlockPart],
    x: Float[Tensor, "b t d"],
    positions: Int[Tensor, "b t"],
    caches: Sequence[LayerCache] | None = None,
) -> Float[Tensor, "b t d"]:
    """Plain form of `TensorParallelBlock`: all parts in one process, one after the
    other, and a sum in the all-reduce's place.
    """
    first, caches = parts[0], [None] * len(parts) if caches is None else caches
    h = first.attention_norm(x)
    mixed = sum(
        part.partial_attention(h, positions, cache)
        for part, cache in zip(parts, caches, strict=True)
    )
    if first.layout == "parallel":
        both = mixed + sum(part.partial_ffn(h) for part in parts)
        return x + both + first.bias_out + first.bias_down
    x = x + mixed + first.bias_out
    h = first.ffn_norm(x)
    return x + sum(part.partial_ffn(h) for part in parts) + first.bias_down
