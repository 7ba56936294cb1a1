"""Placement of experts on the ranks of expert parallelism, with replicas.

Symbols: D ranks, e experts; a slot is a place for one expert's weights. Ranks have
equally many slots, D slots >= e in all.

Terms:
    expert placement, slots of a rank: which ranks hold which experts -> Placement
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.layers.feed_forward.dispatch import by_expert
from course_lib.layers.feed_forward.router import NO_EXPERT
from course_lib.simulate.expert_placement import contiguous_slots


@dataclass(frozen=True)
class Placement:
    """The slots of every rank: which expert each slot holds.

    Attributes:
        slots: expert numbers [rank][slot], as many slots on every rank. An expert in
            several slots has replicas.

    >>> Placement.contiguous(4, ranks=2).slots
    ((0, 1), (2, 3))
    """

    slots: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        held = {expert for own in self.slots for expert in own}
        if len({len(own) for own in self.slots}) != 1 or held != set(range(len(held))):
            raise ValueError(
                f"slots={self.slots}: as many on every rank, and each expert from 0 "
                "on, are allowed"
            )

    @classmethod
    def contiguous(cls, e: int, ranks: int) -> "Placement":
        """Neighbours together: rank r holds experts r e/D to (r + 1) e/D - 1.

        Raises: ValueError if `ranks` does not divide e.
        """
        return cls(contiguous_slots(e, ranks))

    @property
    def e(self) -> int:
        """How many experts there are."""
        return 1 + max(expert for own in self.slots for expert in own)

    def slot_of(self, experts: Int[Tensor, "n k"]) -> Int[Tensor, "n k"]:
        """The slot, of all ranks' in a row, to which each pick goes: the replicas of an
        expert take turns. No expert stays no slot.

        >>> both = Placement(((0, 1), (0, 2)))
        >>> both.slot_of(torch.tensor([[0], [0], [2], [0]])).flatten().tolist()
        [0, 2, 3, 0]
        """
        row = [expert for own in self.slots for expert in own]
        homes = [[i for i, held in enumerate(row) if held == j] for j in range(self.e)]
        most = max(map(len, homes))
        table = torch.tensor([own + own[:1] * (most - len(own)) for own in homes])
        counts = torch.tensor([len(own) for own in homes])
        table, counts = table.to(experts.device), counts.to(experts.device)
        picks, loads = by_expert(experts, self.e)
        of_pick = experts.reshape(-1)[picks]
        starts = torch.tensor([0, *loads[:-1]], device=experts.device).cumsum(0)
        turn = torch.arange(len(picks), device=experts.device) - starts[of_pick]
        found = torch.full_like(experts.reshape(-1), NO_EXPERT)
        found[picks] = table[of_pick, turn % counts[of_pick]]
        return found.view_as(experts)
