"""RoPE: each pair of coordinates is turned by its position times its own speed, so that
two turned pairs differ by an angle that only their distance sets.
"""

import math

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import dial, maths
from course_lib.specs.loader import load_spec

MODEL = "smollm2-135m"
PAIRS, POSITIONS = (0, 2, 4, 8), 7
START = 0.4  # where the pair of the query stands before it is turned
X, Y, STEP, FALL, RADIUS = 74, 62, 39, 44, 15


def speeds() -> list[float]:
    """Radians per token of the pairs that are drawn, in SmolLM2.

    >>> [round(speed, 2) for speed in speeds()][:2]
    [1.0, 0.49]
    """
    rope = load_spec(MODEL).layers[0].mixer.rope
    return [rope.theta ** (-2 * i / rope.dim) for i in PAIRS]


def draw() -> Figure:
    """Pairs at several speeds at the left, two words at one distance at the right."""
    return Figure(_clocks(), _distance())


def _clocks() -> Panel:
    pen = Pen()
    pen.text(8, 16, "Each pair has its speed", "T")
    pen.text(8, 40, "position", "s m")
    for p in range(POSITIONS):
        pen.text(X + p * STEP + 12, 40, p, "m n", "middle")
    for row, (pair, speed) in enumerate(zip(PAIRS, speeds(), strict=True)):
        y = Y + row * FALL
        pen.text(8, y + 4, f"pair {pair}")
        maths(pen, 8, y + 17, f"ω = {speed:.2g}", "s m")
        for p in range(POSITIONS):
            dial(pen, X + p * STEP + 12, y + 4, RADIUS, p * speed)
    y = Y + len(PAIRS) * FALL + 4
    return Panel(
        "Each pair has its own speed",
        "Rows of dials, one row a pair of coordinates and one dial a position. The "
        "first pair turns by a radian a token, later pairs more slowly.",
        pen,
        y,
    )


def _distance() -> Panel:
    pen = Pen()
    pen.text(8, 16, "A score keeps the distance", "T")
    speed, gap = speeds()[1], 3
    for row, (s, p) in enumerate(((1, 1 + gap), (9, 9 + gap))):
        y = 78 + row * 104
        for x, name, at, role in ((64, "k", s, "attn"), (172, "q", p, "diff")):
            maths(pen, x, y - 36, f"{name} at {at}", "", "middle")
            dial(pen, x, y, 24, START + at * speed, role)
        pen.text(118, y + 4, "·", "T", "middle")
        pen.text(224, y + 4, "=", "T", "middle")
        _angle(pen, 276, y, 30, START + s * speed, START + p * speed)
        maths(pen, 276, y + 44, f"{p} − {s} = {gap} apart", "s", "middle")
    return Panel(
        "Two tokens at one distance",
        "A key at position 1 and a query at 4, and the same two at 9 and 12: the hands "
        "have turned, and the angle between them is the same.",
        pen,
        242,
    )


def _angle(pen: Pen, x: float, y: float, r: float, key: float, query: float) -> None:
    """Two hands on one centre, and the angle from one to the other."""
    pen.circle(x, y, r, "e")
    for angle, role in ((key, "attn"), (query, "diff")):
        tip = (x + r * math.cos(angle), y - r * math.sin(angle))
        line(pen, (x, y), tip, cls=f"u {role}")
        pen.circle(*tip, 2.2, f"p {role}")
    steps = [key + (query - key) * i / 12 for i in range(13)]
    arc = [(x + 13 * math.cos(a), y - 13 * math.sin(a)) for a in steps]
    line(pen, *arc, cls="l")
