"""Lab 4b: the checks' own versions; one takes the name of a slip and then makes it.

Symbols: s steps, e experts, c slices of the traffic, n tokens, k picks. `rank_of` [e]
    says on which rank (device) an expert lies.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Period = Mapping[str, Tensor]
MITIGATIONS = {
    "traffic": "give the hot experts replicas",
    "router": "roll the weights back and restore the bias",
    "placement": "place the experts by today's load",
}


def quantile(histograms: Sequence[Mapping[float, int]], q: float) -> float:
    """The quantile of all servers' observations, straight lines within a bucket."""
    bounds = sorted(histograms[0])
    heights = [sum(one[bound] for one in histograms) for bound in bounds]
    rank = q * heights[-1]
    place = next(i for i, height in enumerate(heights) if height >= rank)
    if bounds[place] == math.inf:
        return float(bounds[place - 1])
    low, under = (bounds[place - 1], heights[place - 1]) if place else (0.0, 0)
    share = (rank - under) / (heights[place] - under)
    return low + (bounds[place] - low) * share


def rank_loads(counts: Tensor, rank_of: Tensor) -> Tensor:
    """Slots [s r] of each rank from those of each expert [s e]."""
    ranks = int(rank_of.max()) + 1
    loads = torch.zeros(len(counts), ranks, dtype=torch.float64)
    return loads.index_add(1, rank_of, counts.double())


def rank_ratio(counts: Tensor, rank_of: Tensor, slip: str = "") -> Tensor:
    """Largest load of a rank over the mean load, in each step."""
    loads = rank_loads(counts, rank_of)
    if slip == "experts":
        loads = counts.double()
    if slip == "day":
        loads = loads.sum(0, keepdim=True).expand_as(loads)
    if slip == "median":
        return loads.amax(1) / loads.median(1).values
    if slip == "share":
        return loads.amax(1) / loads.sum(1)
    if slip == "over_steps":
        return loads.amax(1) / loads.mean()
    if slip == "means":
        loads = loads / torch.bincount(rank_of, minlength=loads.shape[1])
    return loads.amax(1) / loads.mean(1)


def balance(counts: Tensor, rank_of: Tensor) -> tuple[float, float]:
    """Mean and 99th percentile of the ratio over the steps."""
    ratios = rank_ratio(counts, rank_of)
    return float(ratios.mean()), float(ratios.quantile(0.99))


def places(counts: Tensor, drop: float, slip: str = "") -> int:
    """Fewest places for each expert and step with at most that share dropped."""
    if slip == "mean_of_max":
        return math.ceil(float(counts.amax(1).double().mean()))
    if slip == "day":
        counts = counts.double().mean(0, keepdim=True)
    limit = drop * float(counts.sum())
    if slip == "slots":  # the share of places that overflow, not of slots
        limit = drop * counts.numel()
    for room in range(int(counts.max().ceil()) + 1):
        lost = (counts.double() - room).clamp(min=0)
        over = float((lost > 0).sum()) if slip == "slots" else float(lost.sum())
        if over < limit or (over <= limit and slip != "edge"):
            return room
    return int(counts.max()) + 1


def stability(counts: Tensor, window: int, slip: str = "") -> float:
    """Largest distance between the shares of neighbouring windows."""
    whole = len(counts) // window * window
    whole = len(counts) if slip == "rest" else whole
    parts = counts.double()[:whole].split(window)
    if len(parts) < 2:
        return 0.0
    sums = [part.sum(0) for part in parts]
    if slip == "mean_of_shares":
        sums = [(part / part.sum(1, keepdim=True)).sum(0) for part in parts]
    shares = [one / one.sum() for one in sums]
    if slip == "counts":
        shares = sums
    pairs = pairwise(shares)
    if slip == "first":
        pairs = ((shares[0], other) for other in shares[1:])
    found = [float((a - b).abs().sum()) / 2 for a, b in pairs]
    if slip == "mean":
        return sum(found) / len(found)
    return 2 * max(found) if slip == "half" else max(found)


def ranks_needed(
    experts: int, expert_bytes: int, other_bytes: int, memory_bytes: int, slip: str = ""
) -> int:
    """Fewest ranks whose memory holds their experts and everything else.

    Raises: ValueError if a rank cannot even hold one expert.
    """
    room = memory_bytes if slip == "reserve" else 0.9 * memory_bytes
    other = 0 if slip == "other" else other_bytes
    if slip == "left":  # nine tenths of what is left beside the rest
        room += 0.1 * other_bytes
    if slip == "pooled":
        return math.ceil((experts * expert_bytes + other) / room)
    for ranks in range(1, experts + 1):
        held = experts / ranks if slip == "fraction" else math.ceil(experts / ranks)
        if slip == "cut":
            held = experts // ranks
        if held * expert_bytes + other <= room:
            return ranks
    raise ValueError("not even one expert fits")


def null_ratios(scores: Tensor, k: int, rank_of: Tensor, slip: str = "") -> Tensor:
    """The ratio of each draw if nobody has a favourite: scores [draws n e]."""
    picks = scores.topk(1 if slip == "top1" else k, dim=-1).indices.flatten(1)
    counts = torch.zeros(len(scores), scores.shape[2]).double()
    counts.scatter_add_(1, picks, torch.ones_like(picks).double())
    if slip == "together":
        counts = counts.sum(0, keepdim=True).expand_as(counts)
    return rank_ratio(counts, rank_of, "experts" if slip == "experts" else "")


