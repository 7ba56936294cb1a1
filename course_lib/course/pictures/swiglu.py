"""The gated feed-forward network of one model: two branches, their product, and the way
back to the model's width, each matrix with its parameters.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    block,
    line,
    pill,
    plus,
    shape,
    sign,
    stream,
)
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.kit.units import billions_text
from course_lib.specs.loader import load_spec

MODEL = "llama-3-8b"
LEFT, RIGHT, WIDE = 112, 254, 120  # the middles of the two branches, a box's width


def draw() -> Figure:
    """Downward, in the page's letters: W_a, W_b and W_c."""
    spec, pen = load_spec(MODEL), Pen()
    d, inner = spec.width, spec.layers[0].ffn.width
    count = billions_text(d * inner)
    middle = (LEFT + RIGHT) / 2
    stream(pen, 6, 322)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    pen.text(332, 15, "Llama 3 8B: SwiGLU", "T", "end")
    arrow(pen, (STREAM, 40), (middle - 40, 40))
    pill(pen, middle - 40, 31, 80, "RMSNorm")
    line(pen, (middle, 49), (middle, 62))
    line(pen, (LEFT, 62), (RIGHT, 62))
    for x, name in ((LEFT, "W_a"), (RIGHT, "W_b")):
        arrow(pen, (x, 62), (x, 78))
        _matrix(pen, x, 78, name, f"{d:,} → {inner:,}", count)
    pill(pen, RIGHT - 34, 148, 68, "SiLU", "ffn")
    arrow(pen, (RIGHT, 124), (RIGHT, 148))
    shape(pen, LEFT + 8, 146, f"[t, {inner:,}]")
    arrow(pen, (LEFT, 124), (LEFT, 192), (middle - 7, 192))
    arrow(pen, (RIGHT, 166), (RIGHT, 192), (middle + 7, 192))
    sign(pen, middle, 192, "×")
    arrow(pen, (middle, 199), (middle, 232))
    shape(pen, middle + 8, 220, f"[t, {inner:,}]")
    _matrix(pen, middle, 232, "W_c", f"{inner:,} → {d:,}", count)
    arrow(pen, (middle, 278), (middle, 300), (STREAM + 7, 300))
    plus(pen, 300)
    arrow(pen, (STREAM, 318), (STREAM, 332), head=5)
    shape(pen, middle + 8, 295, f"[t, {d:,}]")
    return Figure(
        Panel(
            "The gated feed-forward network of Llama 3 8B",
            f"A normed copy of the stream goes through two matrices from {d:,} to "
            f"{inner:,}. The output of the second passes SiLU and multiplies that of "
            f"the first, coordinate by coordinate. A third matrix leads back to {d:,}. "
            f"Each matrix has {count} parameters.",
            pen,
            338,
        )
    )


def _matrix(pen: Pen, x: float, y: float, name: str, sides: str, count: str) -> None:
    """A weight matrix about the middle `x`: its name, its sides, its parameters."""
    block(pen, x - WIDE / 2, y, WIDE, 46, "", "ffn")
    maths(pen, x + 2, y + 14, name, "B", "middle")
    pen.text(x + 2, y + 28, sides, "s", "middle")
    pen.text(x + 2, y + 41, count, "s n", "middle")
