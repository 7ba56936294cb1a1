"""How the stacked experts of a layer lie in one tensor of theirs, and back.

Symbols: e experts, d model width, f width inside an expert. Ours: gate and up [e f d],
down [e d f], biases [e f] or [e d].

    gate_then_up             [gate; up] of each expert               [e 2f d]
    gate_then_up_transposed  the same, stored as [e in out] (Llama 4)
    pairs                    gate 0, up 0, gate 1, up 1, ... (gpt-oss' biases)
    pairs_transposed         the same, stored as [e in out] (gpt-oss)
    transposed               one tensor, stored as [e in out]
    rows_of_all              the rows of all experts in one matrix   [e f, d] (DBRX)
    columns_of_all           the same of the transposed experts      [e f, d]
    row                      a vector as a matrix of one row (ERNIE's bias)

Terms:
    expert packing: how stacked experts lie in one tensor of a checkpoint ->
        EXPERT_PACKINGS
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.models.checkpoints.qkv_packing import Packing, Parts


def _pairs(parts: Parts) -> Tensor:
    return torch.stack(tuple(parts), 2).flatten(1, 2)


def _unpaired(tensor: Tensor) -> Parts:
    return tensor.unflatten(1, (-1, 2)).unbind(2)


def _one(parts: Parts, owner: nn.Module) -> Tensor:
    return parts[0].mT


def _one_back(tensor: Tensor, rows: Sequence[int], owner: nn.Module) -> Parts:
    return [tensor.mT]


EXPERT_PACKINGS = {
    "gate_then_up": Packing(
        lambda parts, _: torch.cat(tuple(parts), 1),
        lambda tensor, rows, _: tensor.chunk(2, 1),
    ),
    "gate_then_up_transposed": Packing(
        lambda parts, _: torch.cat(tuple(parts), 1).mT,
        lambda tensor, rows, _: tensor.mT.chunk(2, 1),
    ),
    "pairs": Packing(
        lambda parts, _: _pairs(parts), lambda tensor, rows, _: _unpaired(tensor)
    ),
    "pairs_transposed": Packing(
        lambda parts, _: _pairs(parts).mT,
        lambda tensor, rows, _: _unpaired(tensor.mT),
    ),
    "transposed": Packing(_one, _one_back),
    "rows_of_all": Packing(
        lambda parts, _: parts[0].flatten(0, 1),
        lambda tensor, rows, _: [tensor.unflatten(0, (rows[0], -1))],
    ),
    "columns_of_all": Packing(
        lambda parts, _: parts[0].mT.flatten(0, 1),
        lambda tensor, rows, _: [tensor.unflatten(0, (rows[0], -1)).mT],
    ),
    "row": Packing(
        lambda parts, _: parts[0][None], lambda tensor, rows, _: [tensor[0]]
    ),
}