def alarms(
    ratios: Tensor, mean: float, sd: float, slack: float, limit: float, slip: str = ""
) -> list[int]:
    """Steps at which the cumulative sum of what exceeds the slack passes the limit."""
    level, found = 0.0, []
    for step, ratio in enumerate(ratios.tolist()):
        gap = ratio - mean
        gap = gap if slip == "sd" else gap / sd
        gap = abs(gap) if slip == "two_sided" else gap
        gap = gap + slack if slip == "slack_added" else gap
        gap = gap if slip in ("no_slack", "slack_added") else gap - slack
        level = gap if slip == "one_step" else level + gap
        level = level if slip == "no_floor" else max(0.0, level)
        if level > limit or (level == limit and slip == "edge"):
            found.append(step)
            level = level if slip == "no_reset" else 0.0
    return found


def choose_limit(
    calm: Tensor,
    mean: float,
    sd: float,
    slack: float,
    limits: Sequence[float],
    most: int,
    slip: str = "",
) -> float:
    """Smallest limit with at most `most` alarms on all calm traces together.

    Raises: ValueError if no limit is quiet enough.
    """
    ordered = sorted(limits, reverse=slip == "largest")
    calm = calm.reshape(1, -1) if slip == "joined" else calm
    for limit in list(limits) if slip == "order" else ordered:
        found = [alarms(trace, mean, sd, slack, limit) for trace in calm]
        total = sum(map(len, found))
        if slip == "traces":
            total = sum(map(bool, found))
        if slip == "each":
            total = max(map(len, found))
        if total < most or (total == most and slip != "edge"):
            return limit
    raise ValueError("no limit is quiet enough")


def place(load: Tensor, ranks: int) -> Tensor:
    """Heaviest first, onto the rank with the least load that has a place left."""
    room = [len(load) // ranks] * ranks
    held, rank_of = [0.0] * ranks, torch.zeros(len(load), dtype=torch.int64)
    for expert in load.argsort(descending=True, stable=True).tolist():
        free = [rank for rank in range(ranks) if room[rank]]
        rank = min(free, key=lambda r: held[r])
        rank_of[expert], room[rank] = rank, room[rank] - 1
        held[rank] += float(load[expert])
    return rank_of


def copies(load: Tensor, spare: int) -> Tensor:
    """One copy each, then one more at a time for the largest load of a copy."""
    number = torch.ones(len(load), dtype=torch.int64)
    for _ in range(spare):
        number[(load.double() / number).argmax()] += 1
    return number


def quality(loss_sums: Tensor, tokens: Tensor) -> tuple[Tensor, float]:
    """Loss of a token in each slice [c], and over all of them."""
    by_slice = loss_sums.sum(0) / tokens.sum(0)
    return by_slice, float(loss_sums.sum() / tokens.sum())


def load_by_slice(slots: Tensor, rank_of: Tensor, slip: str = "") -> Tensor:
    """Share of each slice's slots [c e] that go to the rank that is busiest of all."""
    loads = rank_loads(slots, rank_of)
    busiest = int(loads.sum(0).argmax())
    shares = loads / loads.sum(1, keepdim=True)
    if slip == "own":
        return shares.amax(1)
    if slip == "of_rank":
        return loads[:, busiest] / loads[:, busiest].sum()
    if slip == "of_all":
        return loads[:, busiest] / loads.sum()
    if slip == "expert":
        every = slots.double()
        return every[:, int(every.sum(0).argmax())] / every.sum(1)
    return shares[:, busiest]


def distances(before: Period, after: Period, slip: str = "") -> dict[str, float]:
    """How far traffic, router and placement have moved, each from 0 to 1."""

    def shares(slots: Tensor, axis: int | None) -> Tensor:
        slots = slots.double()
        return slots / (slots.sum() if axis is None else slots.sum(axis, keepdim=True))

    mixes = [shares(one["slots"].sum(1), None) for one in (before, after)]
    routed = [shares(one["slots"], 1) for one in (before, after)]
    moved = (routed[0] - routed[1]).abs().sum(1) / 2
    router = float((mixes[1] * moved).sum())
    if slip == "pooled":
        pooled = [shares(one["slots"].sum(0), None) for one in (before, after)]
        router = float((pooled[0] - pooled[1]).abs().sum() / 2)
    if slip == "plain_mean":
        router = float(moved.mean())
    if slip == "old_mix":
        router = float((mixes[0] * moved).sum())
    placed = (before["rank_of"] != after["rank_of"]).double().mean()
    traffic = float((mixes[0] - mixes[1]).abs().sum() / 2)
    return {"traffic": traffic, "router": router, "placement": float(placed)}


def post_mortem(
    before: Period, after: Period, limit: float, slip: str = ""
) -> tuple[str, str, str]:
    """Symptom, cause and mitigation of a collapse."""
    rise = after["loss"] - before["loss"]
    rise = rise.abs() if slip == "fallen" else rise
    worst = float(rise.mean() if slip == "mean_loss" else rise.max())
    symptom = "quality" if worst > limit else "latency"
    found = distances(before, after, slip)
    cause = max(found, key=lambda name: found[name])
    return symptom, cause, MITIGATIONS[cause]
