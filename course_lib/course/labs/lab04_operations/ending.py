"""Lab 4b, the ending: an incident, from the first metric to the post-mortem, by the
student's own functions.

Symbols: e experts on r ranks; every step has n tokens with k picks each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from prometheus_client import CollectorRegistry
from torch import Tensor

from course_lib.course.labs.lab04_operations.exporting import buckets, scrape
from course_lib.course.labs.lab04_operations.traffic import SLICES, Day, record

EXPERTS, RANKS, TOKENS, PICKS, HOT_FROM = 32, 8, 1024, 4, 360
SECONDS_PER_SLOT = 8e-6  # of the busiest rank; the others wait for it
BUCKETS = (0.004, 0.005, 0.006, 0.007, 0.008, 0.01, 0.016)


@dataclass(frozen=True)
class Answers:
    """The student's class and functions, by the names of the lab."""

    StepMetrics: type
    quantile: Callable
    rank_ratio: Callable
    balance: Callable
    places: Callable
    stability: Callable
    ranks_needed: Callable
    null_ratios: Callable
    alarms: Callable
    choose_limit: Callable
    place: Callable
    copies: Callable
    quality: Callable
    load_by_slice: Callable
    post_mortem: Callable


def plan(answers: Answers, day: Day) -> Iterator[str]:
    """The five needs of a mixture in operation, read off a recorded day."""
    counts, placed = day.counts, torch.arange(EXPERTS) // (EXPERTS // RANKS)
    mean, p99 = answers.balance(counts, placed)
    room = answers.places(counts, 0.001)
    even = TOKENS * PICKS / EXPERTS
    moved = answers.stability(counts, 60)
    ranks = answers.ranks_needed(EXPERTS, 2 * 2**30, 6 * 2**30, 24 * 2**30)
    by_slice, overall = answers.quality(day.loss_sums, day.tokens)
    yield (
        f"[x] capacity: {room} places an expert, c = {room / even:.2f}, "
        "drops at most 0.1% of the slots"
    )
    yield f"[x] stability: from hour to hour {moved:.1%} of the slots moved at most"
    yield f"[x] balance: busiest rank {mean:.2f} times the mean, P99 {p99:.2f}"
    yield f"[x] expert parallelism: {ranks} ranks of 24 GiB at least"
    slices = zip(SLICES, by_slice.tolist(), strict=True)
    told = ", ".join(f"{name} {loss:.2f}" for name, loss in slices)
    yield f"[x] quality by slice: {told}; all tokens {overall:.2f} nats"


def incident(**functions: Any) -> Iterator[str]:
    """Yield what happens on a day whose traffic turns to law, with a router that does
    badly there.
    """
    answers = Answers(**functions)
    placed = torch.arange(EXPERTS) // (EXPERTS // RANKS)
    quiet = record(1, steps=600)
    day = record(1, steps=480, hot_from=HOT_FROM, hot=8.0, worse=0.4)
    yield "1. What a scrape shows"
    yield from _exported(answers, day, placed)
    yield "2. The alert"
    yield from _alerted(answers, quiet, day, placed)
    yield "3. Placement under a budget of 8 more copies, by the busiest rank"
    yield from _placed(answers, quiet, day, placed)
    yield "4. Quality by slice beside load by slice"
    yield from _sliced(answers, day, placed)
    yield "5. Post-mortem"
    before, after = (
        _period(part, answers, placed) for part in (_part(day, 0), _part(day, 1))
    )
    names = ("symptom", "cause", "mitigation")
    for name, word in zip(names, answers.post_mortem(before, after, 0.1), strict=True):
        yield f"  {name}: {word}"


def _part(day: Day, which: int) -> Day:
    cut = slice(0, HOT_FROM) if which == 0 else slice(HOT_FROM, None)
    return Day(day.slots[cut], day.loss_sums[cut], day.tokens[cut])


