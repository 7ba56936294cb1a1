"""Mean and worst: two steps with the same work on four ranks, even and with a hot
expert. A step ends when its last rank is done.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import WIDTH, Pen

EVEN, HOT = (6, 7, 5, 6), (4, 13, 3, 4)  # tokens of each rank
LEFT, UNIT, LANE = 52, 11, 19


def draw() -> Figure:
    """Two steps of two layers, under one another, on one scale of time."""
    pen, y = Pen(), 0.0
    for title, layers in (
        ("Even traffic", (EVEN, (7, 5, 6, 6))),
        ("One hot expert", (HOT, (4, 12, 4, 4))),
    ):
        y = _step(pen, y, title, layers)
    work = sum(EVEN)
    said = (
        f"Both steps have {work} tokens in each layer. With even traffic the longest "
        f"ranks take {max(EVEN)} and 7, with a hot expert {max(HOT)} and 12, because "
        "every rank waits for the last one in every layer."
    )
    return Figure(Panel("A step ends with its slowest rank", said, pen, y))


def _step(pen: Pen, y: float, title: str, layers) -> float:
    pen.text(4, y + 15, title, "T")
    ends = sum(max(layer) for layer in layers)
    pen.text(WIDTH - 6, y + 15, f"both layers: {ends} units of time", "s B", "end")
    ranks, start = len(layers[0]), LEFT
    for rank in range(ranks):
        pen.text(LEFT - 6, y + 36 + rank * LANE, f"rank {rank}", "s", "end")
    for number, layer in enumerate(layers):
        longest = max(layer)
        for rank, tokens in enumerate(layer):
            top = y + 24 + rank * LANE
            role = "k ffn" if tokens == longest else "b ffn"
            pen.rect(start, top, tokens * UNIT, LANE - 4, role, 1)
            if tokens < longest:
                x = start + tokens * UNIT
                pen.rect(x, top, (longest - tokens) * UNIT, LANE - 4, "g", 1)
        end = start + longest * UNIT
        line(pen, (end, y + 20), (end, y + 24 + ranks * LANE))
        middle = (start + end) / 2
        pen.text(middle, y + 38 + ranks * LANE, f"layer {number + 1}", "s m", "middle")
        start = end + 1
    return y + 52 + ranks * LANE
