"""Paired runs: two variants of a recorded experiment beside each other, seed by seed.

The difference is variant minus base, so above 0 the base is better (of a loss). What a
null says is how large a difference these seeds would have seen in four of five tries
(`detectable`): "smaller than that", and not "none".

Terms:
    paired comparison, ablation result: variant minus base over shared seeds ->
        compare_runs
    detectable difference: what the seeds of a comparison see at a power of 80 % ->
        Comparison
"""

from dataclasses import dataclass

import torch

from course_lib.evaluate.intervals import Interval, paired_interval
from course_lib.evaluate.seeds import detectable_difference
from course_lib.kit.runs import RecordedRun


@dataclass(frozen=True)
class Comparison:
    """A variant beside the base, over the seeds that both have.

    Attributes:
        variant, base: their names.
        updates: the budget.
        differences: variant minus base, one a seed, in the order of `seeds`.
        interval: their mean with its 95 % interval.
        detectable: the true difference that so many seeds see in four of five tries.
    """

    variant: str
    base: str
    updates: int
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    interval: Interval
    detectable: float

    @property
    def seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return 0.0 not in self.interval

    def __str__(self) -> str:
        mean, half = self.interval.plus_minus
        found = f"{mean:+.3f} +- {half:.3f}"
        if self.seen:
            return found
        return f"{found} (these seeds see {self.detectable:.3f})"


def compare_runs(
    run: RecordedRun,
    variant: str,
    base: str | None = None,
    updates: int | None = None,
    *,
    score: str | None = None,
) -> Comparison:
    """Compare two variants of one record, paired by seed.

    Args:
        run: from `kit.runs.load_run`.
        variant, base: names; the record's base when `base` is None.
        updates: one of the record's budgets, the largest when None.
        score: another number of the runs than their loss.

    Raises:
        ValueError: an unknown name or budget, or fewer than 2 seeds in common.
    """
    base = run.base if base is None else base
    updates = run.budgets[-1] if updates is None else updates

    def values(name: str) -> dict[int, float]:
        if score is None:
            return run.losses(name, updates)
        return run.scores(name, score, updates)

    ours, theirs = values(variant), values(base)
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    if len(seeds) < 2:
        raise ValueError(f"seeds={seeds}: allowed are 2 or more that both have")
    first, second = ([found[seed] for seed in seeds] for found in (ours, theirs))
    differences = [a - b for a, b in zip(first, second, strict=True)]
    std = torch.tensor(differences, dtype=torch.float64).std().item()
    return Comparison(
        variant,
        base,
        updates,
        seeds,
        tuple(differences),
        paired_interval(first, second),
        detectable_difference(std, len(seeds)) if std else 0.0,
    )
