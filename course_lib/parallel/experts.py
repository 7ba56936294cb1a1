"""Expert parallelism: the experts of a layer spread over D ranks, which send each other
tokens by all-to-all, there and back.

Symbols: D ranks, e experts, e / D of them a rank; n tokens of a rank, k picks of each,
d width; c rows that arrive at a rank.

    every rank   own tokens -> router -> picks sorted by holder and expert -> dispatch:
                 all-to-all [n k d] -> own experts on [c d] -> combine: all-to-all back
                 -> weights, sum by token

Each rank has other tokens, and the router's weights are the same everywhere. How many
rows it sends to whom changes with every batch: the all-to-all is uneven, and the counts
travel first, [D e/D] whole numbers. Its gradient is the all-to-all the other way round.

`ExpertParallel` runs a `MoE` over a `Ranks`; one process that has all tokens and all
experts gives the same (`dispatch_sorted`). A `Placement` says which rank holds which
expert (`placement`); a replica is an expert held by several.

Source: Lepikhin et al. 2020, section 3, arXiv:2006.16668 (GShard).

Terms:
    expert parallelism, EP: the experts of a layer lie on several devices, and each
        token's vector travels to its experts and back -> ExpertParallel
    uneven all-to-all: every rank sends every other another number of rows ->
        RowExchange
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.feed_forward.dispatch import by_expert, dispatch_sorted
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.moe import MoE, zero_experts
from course_lib.layers.feed_forward.router import Routing
from course_lib.parallel.placement import Placement
from course_lib.parallel.ranks import Ranks


class RowExchange(torch.autograd.Function):
    """An uneven all-to-all of rows; backward, the gradients go the other way.

    `weight` is not used: a parameter here puts the exchange into every rank's graph. A
    rank that would leave it out, because no row came, would let the others wait.
    """

    @staticmethod
    def forward(
        ctx,
        rows: Float[Tensor, "sent d"],
        weight: Tensor,
        send: list[int],
        receive: list[int],
        wire: "Wire",
    ) -> Float[Tensor, "received d"]:
        ctx.counts, ctx.wire = (send, receive), wire
        return wire.all_to_all(rows, send, receive)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        send, receive = ctx.counts
        return ctx.wire.all_to_all(gradient, receive, send), None, None, None, None


class Wire:
    """All-to-alls among ranks, and the bytes that they take to other ranks.

    Attributes:
        sent_bytes, count_bytes: rows of numbers, and counts, that this rank has sent to
            others; what stays on the rank is in neither.
        exchanges: all-to-alls of rows.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.sent_bytes = self.count_bytes = self.exchanges = 0

    def all_to_all(
        self, rows: Float[Tensor, "sent d"], send: list[int], receive: list[int]
    ) -> Float[Tensor, "received d"]:
        """Send the first `send[0]` rows to rank 0, the next to rank 1, ..."""
        arrived = rows.new_empty(sum(receive), rows.shape[1])
        dist.all_to_all_single(
            arrived, rows.contiguous(), receive, send, group=self.ranks.group
        )
        away = sum(send) - send[self.ranks.rank]
        self.sent_bytes += away * rows.shape[1] * rows.element_size()
        self.exchanges += 1
        return arrived

    def swap_counts(self, counts: Int[Tensor, "ranks slots"]) -> Tensor:
        """Tell every rank how many rows each of its slots gets from here; return what
        the others send to the slots here [ranks slots].
        """
        arrived = torch.empty_like(counts)
        dist.all_to_all_single(arrived, counts.contiguous(), group=self.ranks.group)
        self.count_bytes += counts.nbytes - counts[0].nbytes
        return arrived


