"""Capacity of a layer: how many tokens an expert takes, and what happens to the rest.

Symbols: b rows of t tokens, k picks, e experts; factor f: an expert takes
ceil(f t k / e) picks of a row, or f times its even share of all rows together.

Terms:
    capacity policy, dropless: whether picks beyond the capacity are dropped, rerouted,
        or all served -> Capacity
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.layers.feed_forward.dispatch import (
    capacity_of,
    drop,
    reroute,
    within_capacity,
)
from course_lib.layers.feed_forward.router import Routing


@dataclass(frozen=True)
class Capacity:
    """A limit on every expert. A layer without one is dropless.

    Attributes:
        factor: times the even share.
        slots: the limit itself, in place of a factor (64 in Hugging Face's Switch).
        policy: what happens to the rest: "drop" or "reroute".
        pooled: one limit for all rows together. Then what a token gets depends on its
            batch-mates.
        first_choices: as in `within_capacity`; with "drop" only.

    The even share is of all places, padding among them, for the size of a buffer is
    fixed before one knows what is in it; padding takes no room. A step of a decode has
    one token in a row and drops nothing, so that decoding with a cache differs from one
    pass over the whole text where that pass drops.

    Raises:
        ValueError: the factor is not positive, slots are below 1, or the policy is
            unknown or does not know first choices.
    """

    factor: float = 1.25
    slots: int | None = None
    policy: str = "drop"
    pooled: bool = False
    first_choices: bool = False

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"factor={self.factor}: allowed are positive numbers")
        if self.slots is not None and self.slots < 1:
            raise ValueError(f"slots={self.slots}: allowed are 1 and more")
        if self.policy not in ("drop", "reroute"):
            raise ValueError(
                f"policy={self.policy!r}: allowed are 'drop' and 'reroute'"
            )
        if self.policy == "reroute" and self.first_choices:
            raise ValueError("first_choices=True: allowed with policy='drop'")

    def limit(self, tokens: int, e: int, k: int) -> int:
        """How many picks each expert takes of so many tokens that share it."""
        return self.slots or capacity_of(tokens, e, k, self.factor)

    def apply(self, routing: Routing, row: int) -> Routing:
        """The routing within the limit, for rows of `row` tokens each.

        >>> logits = torch.zeros(4, 2)
        >>> picks, weights = torch.tensor([[0], [0], [0], [1]]), torch.ones(4, 1)
        >>> routing = Routing(picks, weights, logits.softmax(-1), logits)
        >>> Capacity(1.0).apply(routing, row=4).experts.flatten().tolist()
        [0, 0, -1, 1]
        """
        (n, k), e = routing.experts.shape, routing.scores.shape[-1]
        line = torch.arange(n, device=routing.experts.device)
        places: dict[str, Int[Tensor, " n"] | None] = {
            "positions": line % max(row, 1),
            "rows": None if self.pooled else line // max(row, 1),
        }
        limit = self.limit(n if self.pooled else row, e, k)
        if self.policy == "reroute":
            return reroute(routing, limit, **places)
        kept = within_capacity(
            routing.experts, e, limit, **places, first_choices=self.first_choices
        )
        return drop(routing, kept)
