"""Dispatch and combine: bring each token to its experts, and sum what they return.

Symbols: n tokens, k picks of a token, e experts, c tokens of one expert (its load, or
its capacity). The n k picks are numbered token by token: pick p is of token p // k.

    dispatch_loop     token by token, pick by pick: the definition
    dispatch_sorted   picks sorted by expert, so that each expert meets its tokens as
                      one slice
    dispatch_batched  every expert gets as many places as the busiest one needs, and all
                      run as one batched matmul: much padding where loads are uneven

A capacity limits how many tokens an expert takes. What is beyond it is dropped (the
layer adds nothing to such a token, but for the other picks), rerouted to its next best
expert with room, or not at all: dropless, the three functions above as they are.

Terms:
    token dispatch, permute, combine, un-permute: tokens are sorted by expert, and what
        comes back is added to the tokens that it came from -> dispatch_sorted
    batched experts: each expert's tokens padded to one length, all experts in one
        matmul -> dispatch_batched
    expert capacity, capacity factor, token dropping: the most tokens an expert takes
        from a batch; what is beyond it is dropped or sent on -> within_capacity, drop
    rerouting: a token whose expert is full goes to its next best one -> reroute
"""

from collections import Counter
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.costs import experts as expert_costs
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.router import NO_EXPERT, Picks, Routing

Tokens = Float[Tensor, "n d"]


def dispatch_loop(
    x: Tokens, routing: Routing, experts: Experts, *, weigh_input: bool = False
) -> Tokens:
    """The definition, token by token.

    *Equation*: y_t = sum over t's picks i of w_ti expert_i(x_t), or of
        expert_i(w_ti x_t) where `weigh_input` (Llama 4).

    Args:
        x, routing: the tokens, and where each of them goes.
        experts: called as experts(tokens [c d], index).
    """
    rows = []
    for token, picks, weights in zip(
        x, routing.experts.tolist(), routing.weights, strict=True
    ):
        y = torch.zeros_like(token)
        for index, weight in zip(picks, weights, strict=True):
            if index == NO_EXPERT:
                continue
            if weigh_input:
                y = y + experts((weight * token)[None], index)[0]
            else:
                y = y + weight * experts(token[None], index)[0]
        rows.append(y)
    return torch.stack(rows) if rows else torch.zeros_like(x)


def dispatch_sorted(
    x: Tokens, routing: Routing, experts: Experts, *, weigh_input: bool = False
) -> Tokens:
    """The same, expert by expert: equal to `dispatch_loop` up to the order of sums.

    *Cost*: a stable sort of n k picks, and each token's vector gathered k times and
        added k times.
    """
    tokens, weights, counts = sort_picks(routing, experts.e)  # permute
    visited = [index for index, count in enumerate(counts) if count]
    sizes = [counts[index] for index in visited]
    slices = x[tokens].split(sizes), tokens.split(sizes), weights.split(sizes)
    y = torch.zeros_like(x)
    for inputs, places, weight, one in zip(*slices, experts.of(visited), strict=True):
        if weigh_input:
            outputs = experts.run(inputs * weight, one)
        else:
            outputs = experts.run(inputs, one) * weight
        y.index_add_(0, places, outputs)  # combine, and un-permute
    return y


def dispatch_batched(
    x: Tokens, routing: Routing, experts: Experts, *, weigh_input: bool = False
) -> Tokens:
    """The same, all experts in one batched matmul over [e c d], c the largest load.

    *Cost*: e c rows where n k would do; if all tokens are on one expert, e times as
        many.
    """
    tokens, weights, counts = sort_picks(routing, experts.e)
    load = torch.tensor(counts, device=x.device)
    expert, starts = torch.repeat_interleave(load), load.cumsum(0) - load
    rank = torch.arange(len(tokens), device=x.device) - starts[expert]
    inputs = x[tokens] * weights if weigh_input else x[tokens]
    padded = x.new_zeros(experts.e, max(counts), x.shape[-1])
    padded = padded.index_put((expert, rank), inputs)
    outputs = experts.run(padded, experts.stacked())[expert, rank]
    outputs = outputs if weigh_input else outputs * weights
    return torch.zeros_like(x).index_add(0, tokens, outputs)


def sort_picks(
    routing: Routing, e: int
) -> tuple[Int[Tensor, " picks"], Float[Tensor, "picks 1"], list[int]]:
    """Sort the picks by expert.

    Returns: the token and the weight of each, and how many picks each expert has.
    """
    picks, counts = by_expert(routing.experts, e)
    weights = routing.weights.reshape(-1)[picks][:, None]
    return picks // routing.experts.shape[-1], weights, counts


