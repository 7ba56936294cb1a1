"""Three ways to write to the residual stream: a plain sum, a gate, several streams."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, line, pill, plus, sign, stream
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tensors import maths

TALL, PART = 176, 112  # height, and where the sublayer begins to the right
STREAMS = (16, 28, 40, 52)


def draw() -> Figure:
    """A plain sum, a residual gate, hyper-connections."""
    return Figure(_plain(), _gated(), _several())


def _start(title: str) -> Pen:
    pen = Pen(HALF)
    pen.text(8, 16, title, "T")
    return pen


def _plain() -> Panel:
    pen = _start("Plain sum")
    _one_stream(pen)
    arrow(pen, (PART, 102), (PART, 140), (23, 140))
    maths(pen, 8, TALL + 16, "x + F(x)", "m")
    return Panel("Plain sum", "The output is added to the stream.", pen, TALL + 22)


def _gated() -> Panel:
    pen = _start("Residual gate")
    _one_stream(pen)
    arrow(pen, (PART, 102), (PART, 140), (71, 140))
    sign(pen, 64, 140, "×")
    arrow(pen, (57, 140), (23, 140))
    maths(pen, 64, 127, "g", "B", "middle")
    maths(pen, 8, TALL + 16, "x + g F(x)", "m")
    return Panel(
        "Residual gate",
        "The output is multiplied by a gate before it is added.",
        pen,
        TALL + 22,
    )


def _one_stream(pen: Pen) -> None:
    stream(pen, 28, TALL - 10)
    arrow(pen, (16, 50), (PART, 50), (PART, 70))
    block(pen, PART - 36, 70, 72, 32, "sublayer F", "norm", "s")
    plus(pen, 140)
    arrow(pen, (16, TALL - 8), (16, TALL), head=5)


def _several() -> Panel:
    pen = _start("Hyper-connections")
    for x in STREAMS:
        stream(pen, 28, TALL - 10, x)
        arrow(pen, (x, TALL - 8), (x, TALL), head=4)
        line(pen, (x, 44), (68, 56))
        line(pen, (68, 134), (x, 146))
    arrow(pen, (68, 56), (PART + 8, 56), (PART + 8, 70))
    block(pen, PART - 28, 70, 72, 32, "sublayer F", "norm", "s")
    line(pen, (PART + 8, 102), (PART + 8, 134), (68, 134))
    pill(pen, 8, 84, 52, "mix", h=20)
    pen.text(8, TALL + 16, "several streams, mixed", "m")
    return Panel(
        "Hyper-connections",
        "Several streams run side by side. A weighted sum of them is the input of the "
        "sublayer, its output is added to each with a weight, and a small matrix mixes "
        "the streams.",
        pen,
        TALL + 22,
    )
