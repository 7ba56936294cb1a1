"""Where the norm stands: a post-norm block (BERT) beside a pre-norm block."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    grid,
    paragraph,
    pill,
    plus,
    stream,
)
from course_lib.kit.diagrams.pen import HALF, Pen

X, WIDE = 46, 112


def draw() -> Figure:
    """Two narrow blocks with the same parts at other places."""
    return Figure(
        _panel(
            "Post-norm encoder",
            "BERT",
            True,
            ["The norm stands on the", "stream, after each sum."],
        ),
        _panel(
            "Pre-norm decoder",
            "GPT-2, Llama",
            False,
            ["The norm stands on the", "branch; the stream is free."],
        ),
    )


def _panel(title: str, models: str, post: bool, said: list[str]) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 31, models, "m s")
    stream(pen, 42, 300)
    y = _branch(pen, 58, "Attention", "attn", post)
    _mask(pen, X + WIDE - 28, 58 if post else 82, post)
    y = _branch(pen, y, "FFN", "ffn", post)
    arrow(pen, (STREAM, 298), (STREAM, 312), head=5)
    paragraph(pen, 6, 332, said, "s", 13)
    return Panel(title, f"{' '.join(said)}", pen, 350)


def _branch(pen: Pen, y: float, words: str, role: str, post: bool) -> float:
    """A branch with its norm before the part, or on the stream behind the sum."""
    middle = X + WIDE / 2
    if post:
        arrow(pen, (STREAM, y + 18), (X, y + 18))
        _part(pen, y, words, role)
        top = y + 36
    else:
        arrow(pen, (STREAM, y), (X + 8, y))
        pill(pen, X + 8, y - 9, WIDE - 16, "norm")
        arrow(pen, (middle, y + 9), (middle, y + 22))
        _part(pen, y + 24, words, role)
        top = y + 60
    arrow(pen, (middle, top), (middle, top + 14), (STREAM + 7, top + 14))
    plus(pen, top + 14)
    if post:
        pill(pen, 1, top + 30, 60, "norm")
        return y + 120
    return y + 112


def _part(pen: Pen, y: float, words: str, role: str) -> None:
    pen.rect(X, y, WIDE, 36, f"b {role}")
    pen.rect(X, y, 4, 36, f"p {role}", 0)
    pen.text(X + 12, y + 22, words, "T")


def _mask(pen: Pen, x: float, y: float, full: bool) -> None:
    """The mask in small, inside the attention's box."""
    grid(pen, x, y + 6, 4, 4, 6, lambda i, j: "p attn" if full or j <= i else "q attn")
