"""A fixed linear recurrence, computed as a loop and as a convolution: the same outputs.

h_t = a h_{t-1} + b x_t and y_t = c h_t, with one number as state.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import cells, maths

A, B, C = 0.5, 1.0, 2.0
INPUTS = (1.0, 0.0, 3.0, 1.0)
LEFT, STEP, SIZE = 62, 70, 40


def states() -> list[float]:
    """The state after each input."""
    out, state = [], 0.0
    for x in INPUTS:
        state = A * state + B * x
        out.append(state)
    return out


def outputs() -> list[float]:
    """What the loop writes."""
    return [C * state for state in states()]


def kernel() -> list[float]:
    """The answer to an input of one: c a^j b for j = 0, 1, ..."""
    return [C * A**j * B for j in range(len(INPUTS))]


def draw() -> Figure:
    """The loop on one side, one output of the convolution on the other."""
    return Figure(_loop(), _convolution())


def _number(value: float) -> str:
    return f"{value:g}"


def _row(pen: Pen, y: float, values, role: str, name: str) -> None:
    maths(pen, 8, y + 17, name, "B")
    for i, value in enumerate(values):
        pen.rect(LEFT + i * STEP, y, SIZE, 26, f"b {role}")
        pen.text(LEFT + i * STEP + SIZE / 2, y + 17, _number(value), "B n", "middle")


def _loop() -> Panel:
    pen = Pen()
    pen.text(4, 15, "As a loop", "H")
    pen.text(4, 31, "one state, handed from step to step", "m")
    _row(pen, 160, INPUTS, "emb", "x_t")
    _row(pen, 102, states(), "state", "h_t")
    _row(pen, 44, outputs(), "attn", "y_t")
    for i in range(len(INPUTS)):
        x = LEFT + i * STEP + SIZE / 2
        arrow(pen, (x, 160), (x, 130))
        arrow(pen, (x, 102), (x, 72))
        if i:
            arrow(pen, (x - STEP + SIZE / 2, 115), (x - SIZE / 2, 115), cls="u state")
            pen.text(x - STEP / 2, 110, f"× {_number(A)}", "s", "middle")
    maths(pen, LEFT + SIZE / 2 + 5, 92, f"× {_number(C)}", "s")
    maths(pen, LEFT + SIZE / 2 + 5, 150, f"× {_number(B)}", "s")
    listed = ", ".join(map(_number, outputs()))
    said = (
        f"Inputs {', '.join(map(_number, INPUTS))}. The state is halved at each step "
        f"and the input added: {', '.join(map(_number, states()))}; outputs {listed}."
    )
    return Panel("A recurrence as a loop", said, pen, 194)


def _convolution() -> Panel:
    pen = Pen()
    pen.text(4, 15, "As a convolution", "H")
    pen.text(4, 31, "the last output, from the inputs alone", "m")
    back = list(reversed(kernel()))
    _row(pen, 160, INPUTS, "emb", "x_t")
    maths(pen, 8, 119, "kernel", "B")
    words = [_number(value) for value in back]
    for i, word in enumerate(words):
        cells(pen, LEFT + i * STEP, 102, [word], SIZE, lambda _: "b ffn", height=26)
        x = LEFT + i * STEP + SIZE / 2
        line(pen, (x, 128), (x, 160))
        arrow(pen, (x, 102), (LEFT + 3 * STEP + SIZE / 2, 72))
        product = _number(back[i] * INPUTS[i])
        pen.text(x + 5, 149, f"= {product}", "s")
    last = outputs()[-1]
    pen.rect(LEFT + 3 * STEP, 44, SIZE, 26, "b attn")
    pen.text(LEFT + 3 * STEP + SIZE / 2, 61, _number(last), "B n", "middle")
    total = " + ".join(
        _number(w * x) for w, x in zip(back, INPUTS, strict=True) if w * x
    )
    pen.text(LEFT, 61, f"{total} = {_number(last)}", "")
    said = (
        f"The kernel {', '.join(map(_number, kernel()))} laid backward over the inputs "
        f"gives {total} = {_number(last)}, the loop's last output."
    )
    return Panel("The same recurrence as a convolution", said, pen, 194)
