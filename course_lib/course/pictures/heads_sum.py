"""Heads side by side times the output matrix are a sum with one term a head."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import sign
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths, matrix
from course_lib.specs.loader import load_spec

MODEL = "smollm2-135m"
DRAWN = 4
TALL, WIDE, DEEP = 44, 28, 104  # tokens, head width, model width, in units


def draw() -> Figure:
    """The product as the code takes it at the left, as a sum at the right."""
    spec = load_spec(MODEL)
    return Figure(_product(spec), _terms())


def _product(spec) -> Panel:
    attention, pen = spec.layers[0].mixer, Pen()
    heads, width = attention.heads, attention.head_dim
    pen.text(8, 16, "As the code computes it", "T")
    x, y = 34, 84
    for h in range(DRAWN):
        matrix(pen, x + h * WIDE, y, WIDE, TALL, _label(h), "attn")
    maths(pen, x - 6, y + TALL / 2 + 4, "t", "m", "end")
    maths(pen, x + DRAWN * WIDE / 2, y - 8, "heads, side by side", "m", "middle")
    pen.text(178, y + TALL / 2 + 5, "×", "T", "middle")
    left, top = 212, y + TALL / 2 - DRAWN * WIDE / 2
    for h in range(DRAWN):
        matrix(pen, left, top + h * WIDE, DEEP, WIDE, _strip(h), "emb")
    maths(pen, left + DEEP / 2, top - 8, "W_O, one strip a head", "m", "middle")
    return Panel(
        "Heads side by side, times the output matrix",
        "The outputs of the heads stand side by side, and the output matrix has one "
        f"strip of rows for each. In SmolLM2-135M there are {heads} heads of {width}.",
        pen,
        178,
    )


def _label(h: int) -> str:
    return ("1", "2", "…", "H")[h]


def _strip(h: int) -> str:
    return "…" if _label(h) == "…" else f"W_O^{{({_label(h)})}}"


def _terms() -> Panel:
    pen = Pen()
    pen.text(8, 16, "The same, as a sum", "T")
    for row, h in enumerate((0, 1, 3)):
        y = 34 + row * (TALL + 12)
        middle = y + TALL / 2
        matrix(pen, 76, y, WIDE, TALL, _label(h), "attn")
        pen.text(122, middle + 5, "×", "T", "middle")
        matrix(pen, 142, middle - WIDE / 2, DEEP, WIDE, _strip(h), "emb")
        if row:
            sign(pen, 44, middle, "+")
        if row == 2:
            pen.text(44, y - 2, "…", "B", "middle")
    return Panel(
        "The same as a sum",
        "The output of each head times its own strip of the output matrix, added up.",
        pen,
        208,
    )
