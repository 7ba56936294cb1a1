"""The attention of one published model with its matrices: shapes on the lines,
parameters in the boxes, and what is kept.
"""

from course_lib.costs.mixers.attention import token_elements
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    block,
    line,
    pill,
    plus,
    shape,
    stream,
)
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.kit.units import billions_text, bytes_text
from course_lib.specs.loader import load_spec

MODEL = "llama-3-8b"
MIDDLES, WIDE = (82, 180, 278), 90


def draw() -> Figure:
    """Downward: three projections, the turn, the cache, the softmax, the way back."""
    spec, pen = load_spec(MODEL), Pen()
    d, a = spec.width, spec.layers[0].mixer
    stream(pen, 6, 400)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    pen.text(332, 15, "Llama 3 8B: attention", "T", "end")
    arrow(pen, (STREAM, 40), (140, 40))
    pill(pen, 140, 31, 80, "RMSNorm")
    line(pen, (180, 49), (180, 62))
    line(pen, (MIDDLES[0], 62), (MIDDLES[2], 62))
    outs = ((a.heads, a.head_dim), (a.kv_heads, a.head_dim), (a.kv_heads, a.value_dim))
    for x, letter, (n, k) in zip(MIDDLES, "QKV", outs, strict=True):
        arrow(pen, (x, 62), (x, 76))
        _matrix(pen, x, 76, WIDE, f"W_{letter}", f"{d:,} → {n * k:,}", d * n * k)
        shape(pen, x + 5, 138, f"[t,{n},{k}]")
    for x in MIDDLES[:2]:
        arrow(pen, (x, 122), (x, 150))
        pill(pen, x - 34, 150, 68, "RoPE", "attn")
    for x, y in ((MIDDLES[1], 168), (MIDDLES[2], 122)):
        arrow(pen, (x, y), (x, 182))
    pen.rect(MIDDLES[1] - WIDE / 2, 182, 2 * WIDE + 8, 40, "b kept")
    pen.text(MIDDLES[1] - WIDE / 2 + 10, 198, "cache of keys and values", "B")
    kept = bytes_text(2 * token_elements(a))
    pen.text(MIDDLES[1] - WIDE / 2 + 10, 213, f"{kept} a token and layer, in bf16", "s")
    arrow(pen, (MIDDLES[0], 168), (MIDDLES[0], 240))
    arrow(pen, (229, 222), (229, 240))
    group = a.heads // a.kv_heads
    block(pen, 36, 240, 288, 42, "", "attn")
    maths(pen, 180, 257, "softmax(q kᵀ / √d_k + M) v", "T", "middle")
    pen.text(180, 273, f"{group} query heads share one KV head", "s", "middle")
    arrow(pen, (180, 282), (180, 312))
    shape(pen, 186, 301, f"[t, {a.heads}, {a.value_dim}]")
    out = a.heads * a.value_dim
    _matrix(pen, 180, 312, 116, "W_O", f"{out:,} → {d:,}", out * d)
    arrow(pen, (180, 358), (180, 378), (STREAM + 7, 378))
    shape(pen, 186, 373, f"[t, {d:,}]")
    plus(pen, 378)
    arrow(pen, (STREAM, 396), (STREAM, 410), head=5)
    return Figure(
        Panel(
            "The attention of Llama 3 8B",
            f"A normed copy of the stream is mapped to {a.heads} query heads and "
            f"{a.kv_heads} key and value heads of {a.head_dim}. Queries and keys are "
            f"turned; keys and values are kept, {kept} a token. The output is mapped "
            "back and added to the stream.",
            pen,
            416,
        )
    )


def _matrix(
    pen: Pen, x: float, y: float, w: float, name: str, sides: str, count: float
) -> None:
    """A weight matrix about the middle `x`: its name, its sides, its parameters."""
    block(pen, x - w / 2, y, w, 46, "", "attn")
    maths(pen, x + 2, y + 14, name, "B", "middle")
    pen.text(x + 2, y + 28, sides, "s", "middle")
    pen.text(x + 2, y + 41, billions_text(count), "s n", "middle")