class ExpertParallel(nn.Module):
    """A `MoE` of which this rank holds the experts of its slots.

    Every rank is given its own tokens and returns their outputs. Router, shared expert
    and latent projections are copies on every rank.

    Args:
        whole: the layer with all its experts; what this rank does not hold is not kept.
        ranks: the processes.
        placement: which experts are where; neighbours together when left out.

    Attributes:
        wire: what was sent.
        arrived: rows that came to this rank's slots in the last forward.

    Raises:
        ValueError: the placement is for other ranks or experts, the layer has a
            capacity, or its router looks tokens up.

    *Cost*: forward, two all-to-alls of a rank's n k rows of d numbers, of which the
        share that stays is free; backward, two more.
    """

    def __init__(
        self, whole: MoE, ranks: Ranks, placement: Placement | None = None
    ) -> None:
        super().__init__()
        if whole.capacity is not None:
            raise ValueError(f"capacity={whole.capacity}: allowed is None, dropless")
        if getattr(type(whole.router), "needs_tokens", False):
            kind = type(whole.router).__name__
            raise ValueError(f"router={kind}: allowed are those of vectors alone")
        e = whole.experts.e
        placement = placement or Placement.contiguous(e, ranks.count)
        if len(placement.slots) != ranks.count or placement.e != e:
            raise ValueError(
                f"placement has {len(placement.slots)} ranks and {placement.e} "
                f"experts: allowed are {ranks.count} and {e}"
            )
        self.router, self.shared, self.zero = whole.router, whole.shared, whole.zero
        self.weigh_input = whole.weigh_input
        self.into_latent = whole.into_latent
        self.out_of_latent = whole.out_of_latent
        self.experts = experts_of(whole.experts, placement.slots[ranks.rank])
        self.ranks, self.placement, self.wire = ranks, placement, Wire(ranks)
        self.arrived = 0

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The layer's output for this rank's tokens."""
        routing = self.router(x)
        inputs = x if self.into_latent is None else self.into_latent(x)
        same, routing = zero_experts(inputs, routing, self.placement.e)
        y = self.routed(inputs, routing)
        y = y if same is None else y + same
        y = y if self.out_of_latent is None else self.out_of_latent(y)
        return y if self.shared is None else y + self.shared(x)

    def routed(self, x: Float[Tensor, "n d"], routing: Routing) -> Float[Tensor, "n d"]:
        """Dispatch, the experts here, combine."""
        slots = self.placement.slot_of(routing.experts)
        own = len(self.placement.slots[0])
        picks, loads = by_expert(slots, own * self.ranks.count)
        tokens = picks // routing.experts.shape[-1]
        weights = routing.weights.reshape(-1)[picks][:, None]

        counts = torch.tensor(loads, device=x.device).view(self.ranks.count, own)
        coming = self.wire.swap_counts(counts)
        send, receive = counts.sum(1).tolist(), coming.sum(1).tolist()
        self.arrived = sum(receive)

        rows = x[tokens] * weights if self.weigh_input else x[tokens]
        weight = self.experts.up
        arrived = RowExchange.apply(rows, weight, send, receive, self.wire)
        made = self._own(arrived, coming) if self.arrived else arrived
        returned = RowExchange.apply(made, weight, receive, send, self.wire)
        returned = returned if self.weigh_input else returned * weights
        return torch.zeros_like(x).index_add(0, tokens, returned)

    def _own(
        self, arrived: Float[Tensor, "c d"], coming: Int[Tensor, "ranks slots"]
    ) -> Float[Tensor, "c d"]:
        """This rank's experts on the rows that came, which are ordered by sender and
        then by slot; each row goes to one slot, with weight 1.
        """
        slot = torch.arange(coming.shape[1], device=coming.device)
        slot = slot.repeat(len(coming)).repeat_interleave(coming.reshape(-1))
        ones = arrived.new_ones(len(arrived), 1)
        none = arrived.new_zeros(len(arrived), 0)
        alone = Routing(slot[:, None], ones, none, none)
        return dispatch_sorted(arrived, alone, self.experts)

    def add_up_shared_gradients(self) -> None:
        """After backward: sum the gradients of what several ranks hold: router, shared
        expert, projections, and the replicas of an expert. Where a rank had nothing to
        do, its gradients are zeros.
        """
        for name, weight in self.named_parameters():
            if weight.grad is None:  # a rank without rows, or without tokens
                weight.grad = torch.zeros_like(weight)
            if not name.startswith("experts."):
                weight.grad = self.ranks.all_reduce(weight.grad)
        held = [expert for own in self.placement.slots for expert in own]
        if len(held) > self.placement.e:
            for weight in self.experts.parameters():
                weight.grad = self._sum_over_replicas(weight.grad)

    def _sum_over_replicas(self, gradient: Tensor) -> Tensor:
        """Each slot's gradient summed over all slots of its expert."""
        own = list(self.placement.slots[self.ranks.rank])
        by_number = gradient.new_zeros(self.placement.e, *gradient.shape[1:])
        by_number.index_add_(0, torch.tensor(own, device=gradient.device), gradient)
        return self.ranks.all_reduce(by_number)[own]


def experts_of(whole: Experts, numbers: Sequence[int]) -> Experts:
    """Some of the experts, with copied weights.

    >>> experts_of(Experts(4, 2, 3), [3, 1]).up.shape
    torch.Size([2, 3, 2])
    """
    some = Experts(
        len(numbers),
        whole.up.shape[2],
        whole.up.shape[1],
        activation=whole.activation,
        gated=whole.gate is not None,
        bias=whole.up_bias is not None,
        limit=whole.limit,
    )
    for name, weight in whole.named_parameters():
        kept = weight.detach()[list(numbers)].clone()
        setattr(some, name, nn.Parameter(kept))
    return some
