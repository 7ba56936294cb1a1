"""Grouped matmul: the slices of a sorted batch, each times its own expert's matrix, in
one kernel.

Symbols: s rows sorted by expert, e experts, offsets [e] where each expert's slice ends.

    dispatch_sorted   a loop over experts, a matmul a slice
    dispatch_grouped  the same slices, all handed to `grouped_mm` at once: no padding
                      and no loop, which is what a GPU needs for many small slices

Terms:
    grouped matmul, grouped GEMM: slices of one matrix, each times its own expert's
        matrix, in one kernel -> grouped_matmul
    grouped experts: dispatch by grouped matmuls -> dispatch_grouped
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.feed_forward.dispatch import Tokens, sort_picks
from course_lib.layers.feed_forward.experts import Experts, ExpertWeights
from course_lib.layers.feed_forward.router import Routing


def grouped_loop(
    x: Float[Tensor, "s inner"],
    weight: Float[Tensor, "e out inner"],
    offsets: Int[Tensor, " e"],
) -> Float[Tensor, "s out"]:
    """The definition: each slice times the transpose of its expert's matrix."""
    sizes = offsets.diff(prepend=offsets.new_zeros(1)).tolist()
    slices = zip(x.split(sizes), weight.unbind(), strict=True)
    return torch.cat([own @ matrix.T for own, matrix in slices])


def grouped_matmul(
    x: Float[Tensor, "s inner"],
    weight: Float[Tensor, "e out inner"],
    offsets: Int[Tensor, " e"],
) -> Float[Tensor, "s out"]:
    """The same by torch's kernel where it takes these tensors: float32 and bfloat16,
    with rows of a multiple of 16 bytes; else by the loop.

    >>> x, weight = torch.eye(2), torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    >>> grouped_matmul(x, weight, torch.tensor([1, 2])).tolist()
    [[1.0], [4.0]]
    """
    bytes_ = weight.element_size()
    whole = all(side * bytes_ % 16 == 0 for side in weight.shape[1:])
    if x.dtype not in (torch.float32, torch.bfloat16) or not whole or len(x) == 0:
        return grouped_loop(x, weight, offsets)
    return F.grouped_mm(x.contiguous(), weight.mT, offs=offsets.int())


def dispatch_grouped(
    x: Tokens, routing: Routing, experts: Experts, *, weigh_input: bool = False
) -> Tokens:
    """What `dispatch_sorted` does, in three grouped matmuls.

    *Source*: Gale et al. 2022, arXiv:2211.15841 (MegaBlocks: experts without dropping
        or padding).
    """
    tokens, weights, counts = sort_picks(routing, experts.e)
    load = torch.tensor(counts, device=x.device)
    expert, offsets = torch.repeat_interleave(load), load.cumsum(0)
    inputs = x[tokens] * weights if weigh_input else x[tokens]
    outputs = _run(inputs, experts, expert, offsets)
    outputs = outputs if weigh_input else outputs * weights
    return torch.zeros_like(x).index_add(0, tokens, outputs)


def _run(
    x: Float[Tensor, "s d"],
    experts: Experts,
    expert: Int[Tensor, " s"],
    offsets: Int[Tensor, " e"],
) -> Float[Tensor, "s d"]:
    """The experts on their slices: `Experts.run` with grouped matmuls."""
    weights: ExpertWeights = experts.stacked()

    def linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = grouped_matmul(rows, weight, offsets)
        return y if bias is None else y + bias[expert]

    up = linear(x, weights.up, weights.up_bias)
    gate = None if weights.gate is None else linear(x, weights.gate, weights.gate_bias)
    return linear(experts.bend(gate, up), weights.down, weights.down_bias)
