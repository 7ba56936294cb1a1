"""Balancing by a bias: loads are counted, and the bias of each expert moves against
its load. Five updates of a small example, computed here.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import HALF, Pen

# affinities of twelve tokens for four experts; each token takes the best of four
SCORES = (
    (0.9, 0.4, 0.5, 0.2),
    (0.8, 0.7, 0.3, 0.1),
    (0.7, 0.6, 0.2, 0.4),
    (0.9, 0.3, 0.6, 0.5),
    (0.8, 0.2, 0.4, 0.65),
    (0.7, 0.5, 0.6, 0.3),
    (0.6, 0.8, 0.1, 0.2),
    (0.5, 0.3, 0.7, 0.1),
    (0.9, 0.5, 0.1, 0.7),
    (0.8, 0.4, 0.65, 0.2),
    (0.7, 0.6, 0.5, 0.1),
    (0.6, 0.2, 0.3, 0.55),
)
SPEED, UPDATES = 0.04, (0, 1, 2, 5)
LEFT, STEP, BASE, UNIT = 12, 38, 116, 8


def loads(bias) -> list[int]:
    """Tokens that pick each expert by score plus bias."""
    picks = [max(range(4), key=lambda e, row=row: row[e] + bias[e]) for row in SCORES]
    return [picks.count(e) for e in range(4)]


def after(updates: int) -> tuple[list[int], list[float]]:
    """Loads and biases after that many updates: a bias falls by a fixed step where the
    load is above the mean, and rises where it is below.
    """
    bias = [0.0] * 4
    for _ in range(updates):
        mean = len(SCORES) / 4
        moves = [(mean > load) - (mean < load) for load in loads(bias)]
        bias = [b + SPEED * move for b, move in zip(bias, moves, strict=True)]
    return loads(bias), bias


def draw() -> Figure:
    """Loads before the first update and after one, two and five."""
    return Figure(*(_panel(updates) for updates in UPDATES))


def _panel(updates: int) -> Panel:
    pen = Pen(HALF)
    load, bias = after(updates)
    many = "update" if updates == 1 else "updates"
    title = f"after {updates} {many}" if updates else "before"
    pen.text(6, 15, title, "T")
    mean = len(SCORES) / 4
    for e, (tokens, b) in enumerate(zip(load, bias, strict=True)):
        x = LEFT + e * STEP
        high = tokens * UNIT
        pen.rect(x, BASE - high, 26, high, "k ffn" if tokens > mean else "b ffn", 0)
        pen.text(x + 13, BASE - high - 4, tokens, "s B", "middle")
        sign = "+" if b > 1e-9 else "−" if b < -1e-9 else ""
        pen.text(x + 13, BASE + 15, f"{sign}{abs(b):.2f}", "s n", "middle")
    line(pen, (LEFT - 4, BASE), (HALF - 8, BASE))
    line(pen, (LEFT - 4, BASE - mean * UNIT), (HALF - 8, BASE - mean * UNIT), cls="l d")
    pen.text(LEFT - 4, BASE + 30, "bias of each expert", "s m")
    shown = ", ".join(map(str, load))
    return Panel(title, f"Loads of four experts: {shown}.", pen, BASE + 36)
