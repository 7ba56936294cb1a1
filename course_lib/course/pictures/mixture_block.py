"""A block with experts: the router sends a token to a few of many feed-forward
networks, beside one that every token visits.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    block,
    grid,
    line,
    pill,
    plus,
    shape,
    stream,
)
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.specs.loader import load_spec

MODEL = "qwen3.5-35b-a3b"
PICKED = (18, 55, 77, 102, 139, 166, 203, 246)  # which eight, for this drawing
COLUMNS, CELL, LEFT, RIGHT = 32, 8.5, 58, 330
MIDDLE = 290  # of the shared expert


def draw() -> Figure:
    """Downward: the mixer's branch in short, the mixture's branch opened."""
    spec, pen = load_spec(MODEL), Pen()
    moe, d = spec.layers[0].ffn, spec.width
    stream(pen, 6, 370)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    pen.text(332, 15, "Qwen3.5-35B-A3B: one layer", "T", "end")
    arrow(pen, (STREAM, 39), (LEFT, 39))
    pill(pen, LEFT, 30, 78, "RMSNorm")
    arrow(pen, (LEFT + 78, 39), (LEFT + 96, 39))
    block(pen, LEFT + 96, 26, 176, 26, "attention, or a state", "attn", "")
    line(pen, (LEFT + 184, 52), (LEFT + 184, 68))
    arrow(pen, (LEFT + 184, 68), (STREAM + 7, 68))
    plus(pen, 68)
    arrow(pen, (STREAM, 99), (LEFT, 99))
    pill(pen, LEFT, 90, 78, "RMSNorm")
    line(pen, (LEFT + 78, 99), (MIDDLE, 99))
    arrow(pen, (MIDDLE, 99), (MIDDLE, 122))
    arrow(pen, (LEFT + 39, 108), (LEFT + 39, 122))
    block(pen, LEFT, 122, 150, 40, ["router", f"{moe.experts} scores"], "ffn")
    block(pen, RIGHT - 80, 122, 80, 40, ["shared", "every token"], "ffn")
    arrow(pen, (LEFT + 75, 162), (LEFT + 75, 190), cls="u ffn")
    pen.text(LEFT + 84, 180, f"to its {moe.top_k} best experts", "s")
    _experts(pen, moe)
    _sum(pen, moe)
    arrow(pen, (STREAM, 368), (STREAM, 378), head=5)
    said = (
        f"A token passes {moe.top_k} of {moe.experts} experts, which the router picks "
        "by its scores, and one shared expert. Their outputs are summed with the "
        "router's weights, the shared one's with a gate of its own, and added to the "
        "residual stream."
    )
    return Figure(Panel("A layer with experts", said, pen, 386))


def _experts(pen: Pen, moe) -> None:
    """All experts as cells, in as many rows as it takes; the picked ones are solid."""

    def role(row: int, column: int) -> str:
        return "p ffn" if row * COLUMNS + column in PICKED[: moe.top_k] else "q ffn"

    rows = moe.experts // COLUMNS
    grid(pen, LEFT, 192, rows, COLUMNS, CELL, role, gap=1.5)
    pen.text(
        RIGHT, 275, f"{moe.experts} experts, {moe.expert.width} wide", "s m", "end"
    )


def _sum(pen: Pen, moe) -> None:
    """The weighted sum: outputs from above, weights from the router at the left."""
    arrow(pen, (LEFT + 75, 260), (LEFT + 75, 296), cls="u ffn")
    line(pen, (LEFT, 142), (LEFT - 14, 142), (LEFT - 14, 304), cls="l d")
    arrow(pen, (LEFT - 14, 304), (LEFT, 304), cls="l d")
    pen.text(LEFT - 8, 292, "weights", "s m")
    pen.rect(LEFT, 296, 214, 34, "b ffn")
    maths(pen, LEFT + 107, 317, "Σ w_e E_e(x)  +  g(x) shared(x)", "B", "middle")
    line(pen, (RIGHT - 8, 162), (RIGHT + 4, 162), (RIGHT + 4, 313))
    arrow(pen, (RIGHT + 4, 313), (LEFT + 214, 313))
    line(pen, (LEFT + 107, 330), (LEFT + 107, 348))
    arrow(pen, (LEFT + 107, 348), (STREAM + 7, 348))
    plus(pen, 348)
