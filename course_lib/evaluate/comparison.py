"""Comparison of recorded variants: paired differences, what they could have shown, and
the two figures of a recorded run.

The difference is variant minus base, seed by seed, so above 0 the base is better. What
a null says is how large a difference these seeds would have seen in four of five tries
(`detectable`): "smaller than that", and not "none".

Terms:
    paired comparison, ablation result: variant minus base over shared seeds ->
        compare_runs
    detectable difference: what the seeds of a comparison see at a power of 80 % ->
        Comparison
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from course_lib.evaluate.intervals import Interval, paired_interval
from course_lib.evaluate.seeds import detectable_difference
from course_lib.kit.plotting import COLOURS, DASHES, INK, style
from course_lib.kit.runs import RecordedRun

LINES = ("bigram", "trigram", "4-gram")  # baselines that a figure draws


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


def comparison_rows(run: RecordedRun) -> list[list[str]]:
    """Rows for `kit.tables.table`, one a variant: parameters, CPU seconds, loss at the
    largest budget, and the paired difference at each budget.

    The header is `comparison_header(run)`.
    """
    rows = []
    for name in run.variants:
        losses = list(run.losses(name).values())
        row = [name, f"{run.parameters(name):,}", f"{run.cpu_seconds(name):.0f}"]
        row.append(f"{sum(losses) / len(losses):.3f}")
        for updates in run.budgets:
            found = (
                "" if name == run.base else str(compare_runs(run, name, None, updates))
            )
            row.append(found)
        rows.append(row)
    return rows


def comparison_header(run: RecordedRun) -> list[str]:
    """The header of `comparison_rows`."""
    last = f"{run.budgets[-1]:,}"
    columns = ["variant", "parameters", "CPU s", f"{run.unit}, {last} updates"]
    return [*columns, *(f"minus {run.base}, {n:,}" for n in run.budgets)]


def curve_figure(run: RecordedRun, title: str = "") -> Figure:
    """Held-out loss against updates, the mean over seeds, with the lines of the count
    tables. Each budget is a run of its own, its rate falling to zero at its end.

    Raises:
        ValueError: there are more than seven variants.
    """
    if len(run.variants) > len(COLOURS):
        raise ValueError(f"{len(run.variants)} variants: allowed are {len(COLOURS)}")
    style()
    fig, ax = plt.subplots(figsize=(7, 3.8))
    looks = zip(run.variants, COLOURS, DASHES, strict=False)
    for name, colour, dash in looks:
        for updates in run.budgets:
            found = {at: x for at, x in run.curve(name, updates).items() if at}
            label = name if updates == run.budgets[-1] else None
            ax.plot(
                found.keys(),
                found.values(),
                color=colour,
                linestyle=dash,
                marker="o",
                markersize=4,
                label=label,
            )
    lines = {k: v for k, v in run.baselines().items() if k in LINES} or run.baselines()
    for name, loss in lines.items():
        ax.axhline(loss, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        ax.annotate(name, (1.01, loss), xycoords=("axes fraction", "data"), va="center")
    ax.set(xlabel="updates", ylabel=f"held-out loss ({run.unit})", title=title)
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def difference_figure(run: RecordedRun, title: str = "") -> Figure:
    """Each variant minus the base: a mark a seed, the mean and its 95 % interval, one
    row a variant and budget.
    """
    style()
    others = [name for name in run.variants if name != run.base]
    rows = [(name, updates) for name in others for updates in run.budgets]
    fig, ax = plt.subplots(figsize=(7, 1.2 + 0.55 * len(rows)))
    for place, (name, updates) in enumerate(rows):
        found = compare_runs(run, name, None, updates)
        colour = COLOURS[1 + others.index(name)]
        at = [place] * len(found.seeds)
        dots = {"color": colour, "alpha": 0.6, "label": "" if place else "one seed"}
        ax.plot(found.differences, at, "o", **dots)
        mean, half = found.interval.plus_minus
        bar = {"fmt": "|", "capsize": 4, "color": INK}
        bar["label"] = "" if place else "mean, 95 % interval"
        ax.errorbar(mean, place + 0.28, xerr=half, **bar)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(rows)), [f"{name}, {n:,} updates" for name, n in rows])
    ax.set(xlabel=f"minus {run.base} ({run.unit})", title=title)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    fig.legend(loc="outside lower center", ncols=2)
    return fig
