"""The published models by time: when each came out, how large it is, what mixes its
tokens.

Total parameters stand on a logarithmic axis; a mixture of experts has a second mark for
the parameters that work on one token, and a line between the two.
"""

from collections.abc import Sequence
from math import log10

from course_lib.course.gallery.catalogue import Entry
from course_lib.course.gallery.strip import columns
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import LINE, legend, line
from course_lib.kit.diagrams.pen import WIDTH, Pen, text_width
from course_lib.kit.units import billions_text

TOP, BOTTOM, LEFT, RIGHT = 24, 330, 40, WIDTH - 8
SMALLEST, LARGEST = 7.3, 12.0  # powers of ten on the axis
TICKS = (8, 9, 10, 11, 12)


def timeline(found: Sequence[Entry]) -> Figure:
    """Draw the models that have a date, whatever their order."""
    dated = [one for one in found if one.release.date]
    years = sorted({int(one.release.year) for one in dated})
    pen = Pen()
    pen.text(8, 14, "Parameters of the published models, by time", "T")
    _axes(pen, years[0], years[-1] + 1)
    placed = [(*_place(one, years[0], years[-1] + 1), one) for one in dated]
    for x, y, one in placed:
        _mark(pen, x, y, one)
    _names(pen, placed)
    y = BOTTOM + 24
    y += legend(pen, 8, y, _key())
    said = (
        f"{len(dated)} models from {years[0]} to {years[-1]}; the smallest has "
        f"{billions_text(min(map(_total, dated)))} parameters, the largest "
        f"{billions_text(max(map(_total, dated)))}."
    )
    return Figure(Panel("Published models by time", said, pen, y + 6))


def _key() -> list[tuple[str, str]]:
    return [
        ("p attn", "attention alone"),
        ("p state", "diamond: a recurrent state"),
        ("p ffn", "mixture: total"),
        ("q ffn", "mixture: active per token"),
    ]


def _total(one: Entry) -> int:
    return one.view.amounts[0].value


def _height(parameters: float) -> float:
    share = (log10(parameters) - SMALLEST) / (LARGEST - SMALLEST)
    return BOTTOM - share * (BOTTOM - TOP)


def _place(one: Entry, first: int, last: int) -> tuple[float, float]:
    """Where a model stands; a date without a day is the middle of its month."""
    year, month, *day = map(int, (one.release.date or "").split("-"))
    when = year + (month - 1 + (day[0] if day else 15) / 31) / 12
    x = LEFT + (when - first) / (last - first) * (RIGHT - LEFT)
    return x, _height(_total(one))


def _axes(pen: Pen, first: int, last: int) -> None:
    for power in TICKS:
        y = _height(10**power)
        line(pen, (LEFT, y), (RIGHT, y), cls="e")
        pen.text(LEFT - 4, y + 3.5, billions_text(10**power), "s m", "end")
    step = (RIGHT - LEFT) / (last - first)
    for i, year in enumerate(range(first, last)):
        line(pen, (LEFT + i * step, BOTTOM), (LEFT + i * step, BOTTOM + 4))
        pen.text(
            LEFT + (i + 0.5) * step, BOTTOM + 14, f"’{year % 100}", "s m", "middle"
        )
    line(pen, (LEFT, BOTTOM), (RIGHT, BOTTOM))


def _mark(pen: Pen, x: float, y: float, one: Entry) -> None:
    """A disc, with a second for active parameters; a recurrent state is a diamond."""
    amounts = {amount.key: amount.value for amount in one.view.amounts}
    if "active" in amounts:
        low = _height(amounts["active"])
        line(pen, (x, y), (x, low), cls="u ffn")
        pen.circle(x, low, 3, "q ffn")
    role = "p ffn" if "active" in amounts else "p attn"
    mixers = {cells[0] for stack in one.view.stacks for cells in columns(stack)}
    if any("state" in cell for cell in mixers):
        pen.path(f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z", "p state")
    else:
        pen.circle(x, y, 3.5, role)


def _names(pen: Pen, placed: Sequence[tuple[float, float, Entry]]) -> None:
    """Name models, the largest first, where a name covers neither a mark nor another
    name.
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y, _ in placed]
    taken += [
        (x - 4, y, x + 4, _height(amount.value) + 4)
        for x, y, one in placed
        for amount in one.view.amounts
        if amount.key == "active"
    ]
    for x, y, one in sorted(placed, key=lambda place: place[1]):
        wide = text_width(one.release.name, "s")
        for left in (x + 7, x - 7 - wide):
            box = (left - 1, y - 5, left + wide + 1, y + LINE - 9)
            inside = left >= LEFT and left + wide <= RIGHT and y > TOP
            if inside and not any(_meet(box, other) for other in taken):
                pen.text(left, y + 3.5, one.release.name, "s")
                taken.append(box)
                break


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return (
        one[0] < other[2]
        and other[0] < one[2]
        and one[1] < other[3]
        and other[1] < one[3]
    )
