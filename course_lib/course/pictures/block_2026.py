"""Attention of a model of 2026, with the parts that the block of Llama 3 does not have
marked: QK norm, partial RoPE, an output gate, and a sink.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import (
    STREAM,
    arrow,
    block,
    legend,
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
from course_lib.specs.records import AttentionSpec

MODEL, LAYER = "qwen3.5-35b-a3b", 3
COLUMNS, WIDE = (72, 148, 224, 300), 70


def draw() -> Figure:
    """Downward: four projections, norms, turns, softmax, gate, the way back."""
    spec, pen = load_spec(MODEL), Pen()
    d, a = spec.width, spec.layers[LAYER].mixer
    stream(pen, 6, 412)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    pen.text(332, 15, "Qwen3.5-35B-A3B: attention", "T", "end")
    same = sum(isinstance(layer.mixer, AttentionSpec) for layer in spec.layers)
    pen.text(332, 31, f"in {same} of {len(spec.layers)} layers", "s m", "end")
    arrow(pen, (STREAM, 40), (146, 40))
    pill(pen, 146, 31, 80, "RMSNorm")
    pen.path(f"M186 49V62M{COLUMNS[0]} 62H{COLUMNS[3]}", "l")
    heads, groups, k = a.heads, a.kv_heads, a.head_dim
    outs = (heads * k, groups * k, groups * a.value_dim, heads * a.value_dim)
    for x, letter, out in zip(COLUMNS, "QKVG", outs, strict=True):
        arrow(pen, (x, 62), (x, 76))
        role = "diff" if letter == "G" else "attn"
        block(pen, x - WIDE / 2, 76, WIDE, 46, "", role)
        maths(pen, x + 2, 90, f"W_{letter}", "B", "middle")
        pen.text(x + 2, 104, f"→ {out:,}", "s", "middle")
        pen.text(x + 2, 117, billions_text(d * out), "s n", "middle")
    for x in COLUMNS[:2]:
        arrow(pen, (x, 122), (x, 138))
        pill(pen, x - 32, 138, 64, "QK norm", "diff")
        arrow(pen, (x, 156), (x, 170))
        pill(pen, x - 32, 170, 64, "RoPE", "diff")
        pen.text(x, 201, f"on {a.rope.dim} of {k}", "s m", "middle")
        arrow(pen, (x, 206), (x, 222))
    arrow(pen, (COLUMNS[2], 122), (COLUMNS[2], 222))
    block(pen, COLUMNS[0] - WIDE / 2, 222, 222, 42, "", "attn")
    maths(pen, 150, 239, "softmax(q kᵀ / √d_k + M) v", "B", "middle")
    pen.text(150, 255, f"{heads} query heads, {groups} KV heads", "s", "middle")
    pill(pen, COLUMNS[3] - 32, 138, 64, "sigmoid", "diff")
    arrow(pen, (COLUMNS[3], 122), (COLUMNS[3], 138))
    arrow(pen, (COLUMNS[3], 156), (COLUMNS[3], 300), (193, 300))
    arrow(pen, (186, 264), (186, 293))
    sign(pen, 186, 300, "×")
    pen.rect(38, 284, 78, 34, "g", 9)
    maths(pen, 77, 298, "sink b_h", "s", "middle")
    pen.text(77, 312, "in gpt-oss", "s m", "middle")
    arrow(pen, (77, 284), (77, 265), cls="l d")
    arrow(pen, (186, 307), (186, 326))
    block(pen, 128, 326, 116, 46, "", "attn")
    maths(pen, 188, 340, "W_O", "B", "middle")
    pen.text(188, 354, f"{outs[3]:,} → {d:,}", "s", "middle")
    pen.text(188, 367, billions_text(d * outs[3]), "s n", "middle")
    arrow(pen, (186, 372), (186, 392), (STREAM + 7, 392))
    plus(pen, 392)
    arrow(pen, (STREAM, 410), (STREAM, 422), head=5)
    entries = [("b diff", "not in the block of Llama 3"), ("b attn", "as in Llama 3")]
    legend(pen, 36, 402, entries, 1)
    return Figure(
        Panel(
            "An attention layer of Qwen3.5-35B-A3B",
            "As in Llama 3, queries, keys and values are projected, "
            f"{heads} query heads share {groups} KV heads, and the output returns to "
            "the stream. New are a norm on each query and key, rotation of only "
            f"{a.rope.dim} of {k} "
            "coordinates, and a gate from the layer's input that multiplies the output "
            "before its projection.",
            pen,
            434,
        )
    )
