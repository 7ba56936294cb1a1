"""What doubles with the text, and what grows four times: projections and scores."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen, number
from course_lib.kit.diagrams.tensors import maths

TIMES = (1, 2, 4)
UNIT, WIDTH = 24, 44  # n tokens and d coordinates, in units of the drawing
LEFTS = (96, 166, 240)


def draw() -> Figure:
    """Three lengths side by side, to scale."""
    pen = Pen()
    pen.text(8, 16, "tokens", "m")
    pen.text(8, 40, "projections", "B")
    maths(pen, 8, 56, "n × d", "m")
    pen.text(8, 180, "scores", "B")
    maths(pen, 8, 196, "n × n", "m")
    for times, x in zip(TIMES, LEFTS, strict=True):
        high = UNIT * times
        name = "n" if times == 1 else f"{times} n"
        maths(pen, x, 16, name, "B")
        pen.rect(x, 30, WIDTH, high, "b attn", 0)
        pen.text(x, 30 + high + 14, f"× {times}", "s m")
        pen.rect(x, 170, high, high, "e", 0)
        corner = f"M{number(x)} 170V{number(170 + high)}H{number(x + high)}Z"
        pen.path(corner, "b diff")
        pen.text(x, 170 + high + 14, f"× {times**2}", "s m")
    return Figure(
        Panel(
            "Doubling the text",
            "Twice the tokens make the projections twice as large and the triangle of "
            "scores four times; four times the tokens, four and sixteen times.",
            pen,
            288,
        )
    )
