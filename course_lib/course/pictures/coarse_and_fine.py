"""Coarse experts, fine ones, and fine ones with a shared one: the same width works on a
token, and the number of possible teams grows.
"""

from math import comb

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import HALF, Pen

LEFT, WIDE, TALL, TOP = 8, 150, 96, 46
# title, experts, picks, how often an expert was cut, shared experts
FORMS = (
    ("Coarse", 8, 2, 1, 0),
    ("Fine-grained", 32, 8, 4, 0),
    ("Fine and shared", 31, 7, 4, 1),
)
PICKED = (1, 4, 9, 12, 17, 22, 26, 30)


def draw() -> Figure:
    """Three forms of one layer, an eighth of whose width is one coarse expert."""
    return Figure(*(_panel(*form) for form in FORMS))


def _panel(title: str, experts: int, picks: int, cut: int, shared: int) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    always = f" and {shared} for all" if shared else ""
    pen.text(6, 31, f"{picks} of {experts}{always}", "s m")
    places = experts + shared
    columns = places if cut == 1 else places // 2
    rows = places // columns
    step, high = WIDE / columns, TALL / rows
    picked = [p for p in PICKED if p < experts][:picks]
    for place in range(places):
        row, column = divmod(place, columns)
        number = place - shared
        cls = "k ffn" if number in picked else "b ffn"
        if place < shared:
            cls = "k emb"
        pen.rect(LEFT + column * step, TOP + row * high, step - 3, high - 3, cls, 1)
    y = TOP + TALL + 16
    teams = comb(experts, picks)
    pen.text(6, y, f"{teams:,} teams", "B")
    pen.text(6, y + 15, "a quarter of the width is active", "s m")
    said = f"{picks} of {experts} experts{always}: {teams:,} possible teams."
    return Panel(title, said, pen, y + 22)