def _period(day: Day, answers: Answers, placed: Tensor) -> dict[str, Tensor]:
    by_slice, _ = answers.quality(day.loss_sums, day.tokens)
    return {"slots": day.slots.sum(0), "rank_of": placed, "loss": by_slice}


def _exported(answers: Answers, day: Day, placed: Tensor) -> Iterator[str]:
    for name, part in (("quiet", _part(day, 0)), ("hot", _part(day, 1))):
        registry = CollectorRegistry()
        metrics = answers.StepMetrics(registry, EXPERTS, BUCKETS)
        ratios = answers.rank_ratio(part.counts, placed)
        mean = TOKENS * PICKS / RANKS
        for counts, ratio in zip(part.counts.tolist(), ratios.tolist(), strict=True):
            metrics.observe(counts, 0, ratio * mean * SECONDS_PER_SLOT)
        p50, p99 = (answers.quantile([buckets(registry)], q) for q in (0.5, 0.99))
        if name == "quiet":
            yield scrape(registry, 4)
        yield f"  {name}: step time P50 {1e3 * p50:.2f} ms, P99 {1e3 * p99:.2f} ms"


def _alerted(answers: Answers, quiet: Day, day: Day, placed: Tensor) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, TOKENS, EXPERTS, generator=generator)
    null = answers.null_ratios(scores, PICKS, placed)
    ratios = answers.rank_ratio(quiet.counts, placed)
    calm = ratios[:480].unflatten(0, (8, 60))
    yield (
        f"  an even router by chance: {null.mean():.3f} +- {null.std():.3f}; "
        f"this model on a quiet day: {calm.mean():.3f} +- {calm.std():.3f}"
    )
    limits = [2.0 + 0.5 * i for i in range(25)]
    given = float(calm.mean()), float(calm.std()), 0.5
    limit = answers.choose_limit(calm, *given, limits, 0)
    held = len(answers.alarms(ratios[480:], *given, limit))
    rings = answers.alarms(answers.rank_ratio(day.counts, placed), *given, limit)
    first = next((step for step in rings if step >= HOT_FROM), None)
    told = "never" if first is None else f"{first - HOT_FROM} steps after the topic"
    yield (
        f"  limit {limit}: {held} false alarms in 120 quiet steps that set nothing; "
        f"rings {told}"
    )


def _placed(answers: Answers, quiet: Day, day: Day, placed: Tensor) -> Iterator[str]:
    hot = day.counts[HOT_FROM:]
    for name, counts in (("quiet", quiet.counts), ("hot", hot)):
        # Placed by one half, judged by the other.
        half = len(counts) // 2
        load, later = counts[:half].sum(0), counts[half:]
        packed = answers.place(load, RANKS)
        number = answers.copies(load, RANKS)
        owner = torch.arange(EXPERTS).repeat_interleave(number)
        where = answers.place(load[owner] / number[owner], RANKS)
        spread = later.double()[:, owner] / number[owner]
        ways = {
            "in order": answers.rank_ratio(later, placed),
            "packed by load": answers.rank_ratio(later, packed),
            "packed, 8 copies": answers.rank_ratio(spread, where),
        }
        told = ", ".join(f"{way} {float(r.mean()):.2f}" for way, r in ways.items())
        yield f"  {name}: {told}"


def _sliced(answers: Answers, day: Day, placed: Tensor) -> Iterator[str]:
    parts = [_part(day, which) for which in (0, 1)]
    losses = [answers.quality(part.loss_sums, part.tokens) for part in parts]
    loads = [answers.load_by_slice(part.slots.sum(0), placed) for part in parts]
    for at, name in enumerate(SLICES):
        yield (
            f"  {name:8} loss {losses[0][0][at]:.2f} -> {losses[1][0][at]:.2f}, "
            f"on the busiest rank {loads[0][at]:.1%} -> {loads[1][at]:.1%} of its slots"
        )
    yield f"  {'all':8} loss {losses[0][1]:.2f} -> {losses[1][1]:.2f}"
