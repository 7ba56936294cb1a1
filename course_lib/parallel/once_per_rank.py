"""Expert parallelism that sends a token once to each rank, however many of its experts
are there: what node-limited routing saves.

Symbols: as in `experts`; D ranks with s slots each, m distinct ranks of a token.

A token's vector goes to each of its m ranks with a row of s weights, zero for slots
that it did not pick; the rank sums its experts' outputs and returns one vector:

    out    m (d + s) numbers and m s marks of what was picked     in place of k d
    back   m d numbers                                            in place of k d

Where all ranks of a node are taken for one, this is the exchange between nodes that
`costs.expert_exchange` prices; a router with as many groups as ranks, of which a token
may pick `top_groups`, holds m down to these.

Source: DeepSeek-AI 2024, arXiv 2412.19437, section 3.2.2. Differs from source: one
    level of links, and weights travel with the tokens.

Terms:
    token deduplication in dispatch: a token is sent once to a place that holds several
        of its experts -> OncePerRank
"""

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.layers.feed_forward.dispatch import dispatch_sorted
from course_lib.layers.feed_forward.router import NO_EXPERT, Routing
from course_lib.parallel.experts import ExpertParallel, RowExchange


class OncePerRank(ExpertParallel):
    """`ExpertParallel` with the other exchange: the same outputs and gradients, fewer
    bytes where tokens have several experts on one rank.
    """

    def routed(self, x: Float[Tensor, "n d"], routing: Routing) -> Float[Tensor, "n d"]:
        """Dispatch, the experts here with their weights, combine."""
        n, d = x.shape
        own, ranks = len(self.placement.slots[0]), self.ranks.count
        slots = self.placement.slot_of(routing.experts)
        there = slots != NO_EXPERT
        at = torch.arange(n, device=x.device)[:, None].expand_as(slots)[there]
        picked = torch.zeros(n, ranks * own, dtype=torch.bool, device=x.device)
        picked[at, slots[there]] = True
        weights = x.new_zeros(n, ranks * own)
        weights = weights.index_put((at, slots[there]), routing.weights[there])

        picked, weights = picked.view(n, ranks, own), weights.view(n, ranks, own)
        rank, token = picked.any(-1).T.nonzero(as_tuple=True)  # by rank, then by token
        visits = torch.bincount(rank, minlength=ranks)[:, None]
        send = visits[:, 0].tolist()
        receive = self.wire.swap_counts(visits)[:, 0].tolist()
        self.arrived = sum(receive)

        hold = self.experts.up
        rows = torch.cat([x[token], weights[token, rank]], -1)
        arrived = RowExchange.apply(rows, hold, send, receive, self.wire)
        marks = self._swap_marks(picked[token, rank], send, receive)
        inputs, shares = arrived.split([d, own], -1)
        made = self._sum_here(inputs, shares, marks) if self.arrived else inputs
        returned = RowExchange.apply(made, hold, receive, send, self.wire)
        return torch.zeros_like(x).index_add(0, token, returned)

    def _swap_marks(
        self, marks: Bool[Tensor, "sent s"], send: list[int], receive: list[int]
    ) -> Bool[Tensor, "received s"]:
        """Which slots each row that comes has picked."""
        arrived = torch.empty(
            sum(receive), marks.shape[1], dtype=torch.uint8, device=marks.device
        )
        given = marks.to(torch.uint8).contiguous()
        dist.all_to_all_single(arrived, given, receive, send, group=self.ranks.group)
        away = sum(send) - send[self.ranks.rank]
        self.wire.count_bytes += away * marks.shape[1]
        return arrived.bool()

    def _sum_here(
        self,
        inputs: Float[Tensor, "c d"],
        shares: Float[Tensor, "c s"],
        marks: Bool[Tensor, "c s"],
    ) -> Float[Tensor, "c d"]:
        """Each row's weighted sum over this rank's experts."""
        slot = torch.arange(marks.shape[1], device=marks.device)
        experts = torch.where(marks, slot, NO_EXPERT)
        none = inputs.new_zeros(len(inputs), 0)
        routing = Routing(experts, shares, none, none)
        weigh = self.weigh_input
        return dispatch_sorted(inputs, routing, self.experts, weigh_input=weigh)
