"""Lab 4b, exercise 1: what a step exports, and a quantile of what was scraped.

The student's metrics go to a registry of the check's own, which is read as a scrape
would read it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from prometheus_client import CollectorRegistry, generate_latest

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04_operations import reference

HINTS = {
    "registry": "Hand registry=registry to every metric: without it they land in the "
    "process's own registry, where a second instance is a duplicate.",
    "tokens": "moe_expert_tokens is a Counter with the label expert, '0' to 'e - 1': "
    "inc each by the slots of this step.",
    "counter": "What only grows is a Counter: a Gauge that is set to the last step "
    "forgets all steps between two scrapes.",
    "idle": "An expert without a single token must stand in the scrape with 0: make "
    "its child in __init__ with .labels(expert=...), or a dead expert is invisible.",
    "dropped": "moe_dropped_tokens is a Counter: inc it by the dropped slots.",
    "seconds": "moe_step_seconds is a Histogram: observe each step's seconds, once.",
    "unit": "Seconds, as the name says: no milliseconds.",
    "buckets": "Give the histogram the buckets you are handed: the default ones end at "
    "10 seconds and begin far above a step.",
    "kind": "A Histogram, whose buckets can be added over servers; the quantiles of a "
    "Summary cannot.",
    "servers": "Add the buckets of all servers first. The mean of quantiles is no "
    "quantile of anything.",
    "cumulative": "The heights are cumulative: a bucket counts what is at most its "
    "bound.",
    "line": "Within a bucket go up in a straight line from the bound below to its own.",
    "first": "The first bucket begins at 0.",
    "last": "What lies beyond the last finite bound is at least that bound: return it, "
    "for a line to infinity says nothing.",
    "at_bound": "The first bucket that reaches q times the total holds the quantile.",
    "sorted": "The bounds of a scrape may come in any order: sort them.",
}
CHECK = Checker("Exercise 1", HINTS)
BUCKETS = (0.002, 0.004, 0.008, 0.016, 0.032)


def check_metrics(metrics_class: type, seed: int = 0) -> str:
    """Check `StepMetrics(registry, experts, buckets)` with `observe(counts, dropped,
    seconds)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this lab.
    """
    rng, size = random_sizes(seed, e=(4, 7), steps=(5, 8))
    e, trials = size["e"], []
    for _ in range(2):  # two servers in one process
        registry = CollectorRegistry()
        try:
            made = metrics_class(registry, e, BUCKETS)
        except ValueError as error:
            told = "StepMetrics, made a second time"
            CHECK.fail("registry", told, "no error", f"ValueError: {error}")
        trials.append((registry, made, [0] * e, []))
    _scraped(*trials[0], 0, "before the first step", e)
    dropped = [0, 0]
    for step in range(size["steps"]):
        which = step % 3 % 2
        registry, made, counts, seconds = trials[which]
        new = torch.randint(0, 9, (e,), generator=rng)
        new[-1] = 0  # an expert that nobody picks
        lost, took = step % 4, float(2.0 ** (step % 6 - 9)) * 1.25
        told = "StepMetrics.observe"
        CHECK.call(made.observe, new.tolist(), lost, took, what=told)
        for expert, more in enumerate(new.tolist()):
            counts[expert] += more
        seconds.append(took)
        dropped[which] += lost
        for number, trial in enumerate(trials):
            _scraped(*trial, dropped[number], f"after {step + 1} steps", e)
    return "Exercise 1: counters, a histogram, and the dead are counted with 0."


def _scraped(
    registry: CollectorRegistry,
    made: object,
    counts: list[int],
    seconds: list[float],
    dropped: int,
    when: str,
    e: int,
) -> None:
    """Compare one registry with what was observed."""
    read = registry.get_sample_value
    if when.startswith("before"):
        names = [family.name for family in registry.collect()]
        wanted = {"moe_expert_tokens", "moe_dropped_tokens", "moe_step_seconds"}
        CHECK.true(
            wanted <= set(names), "registry", "metrics", sorted(wanted), sorted(names)
        )
        kinds = {family.name: family.type for family in registry.collect()}
        for name in sorted(wanted):
            right = "histogram" if name == "moe_step_seconds" else "counter"
            hint = "kind" if right == "histogram" else "counter"
            CHECK.equal(kinds[name], right, hint, f"the type of {name}")
    for expert, right in enumerate(counts):
        got = read("moe_expert_tokens_total", {"expert": str(expert)})
        hint = "idle" if got is None and not right else "tokens"
        told = f"moe_expert_tokens_total of expert {expert}, {when}"
        CHECK.equal(got, float(right), hint, told)
    told = f"moe_dropped_tokens_total, {when}"
    CHECK.equal(read("moe_dropped_tokens_total"), float(dropped), "dropped", told)
    many = read("moe_step_seconds_count")
    CHECK.equal(many, float(len(seconds)), "seconds", f"moe_step_seconds_count, {when}")
    total, right = read("moe_step_seconds_sum"), sum(seconds)
    hint = "unit" if right and abs((total or 0.0) / right - 1000) < 1 else "seconds"
    CHECK.near(total, right, hint, f"moe_step_seconds_sum, {when}", unit=" s")
    for bound in BUCKETS:
        got = read("moe_step_seconds_bucket", {"le": str(bound)})
        right = float(sum(one <= bound for one in seconds))
        told = f"the bucket up to {bound} s, {when}"
        CHECK.equal(got, right, "buckets", told)


def scrape(registry: CollectorRegistry, lines: int = 8) -> str:
    """The first lines of what a scrape returns, without the times of creation."""
    text = generate_latest(registry).decode().splitlines()
    kept = [line for line in text if "_created" not in line]
    return "\n".join(kept[:lines])


def buckets(registry: CollectorRegistry) -> dict[float, int]:
    """The cumulative buckets of moe_step_seconds by their upper bounds."""
    samples = [s for family in registry.collect() for s in family.samples]
    return {
        float(s.labels["le"]): int(s.value)
        for s in samples
        if s.name == "moe_step_seconds_bucket"
    }


def check_quantile(quantile: Callable, seed: int = 0) -> str:
    """Check `quantile(histograms, q) -> float`."""
    rng, size = random_sizes(seed, servers=(2, 3), first=(1, 6))
    bounds = (*BUCKETS, math.inf)
    for servers, q, tail in (
        (size["servers"], 0.5, 0),
        (size["servers"], 0.99, 0),
        (1, 0.875, 0),
        (2, 0.99, 40),
        (1, 0.03125, 0),
        (2, 0.75, 0),
        (1, 1.0, 0),
        (1, 0.25, 0),
    ):
        found = []
        for number in range(servers):
            heights = torch.randint(1, 30, (6,), generator=rng).tolist()
            heights[-1] = tail
            if q == 0.75:  # a quarter lies beyond a bound, exactly
                heights = [4, 4, 4, 4, 0, 0]
            if number and q == 0.99:
                heights = [h * 9 for h in heights]
            total, rows = 0, {}
            for bound, height in zip(bounds, heights, strict=True):
                total += height
                rows[bound] = total
            turned = sorted(rows, key=lambda bound: (bound * 1e4) % 7)
            found.append({bound: rows[bound] for bound in turned})
        told = f"quantile {q} of {servers} servers"
        got = CHECK.call(quantile, found, q, what=told)
        right = reference.quantile(found, q)
        if got == math.inf:
            CHECK.fail("last", told, f"{right:.6g} s", "inf")
        named = _slips(found, q, right)
        for hint, other in _others(found, q):
            if _near(got, other) and not _near(other, right):
                named = {hint: other}
        CHECK.near(got, right, "compare", told, named, unit=" s")
    return "Exercise 1: buckets are added, quantiles are not."


def _near(a: object, b: float) -> bool:
    return type(a) in (int, float) and math.isclose(a, b, rel_tol=1e-9)


def _others(found: Sequence[Mapping[float, int]], q: float) -> list[tuple[str, float]]:
    """Further results of mistakes that have a hint already."""
    alone = [reference.quantile([one], q) for one in found]
    bounds = [0.0, *sorted(found[0])]
    middles = [(a + b) / 2 for a, b in pairwise(bounds)]
    peaks = [("servers", max(alone)), ("servers", min(alone))] if len(alone) > 1 else []
    return [("line", middle) for middle in middles] + peaks


def _slips(found: Sequence[Mapping[float, int]], q: float, right: float) -> dict:
    """What the known mistakes would give."""
    alone = [reference.quantile([one], q) for one in found]
    bounds = sorted(found[0])
    heights = [sum(one[b] for one in found) for b in bounds]
    rank = q * heights[-1]
    place = next(i for i, height in enumerate(heights) if height >= rank)
    late = next((i for i, h in enumerate(heights) if h > rank), place)
    again = {b: sum(heights[: i + 1]) for i, b in enumerate(bounds)}
    below = bounds[place - 1] if place else 0.0
    mistakes = {
        "servers": sum(alone) / len(alone),
        "line": bounds[place],
        "at_bound": below if late == place else bounds[late],
        "cumulative": reference.quantile([again], q),
    }
    known = {h: w for h, w in mistakes.items() if abs(w - right) > 1e-12}
    known = {h: w for h, w in known.items() if math.isfinite(w)}
    if place == 0:
        known["first"] = bounds[0]
    return known
