"""A figure laid out again for a phone: the same artists on a narrower sheet.

Panels that stood side by side stand under one another, legends move below the axes, and
titles, labels and tick labels that have become too long are wrapped or thinned. What a
figure draws is not touched.
"""

import math
import warnings

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from course_lib.kit.narrow_legend import legends_below
from course_lib.kit.narrow_text import fit_words, shrink_words

NARROW_IN = 3.6
SHRINK = 0.82  # of the words; a phone shows the sheet larger than a desk does
ROW_IN, BAR_IN = 2.1, 0.7  # a row of stacked panels; a colour bar under them
LEAST_IN = 1.5  # height of a pair of axes


def make_narrow(fig: Figure, columns: int | None = None) -> None:
    """Lay a figure out for 3.6 inches of width, in place.

    Args:
        fig: a figure in the course's style.
        columns: how many panels stand side by side; when None, two for pictures, else
            one.
    """
    with warnings.catch_warnings():
        # names of rows that are not wrapped yet may leave the axes no room
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        shrink_words(fig, SHRINK)
        rows = _stack(fig, columns)
        height = fig.get_size_inches()[1] * SHRINK
        if rows:
            height = rows * ROW_IN + BAR_IN * any(_is_bar(ax) for ax in fig.axes)
        fig.set_size_inches(NARROW_IN, height)
        height += legends_below(fig)
        fig.set_size_inches(NARROW_IN, height)
        fit_words(fig)
        _heighten(fig)


def panels(fig: Figure) -> list[Axes]:
    """Return the axes that stand in a grid, in reading order, without colour bars."""
    found = [ax for ax in fig.axes if ax.get_subplotspec() and not _is_bar(ax)]
    return sorted(found, key=lambda ax: ax.get_subplotspec().num1)


def _is_bar(ax: Axes) -> bool:
    return hasattr(ax, "_colorbar")


def _stack(fig: Figure, columns: int | None) -> int:
    """Put panels that stand side by side into fewer columns; return the rows, 0 if
    nothing moved.
    """
    found = panels(fig)
    for ax in [ax for ax in found if not ax.axison and not ax.has_data()]:
        ax.set_in_layout(False)
        ax.set_visible(False)
        found.remove(ax)
    across = max((ax.get_subplotspec().get_gridspec().ncols for ax in found), default=1)
    if across == 1 or len(found) == 1:
        return 0
    columns = columns or (2 if all(ax.images for ax in found) else 1)
    rows = math.ceil(len(found) / columns)
    grid = GridSpec(rows, columns, figure=fig)
    one_x, one_y = (_shared(found, axis) for axis in "xy")
    x_words, y_words = found[-1].get_xlabel(), _row_words(found)
    _title_all(found)
    for place, ax in enumerate(found):
        ax.set_subplotspec(grid[place // columns, place % columns])
        if one_x:
            last = place + columns >= len(found)
            ax.tick_params(axis="x", labelbottom=last)
            ax.set_xlabel(x_words if last else "")
        if one_y:
            ax.tick_params(axis="y", labelleft=place % columns == 0)
            ax.set_ylabel(y_words[ax] if place % columns == 0 else "")
    return rows


def _row_words(found: list[Axes]) -> dict[Axes, str]:
    """Return what stands beside the row of each panel: its first panel's label."""
    first: dict[int, str] = {}
    for ax in found:
        first.setdefault(ax.get_subplotspec().rowspan.start, ax.get_ylabel())
    return {ax: first[ax.get_subplotspec().rowspan.start] for ax in found}


def _title_all(found: list[Axes]) -> None:
    """Give a panel the title that stood over its column, since it stands apart now."""
    over: dict[int, str] = {}
    for ax in found:
        words = ax.get_title("left") or ax.get_title()
        column = ax.get_subplotspec().colspan.start
        if words:
            over[column] = words
        elif column in over:
            ax.set_title(over[column], fontsize=ax._left_title.get_fontsize())


def _shared(found: list[Axes], axis: str) -> bool:
    """Say whether all panels share an axis, so that inner ones need no labels."""
    groups = getattr(found[0], f"get_shared_{axis}_axes")()
    return all(groups.joined(found[0], ax) for ax in found[1:])


def _heighten(fig: Figure) -> None:
    """Give back to the axes what wrapped words and legends took from their height."""
    for _ in range(3):
        fig.draw_without_rendering()
        width, height = fig.get_size_inches()
        found = panels(fig)
        if not found:
            return
        low = min(ax.get_position().height for ax in found) * height
        rows = len({round(ax.get_position().y0, 3) for ax in found})
        if low >= LEAST_IN or all(ax.get_aspect() != "auto" for ax in found):
            return
        fig.set_size_inches(width, height + rows * (LEAST_IN - low + 0.02))
