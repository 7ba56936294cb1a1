"""Comparison of recorded variants: the table and the two figures of a recorded run.

Differences are paired, variant minus base (`evaluate.paired_runs`).

Terms:
    comparison figure: recorded losses with the n-gram lines -> curve_figure
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from course_lib.evaluate.paired_runs import Comparison, compare_runs
from course_lib.kit.plotting import COLOURS, DASHES, INK, style
from course_lib.kit.runs import RecordedRun

__all__ = [
    "Comparison",
    "compare_runs",
    "comparison_header",
    "comparison_rows",
    "curve_figure",
    "difference_figure",
]

LINES = ("bigram", "trigram", "4-gram")  # baselines that a figure draws


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
