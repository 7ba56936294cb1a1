"""A sequential and a parallel residual block, with the all-reduces of each."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import STREAM, arrow, paragraph, pill, plus, stream
from course_lib.kit.diagrams.pen import HALF, Pen

X, WIDE = 46, 112


def draw() -> Figure:
    """The same two parts, one after the other and side by side."""
    return Figure(_sequential(), _parallel())


def _sequential() -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, "Sequential", "T")
    pen.text(6, 31, "Llama", "m s")
    stream(pen, 42, 262)
    for y, words, role in ((58, "Attention", "attn"), (160, "FFN", "ffn")):
        arrow(pen, (STREAM, y), (X + 8, y))
        pill(pen, X + 8, y - 9, WIDE - 16, "norm")
        arrow(pen, (X + 56, y + 9), (X + 56, y + 20))
        _part(pen, X, y + 22, WIDE, words, role)
        arrow(pen, (X + 56, y + 50), (X + 56, y + 68), (STREAM + 7, y + 68))
        _all_reduce(pen, y + 68)
        plus(pen, y + 68)
    arrow(pen, (STREAM, 258), (STREAM, 272), head=5)
    said = ["2 all-reduces per layer;", "the FFN sees what", "attention has added"]
    paragraph(pen, 6, 292, said, "s", 13)
    return Panel("Sequential block", f"{' '.join(said)}.", pen, 322)


def _parallel() -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, "Parallel", "T")
    pen.text(6, 31, "PaLM, GPT-J", "m s")
    stream(pen, 42, 262)
    arrow(pen, (STREAM, 90), (X + 8, 90))
    pill(pen, X + 8, 81, WIDE - 16, "norm")
    for x, wide, words, role in (
        (38, 66, "Attention", "attn"),
        (110, 50, "FFN", "ffn"),
    ):
        middle = x + wide / 2
        arrow(pen, (middle, 99), (middle, 120))
        _part(pen, x, 122, wide, words, role)
        pen.path(f"M{middle} 150V176", "l")
    pen.path("M71 176H135", "l")
    arrow(pen, (103, 176), (103, 202), (STREAM + 7, 202))
    plus(pen, 176, 103)
    _all_reduce(pen, 202)
    plus(pen, 202)
    arrow(pen, (STREAM, 258), (STREAM, 272), head=5)
    said = ["1 all-reduce per layer;", "both see the same", "normed input"]
    paragraph(pen, 6, 292, said, "s", 13)
    return Panel("Parallel block", f"{' '.join(said)}.", pen, 322)


def _part(pen: Pen, x: float, y: float, wide: float, words: str, role: str) -> None:
    pen.rect(x, y, wide, 28, f"b {role}")
    pen.rect(x, y, 4, 28, f"p {role}", 0)
    pen.text(x + wide / 2 + 2, y + 18, words, "s", "middle")


def _all_reduce(pen: Pen, y: float) -> None:
    pen.rect(36, y - 9, 62, 18, "b kept", 9)
    pen.text(67, y + 3.5, "all-reduce", "s", "middle")
