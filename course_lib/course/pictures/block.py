"""One pre-norm Transformer block: the residual stream, and the two branches that write
to it.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    block,
    pill,
    plus,
    shape,
    stream,
)
from course_lib.kit.diagrams.pen import Pen


def draw() -> Figure:
    """The block downward, as `Block.forward` reads."""
    pen = Pen()
    stream(pen, 6, 236)
    shape(pen, 26, 14, "x   [t, d]")
    at = _branch(pen, 34, ["Attention", "mixes tokens: t attends to 1 … t"], "attn")
    at = _branch(pen, at, ["Feed-forward network", "each token by itself"], "ffn")
    arrow(pen, (STREAM, 232), (STREAM, 246), head=5)
    shape(pen, 26, 246, "x   [t, d], to the next block")
    return Figure(
        Panel(
            "A pre-norm block",
            "The residual stream runs straight down. Attention reads a normed copy of "
            "it and adds its output back; then the feed-forward network does the same.",
            pen,
            254,
        )
    )


def _branch(pen: Pen, y: float, words: list[str], role: str) -> float:
    """A branch from `y` on: norm, part, and the sum. Returns where the next begins."""
    arrow(pen, (STREAM, y), (86, y))
    pill(pen, 88, y - 9, 80, "RMSNorm")
    arrow(pen, (128, y + 9), (128, y + 24))
    block(pen, 56, y + 24, 232, 40, words, role)
    arrow(pen, (56, y + 54), (36, y + 54), (36, y + 74), (STREAM + 7, y + 74))
    plus(pen, y + 74)
    return y + 100
