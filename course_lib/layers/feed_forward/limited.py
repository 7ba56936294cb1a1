"""A mixture whose experts take a limited number of tokens of each row, as Switch does:
what is beyond the capacity is dropped.

Symbols: e experts, k picks, t tokens of a row, c the capacity. A pick is kept if at
most c picks of its row, itself among them, went to its expert, earlier tokens first.

With a cache a call sees one token of a row, whose expert has room: a step may differ
from the same token in a full pass. A capacity for the whole batch would also let a
row's result hang on its batch-mates.

Terms:
    capacity per row, expert capacity at inference: an expert takes so many tokens of
        each row, also after training -> LimitedMoE
"""

import torch

from course_lib.layers.feed_forward.dispatch import drop, within_capacity
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Routing


class LimitedMoE(MoE):
    """`MoE` with a capacity for each row and expert.

    Args: those of `MoE`.
        capacity: c, a number of tokens.

    A token without a kept pick gets 0 from the routed experts.

    Raises:
        ValueError: as in `MoE`; `capacity` is below 1.

    *Cost*: at most e c of a row's picks are computed.
    *Source*: Fedus et al. 2021, section 2.2, arXiv:2101.03961, for each row as
        `SwitchTransformersTop1Router` of transformers 5.23 counts.
    *Differs from source*: the paper counts over the tokens of a device.
    """

    def __init__(self, *parts, capacity: int, **options) -> None:
        super().__init__(*parts, **options)
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: allowed are whole numbers from 1")
        self.capacity = capacity

    def limited(self, routing: Routing, axes: torch.Size) -> Routing:
        """The routing without the picks that find no room."""
        length = axes[-1] if axes else 1
        rows = torch.arange(len(routing.experts), device=routing.experts.device)
        kept = within_capacity(
            routing.experts, self.router.e, self.capacity, rows=rows // length
        )
        return drop(routing, kept)