def by_expert(experts: Picks, e: int) -> tuple[Int[Tensor, " picks"], list[int]]:
    """Sort picks by expert, those of one expert by token.

    Returns: the numbers of the picks in this order, without those of no expert; how
        many each expert has.

    >>> by_expert(torch.tensor([[2, 0], [0, -1]]), 3)
    (tensor([1, 2, 0]), [2, 0, 1])
    """
    flat = experts.reshape(-1)
    counts = torch.bincount(flat + 1, minlength=e + 1).tolist()
    return flat.argsort(stable=True)[counts[0] :], counts[1:]


def capacity_of(tokens: int, e: int, k: int, factor: float) -> int:
    """The places that each expert has, as `costs.experts.capacity` counts them; none
    where there are no tokens.

    >>> capacity_of(4096, 8, 2, 1.25), capacity_of(100, 10, 1, 1.1)
    (1280, 11)
    """
    return expert_costs.capacity(tokens, e, k, factor) if tokens else 0


def within_capacity(
    experts: Picks,
    e: int,
    capacity: int,
    *,
    rows: Int[Tensor, " n"] | None = None,
    positions: Int[Tensor, " n"] | None = None,
    first_choices: bool = False,
) -> Bool[Tensor, "n k"]:
    """Which picks find room, if each expert takes `capacity` of them.

    Args:
        experts: picks; one of no expert finds none, and takes none.
        e, capacity: experts, and how many picks each of them takes.
        rows: each token's row, if every row has a capacity of its own (Hugging Face's
            Switch); left out, one capacity for all, and a token's place depends on its
            batch-mates.
        positions: each token's place in its row, earlier tokens first; left out, the
            order of the tokens.
        first_choices: all first choices come before any second one (GShard). Then a
            later token's first choice can take the room of an earlier token's second,
            and the layer is not causal.

    *Source*: Lepikhin et al. 2020, section 2.2, arXiv:2006.16668 (GShard); Fedus et al.
        2021, section 2.2, arXiv:2101.03961 (Switch).

    >>> within_capacity(torch.tensor([[0], [1], [0], [0]]), 2, 2).flatten().tolist()
    [True, True, True, False]
    """
    n, k = experts.shape
    line = torch.arange(n, device=experts.device)
    positions = line if positions is None else positions
    rows = torch.zeros_like(line) if rows is None else rows
    choice = torch.arange(k, device=experts.device).expand(n, k)
    place = positions[:, None].expand(n, k)
    order = torch.arange(n * k, device=experts.device)
    queue = rows[:, None] * (e + 1) + experts + 1  # each row and expert has its own
    keys = (place, choice, queue) if first_choices else (choice, place, queue)
    for key in keys:  # from the least important to the most: stable sorts
        order = order[key.reshape(-1)[order].argsort(stable=True)]
    _, lengths = queue.reshape(-1)[order].unique_consecutive(return_counts=True)
    starts = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(n * k, device=experts.device) - starts
    return (rank.view(n, k) < capacity) & (experts != NO_EXPERT)


def drop(routing: Routing, kept: Bool[Tensor, "n k"]) -> Routing:
    """Take away the picks that are not kept. The weights of the others stay as they
    are: a token that lost one of two picks gets the other with its old weight.
    """
    return replace(
        routing,
        experts=routing.experts.masked_fill(~kept, NO_EXPERT),
        weights=routing.weights * kept,
    )


def reroute(
    routing: Routing,
    capacity: int,
    *,
    rows: Int[Tensor, " n"] | None = None,
    positions: Int[Tensor, " n"] | None = None,
) -> Routing:
    """Send picks that find no room to the token's next best expert that has some.

    Tokens choose one after another, earlier positions first; a pick without room goes
    on to the best expert that has room and that the token has not picked. Its weight
    goes with its score: w_new = w_old s_new / s_old. Where no expert has room the pick
    is dropped.

    Args:
        routing: with scores by which the next best is found.
        capacity, rows, positions: as in `within_capacity`.
    """
    n = len(routing.scores)
    ranked = routing.scores.argsort(-1, descending=True).tolist()
    row = [0] * n if rows is None else rows.tolist()
    queue = range(n) if positions is None else positions.argsort(stable=True).tolist()
    room, sent = Counter(), routing.experts.tolist()
    for token in queue:
        wanted = list(sent[token])
        for choice, old in enumerate(wanted):
            if old == NO_EXPERT:
                continue
            open_to = [old] + [i for i in ranked[token] if i not in wanted]
            taken = set(sent[token][:choice])
            free = (i for i in open_to if i not in taken)
            new = next((i for i in free if room[row[token], i] < capacity), NO_EXPERT)
            sent[token][choice] = new
            room[row[token], new] += 1
    new = torch.tensor(sent, device=routing.experts.device).view_as(routing.experts)
    there = new != NO_EXPERT
    score = routing.scores.gather(-1, new.clamp_min(0))
    moved = score / routing.scores.gather(-1, routing.experts.clamp_min(0))
    weights = (routing.weights * moved.to(routing.weights.dtype)).masked_fill(~there, 0)
    return replace(routing, experts=new, weights=weights)
