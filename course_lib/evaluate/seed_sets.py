"""Seed sets: does a recorded finding hold under other seeds?

An experiment is recorded with its own seeds, and again with two other sets at its first
budget (`make experiments SEEDS=...`). A difference *held* when every set sees it, with
the same sign; a null held when no set sees one.

Terms:
    other seeds, replication: the same comparison with starts and batches drawn anew ->
        SeedSets
"""

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.evaluate.intervals import Interval
from course_lib.evaluate.paired_runs import Comparison, compare_runs
from course_lib.kit.runs import RecordedRun, other_seeds


@dataclass(frozen=True)
class SeedSets:
    """One variant beside the base, under each set of seeds, all at one budget.

    Attributes:
        score: what is compared; None for the held-out loss.
        sets: the comparisons, that of the experiment's own seeds first.
    """

    score: str | None
    sets: tuple[Comparison, ...]

    @property
    def compared(self) -> str:
        """What is subtracted from what, such as "no FFN minus with FFN"."""
        own = self.sets[0]
        what = "" if self.score is None else f"{self.score!r}: "
        return f"{what}{own.variant} minus {own.base}"

    @property
    def held(self) -> bool:
        """Whether all sets say the same: a difference of one sign, or none seen."""
        signs = {found.interval.mean > 0 if found.seen else None for found in self.sets}
        return len(signs) == 1

    @property
    def verdict(self) -> str:
        """The same in words."""
        seen = [found.interval.mean > 0 for found in self.sets if found.seen]
        if not seen:
            return "seen in none"
        if len(set(seen)) == 2:
            return "the sign differs"
        return "held" if self.held else f"seen in {len(seen)} of {len(self.sets)}"


def measures(run: RecordedRun) -> list[str | None]:
    """What the variants of a record are compared by: their loss (None) where all learn
    one task, else each score of their runs, since losses of two tasks do not compare.
    """
    tasks = {entry["task"] for entry in run.facts["variants"].values()}
    if len(tasks) == 1:
        return [None]
    return list(run.runs(run.base)[0]["scores"])


def sets_of(
    run: RecordedRun, others: Sequence[RecordedRun] | None = None
) -> list[SeedSets]:
    """Every comparison of a record at its first budget, beside those of other seeds.

    Args:
        run: from `kit.runs.load_run`.
        others: the same experiment under other seeds; those on file when None.

    Raises:
        ValueError: another set was not run at the first budget.
    """
    others = other_seeds(run.name) if others is None else others

    def compared(name: str, score: str | None) -> SeedSets:
        found = [
            compare_runs(one, name, None, run.budgets[0], score=score)
            for one in (run, *others)
        ]
        return SeedSets(score, tuple(found))

    scores = measures(run)
    return [compared(name, score) for score in scores for name in run.variants[1:]]


def difference(interval: Interval) -> str:
    """A difference with its interval, in as many digits as say something.

    >>> difference(Interval(0.1214, 0.1134, 0.1294, 8, 0.95))
    '+0.121 ± 0.008'
    >>> difference(Interval(-92.41, -93.0, -91.82, 8, 0.95))
    '-92.4 ± 0.6'
    """
    mean, half = interval.plus_minus
    digits = 1 if max(abs(mean), half) >= 10 else 3
    return f"{mean:+.{digits}f} ± {half:.{digits}f}"
