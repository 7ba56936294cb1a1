"""QKV packing: how several matrices of ours lie in one tensor of theirs, and back.

Symbols: g KV groups, r query heads a group, k head width. Weights are [out in] on our
    side, biases [out].

    same      one tensor, as it stands
    stacked   the rows of one after those of the other     [queries; keys; values]
    columns   the same, but stored as [in out] (GPT-2's Conv1D)
    grouped   group by group: r queries, its key, its value  [g (r + 2) k]; which is
              one head at a time when g = h (GPT-NeoX, BLOOM), and queries, key, value
              when g = 1 (Falcon-7B)

Terms:
    QKV packing, fused QKV, Conv1D layout: how queries, keys and values lie in one
        tensor of a checkpoint -> Packing
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Parts = Sequence[Tensor]


@dataclass(frozen=True)
class Packing:
    """`join(parts, owner)` makes their tensor of ours; `split(tensor, rows, owner)`
    makes ours of theirs.

    `rows`: how many rows each of ours has. `owner`: our module that the parts belong
        to.
    """

    join: Callable[[Parts, nn.Module], Tensor]
    split: Callable[[Tensor, Sequence[int], nn.Module], Parts]


def _join_groups(parts: Parts, owner: nn.Module) -> Tensor:
    groups = owner.kv_heads
    return torch.cat(
        [part.unflatten(0, (groups, -1)) for part in parts], dim=1
    ).flatten(0, 1)


def _split_groups(tensor: Tensor, rows: Sequence[int], owner: nn.Module) -> Parts:
    groups = owner.kv_heads
    by_group = tensor.unflatten(0, (groups, -1)).split(
        [count // groups for count in rows], dim=1
    )
    return [part.flatten(0, 1) for part in by_group]


PACKINGS = {
    "same": Packing(lambda parts, _: parts[0], lambda tensor, rows, _: [tensor]),
    "stacked": Packing(
        lambda parts, _: torch.cat(parts), lambda tensor, rows, _: tensor.split(rows)
    ),
    "columns": Packing(
        lambda parts, _: torch.cat(parts).t(),
        lambda tensor, rows, _: tensor.t().split(rows),
    ),
    "grouped": Packing(_join_groups, _split_groups),
}
