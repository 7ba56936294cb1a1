"""How many layers have worked on the source when each layer of the answer attends to
it: a PrefixLM beside an encoder-decoder of as many layers.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen

LAYERS = 4
X, Y, WIDE, HIGH = 4, 100, 60, 24
TOP, STEP = 66, 50


def draw() -> Figure:
    """The source's column at the left, the answer's at the right, layers downward."""
    half = LAYERS // 2
    return Figure(
        _panel("PrefixLM", f"one stack of {LAYERS}", LAYERS, list(range(LAYERS))),
        _panel("Encoder-decoder", f"two stacks of {half}", half, [half] * half),
    )


def _panel(title: str, note: str, layers: int, seen: list[int]) -> Panel:
    """`seen` holds, for each layer of the answer, the source's depth that it sees."""
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 31, note, "m s")
    pen.text(X + WIDE / 2, 46, "source", "s", "middle")
    pen.text(Y + WIDE / 2, 46, "answer", "s", "middle")
    for x in (X, Y):
        for i in range(layers):
            y = TOP + i * STEP
            arrow(pen, (x + WIDE / 2, y - 26 if i else y - 14), (x + WIDE / 2, y))
            pen.rect(x, y, WIDE, HIGH, "b attn")
            pen.text(x + WIDE / 2, y + 16, f"layer {i + 1}", "s", "middle")
    for i, depth in enumerate(seen):
        y = TOP + i * STEP + HIGH / 2
        start = TOP + depth * STEP - 11
        turn = 77
        points = [(X + WIDE / 2, start), (turn, start), (turn, y), (Y, y)]
        arrow(pen, *points, cls="u attn")
        pen.text(Y - 8, y - 5, depth, "B", "end")
    if layers < LAYERS:
        line(pen, (X + WIDE / 2, TOP + layers * STEP - 26), (X + WIDE / 2, start))
    bottom = TOP + LAYERS * STEP + 6
    depths = ", ".join(map(str, seen))
    said = ["layers behind the source", f"that is attended to: {depths}"]
    paragraph(pen, 6, bottom, said, "s", 13)
    return Panel(
        f"{title}: depth of the source",
        f"{' '.join(said)}.".capitalize(),
        pen,
        bottom + 18,
    )
