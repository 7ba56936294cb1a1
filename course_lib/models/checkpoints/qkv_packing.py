"""QKV packing: how several matrices of ours lie in one tensor of theirs, and back.

Symbols: g KV groups, r query heads a group, k head width; in a delta rule m key heads,
    each for r value heads of width v. Weights are [out in] on our side, biases [out].

    same      one tensor, as it stands
    stacked   the rows of one after those of the other     [queries; keys; values]
    columns   the same, but stored as [in out] (GPT-2's Conv1D)
    grouped   group by group: r queries, its key, its value  [g (r + 2) k]; which is
              one head at a time when g = h (GPT-NeoX, BLOOM), and queries, key, value
              when g = 1 (Falcon-7B)
    by_head   head by head: its query and its output gate   [h 2 k] (Qwen3-Next), its
              query, key and value (MiniMax)
    third_axis  a number a head, stored as [1 1 h 1] (Kimi Linear)
    first_axis  a number a head, stored as [h 1 1] (MiniMax)
    last_axis   a number a channel, stored as [1 1 d] (RWKV)
    by_key_head  key head by key head: query, key, r values, r gates (Qwen3-Next)

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


def _by(groups: str) -> Packing:
    """Rows group by group; `groups` names their number in the owner."""

    def join(parts: Parts, owner: nn.Module) -> Tensor:
        count = getattr(owner, groups)
        rows = [part.unflatten(0, (count, -1)) for part in parts]
        return torch.cat(rows, dim=1).flatten(0, 1)

    def split(tensor: Tensor, rows: Sequence[int], owner: nn.Module) -> Parts:
        count = getattr(owner, groups)
        sizes = [row // count for row in rows]
        apart = tensor.unflatten(0, (count, -1)).split(sizes, dim=1)
        return [part.flatten(0, 1) for part in apart]

    return Packing(join, split)


PACKINGS = {
    "same": Packing(lambda parts, _: parts[0], lambda tensor, rows, _: [tensor]),
    "stacked": Packing(
        lambda parts, _: torch.cat(parts), lambda tensor, rows, _: tensor.split(rows)
    ),
    "columns": Packing(
        lambda parts, _: torch.cat(parts).t(),
        lambda tensor, rows, _: tensor.t().split(rows),
    ),
    "grouped": _by("kv_heads"),
    "by_head": _by("heads"),
    "by_key_head": _by("key_heads"),
    "first_axis": Packing(
        lambda parts, _: parts[0][:, None, None],
        lambda tensor, rows, _: [tensor.flatten()],
    ),
    "last_axis": Packing(
        lambda parts, _: parts[0][None, None],
        lambda tensor, rows, _: [tensor.flatten()],
    ),
    "third_axis": Packing(
        lambda parts, _: parts[0][None, None, :, None],
        lambda tensor, rows, _: [tensor.flatten()],
    ),
}
