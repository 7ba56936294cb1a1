"""Lab 4b, exercise 2: what a recorded day says about capacity, balance, stability and
ranks.

Symbols: s steps, e experts; `rank_of` [e] says where an expert lies.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04_operations import reference
from course_lib.course.labs.lending import helped, strided

HINTS = {
    "ratio": "For each step: the largest load of a rank over the mean load of a rank.",
    "experts": "A rank waits for all of its experts: add their slots first.",
    "means": "Ranks need not hold equally many experts: a rank waits for the sum of "
    "its experts' slots, not for their mean.",
    "day": "Each step waits for its own busiest rank: the ratio of the day's sums "
    "hides every peak.",
    "median": "The mean load, not the median: it is what an even placement would give.",
    "share": "Over the mean load, not over the sum.",
    "over_steps": "Over the mean load of the same step: steps have unlike many tokens.",
    "floats": "Return two floats of Python: mean and 99th percentile.",
    "p99": "The 99th percentile of the steps, straight between neighbours as "
    "torch.quantile and numpy.quantile have it.",
    "mean": "The mean of the steps' ratios comes first.",
    "p99_of_means": "First the percentile, of single steps: the P99 of means over "
    "many steps is nearly the mean.",
    "mean_of_max": "The mean of the steps' largest loads drops slots in half of the "
    "steps: the plan is for the load, not for its mean.",
    "slots": "Count the slots that are dropped, not the places that overflow.",
    "edge": "A dropped share of exactly `drop` is allowed.",
    "room": "A smaller number of places drops too much, or a larger one is not needed: "
    "take the smallest that keeps within `drop`.",
    "half": "The distance of two distributions is half the sum of the absolute "
    "differences, so that it lies between 0 and 1.",
    "first": "Compare each window with the one before it: a slow drift is no jump.",
    "largest": "Report the largest distance, not the mean.",
    "mean_of_shares": "A window's shares are its slots over all its slots; a mean of "
    "the steps' shares weighs an empty step as much as a full one.",
    "rest": "Steps behind the last whole window are left out.",
    "counts": "Divide by the window's slots: shares are compared, not counts.",
    "few": "With fewer than two whole windows nothing can be compared: 0.0.",
    "reserve": "A tenth of the memory is kept back.",
    "left": "A tenth of the whole memory is kept back, not of what is left beside "
    "everything else.",
    "other": "Each rank holds everything else too: attention, embeddings, caches.",
    "pooled": "Everything else lies on every rank, so memory cannot be added up and "
    "divided.",
    "fraction": "A rank holds whole experts: round experts / ranks up.",
    "impossible": "If a rank cannot hold a single expert, raise ValueError.",
}
CHECK = Checker("Exercise 2", HINTS)


def day(rng: torch.Generator, s: int, e: int, peak: bool = True) -> Tensor:
    """Counts [s e] of steps of unlike size, some of them with one crowded expert."""
    size = torch.randint(1, 6, (s, 1), generator=rng)
    counts = torch.randint(0, 12, (s, e), generator=rng) * size
    counts[:, 0] += 1
    if peak and s > 2:
        counts[s // 3, e // 2] += 90
    return counts


def rank_of(e: int, ranks: int, rng: torch.Generator) -> Tensor:
    """Experts dealt to ranks, not in order."""
    return (torch.arange(e) % ranks)[torch.randperm(e, generator=rng)]


def check_rank_ratio(rank_ratio: Callable, seed: int = 0) -> str:
    """Check `rank_ratio(counts, rank_of) -> [s]`."""
    rng, size = random_sizes(seed, s=(6, 9), each=(2, 3), ranks=(3, 4))
    steps, deal = size["s"], size["ranks"]
    even = size["each"] * deal
    days = (steps, even, deal), (1, even, deal), (steps, even, even)
    for s, e, ranks in (*days, (steps, even + 1, deal)):
        counts, placed = day(rng, s, e), rank_of(e, ranks, rng)
        told = f"rank_ratio of {s} steps, {e} experts on {ranks} ranks"
        got = CHECK.call(rank_ratio, strided(counts), placed, what=told)
        right = reference.rank_ratio(counts, placed)
        slips = ("experts", "means", "day", "median", "share", "over_steps")
        wrong = {x: reference.rank_ratio(counts, placed, x) for x in slips}
        named = {x: w for x, w in wrong.items() if not torch.allclose(w, right)}
        CHECK.close(got, right, "ratio", told, named, "ratio")
    return "Exercise 2: a step waits for its busiest rank."


def check_balance(balance: Callable, seed: int = 0) -> str:
    """Check `balance(counts, rank_of) -> (mean, p99)`, with the lab's own `rank_ratio`
    beside it, or else with the student's.
    """

    def trial() -> None:
        rng, size = random_sizes(seed, s=(60, 140), each=(2, 3), ranks=(3, 4))
        e = size["each"] * size["ranks"]
        for s in (size["s"], 10, 1):
            counts = day(rng, s, e)
            placed = rank_of(e, size["ranks"], rng)
            told = f"balance of {s} steps"
            got = CHECK.call(balance, strided(counts), placed, what=told)
            pair = isinstance(got, tuple | list) and len(got) == 2
            kinds = [type(x).__name__ for x in got] if pair else type(got).__name__
            numbers = pair and all(type(x) in (int, float) for x in got)
            CHECK.true(numbers, "floats", told, ["float", "float"], kinds)
            _both(got, counts, placed, told)

    helped(trial, balance, rank_ratio=reference.rank_ratio)
    return "Exercise 2: the mean looks fine, and users wait for the P99."


def _both(got: tuple, counts: Tensor, placed: Tensor, told: str) -> None:
    mean, p99 = reference.balance(counts, placed)
    ratios = reference.rank_ratio(counts, placed)
    whole = reference.rank_ratio(counts.sum(0, keepdim=True), placed)
    mistakes = {"day": float(whole), "mean": p99}
    named = {h: w for h, w in mistakes.items() if abs(w - mean) > 1e-9}
    CHECK.near(got[0], mean, "mean", f"the mean in {told}", named)
    hours = torch.stack([part.mean() for part in ratios.split(10)])
    mistakes = {
        "p99_of_means": float(hours.quantile(0.99)),
        "mean": mean,
    }
    named = {h: w for h, w in mistakes.items() if abs(w - p99) > 1e-9}
    CHECK.near(got[1], p99, "p99", f"the 99th percentile in {told}", named)


def check_places(places: Callable, seed: int = 0) -> str:
    """Check `places(counts, drop) -> int`."""
    rng, size = random_sizes(seed, s=(7, 11), e=(4, 7))
    exact = torch.tensor([[8, 4, 2, 2], [5, 5, 3, 3]])  # 32 slots, 2 of them beyond 6
    for counts, drop in (
        (day(rng, size["s"], size["e"]), 0.0),
        (day(rng, size["s"], size["e"]), 0.03125),
        (day(rng, size["s"], size["e"]), 0.25),
        (exact, 0.0625),
        (day(rng, 1, size["e"]), 0.125),
        (exact, 1.0),
    ):
        told = f"places for {len(counts)} steps with at most {drop:.2%} dropped"
        got = CHECK.call(places, strided(counts), drop, what=told)
        right = reference.places(counts, drop)
        slips = ("mean_of_max", "day", "slots")
        slips = ("edge",) if counts is exact and drop < 1 else slips
        wrong = {x: reference.places(counts, drop, x) for x in slips}
        named = {x: w for x, w in wrong.items() if w != right}
        CHECK.equal(got, right, "room", told, named)
    return "Exercise 2: places for the load of every step, not for its mean."


def check_stability(stability: Callable, seed: int = 0) -> str:
    """Check `stability(counts, window) -> float`."""
    rng, size = random_sizes(seed, w=(3, 5), windows=(3, 5), e=(4, 7))
    w = size["w"]
    for steps, window in (
        (w * size["windows"], w),
        (w * size["windows"] + w - 1, w),
        (2 * w, w),
        (w + 1, w),
        (w - 1, w),
        (4, 1),
    ):
        counts = day(rng, steps, size["e"])
        counts[w * 2 :, -1] += 200  # a drift, and a jump at the end
        if steps % window:
            counts[-1, 0] += 3000
        told = f"stability of {steps} steps in windows of {window}"
        crash = "few" if steps < 2 * window else "crash"
        got = CHECK.call(stability, strided(counts), window, what=told, crash=crash)
        right = reference.stability(counts, window)
        if steps < 2 * window:
            CHECK.equal(got, 0.0, "few", told)
            continue
        slips = ("half", "first", "mean", "mean_of_shares", "rest", "counts")
        wrong = {x: reference.stability(counts, window, x) for x in slips}
        wrong["largest"] = wrong.pop("mean")
        named = {x: v for x, v in wrong.items() if abs(v - right) > 1e-9}
        CHECK.near(got, right, "compare", told, named)
    return "Exercise 2: how far the shares moved from one window to the next."


def check_ranks_needed(ranks_needed: Callable, seed: int = 0) -> str:
    """Check `ranks_needed(experts, expert_bytes, other_bytes, memory_bytes) -> int`."""
    _, size = random_sizes(seed, unit=(3, 40), e=(9, 20), other=(2, 4))
    unit = 10 * size["unit"]
    for experts, other, memory in (
        (8, 3, 5),
        (12, 4, 7),
        (size["e"], size["other"], 10),
        (256, 3, 20),
        (8, 1, 10),  # exactly full: 8 experts and 1 in nine tenths of 10
        (7, 0, 4),
        (30, 14, 20),
        (size["e"], 0, 200),
    ):
        sizes = unit, other * unit, memory * unit
        told = f"ranks_needed({experts}, {', '.join(map(str, sizes))})"
        got = CHECK.call(ranks_needed, experts, *sizes, what=told)
        right = reference.ranks_needed(experts, *sizes)
        slips = ("reserve", "left", "other", "pooled", "fraction", "cut")
        wrong = {x: reference.ranks_needed(experts, *sizes, x) for x in slips}
        named = {x: w for x, w in wrong.items() if w != right}
        if "cut" in named and got == named.pop("cut"):
            named["fraction"] = got
        CHECK.equal(got, right, "compare", told, named)
    for other, memory in ((9, 10), (20, 10)):
        sizes = unit, other * unit, memory * unit
        told = f"ranks_needed({experts}, {', '.join(map(str, sizes))})"
        CHECK.refuses(lambda s=sizes: ranks_needed(8, *s), "impossible", told)
    return "Exercise 2: whole experts, and everything else beside them."
