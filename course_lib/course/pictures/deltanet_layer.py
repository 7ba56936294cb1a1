"""The gated DeltaNet layer of Qwen3.5-35B-A3B, from its `ModelSpec`: projections, a
short convolution, two gates a head, the state, a gated norm, and the way out.
"""

from course_lib.costs.mixers.delta_rule import conv_channels
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
from course_lib.specs.loader import load_spec

MODEL = "qwen3.5-35b-a3b"
A, B, C = 112, 214, 300  # middles of the three paths: q k v, alpha beta, z


def draw() -> Figure:
    """Downward, as a token passes."""
    spec, pen = load_spec(MODEL), Pen()
    mixer, d = spec.layers[0].mixer, spec.width
    stream(pen, 6, 424)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    pen.text(336, 15, "gated DeltaNet, Qwen3.5", "T", "end")
    arrow(pen, (STREAM, 38), (60, 38))
    pill(pen, 60, 29, 104, "RMSNorm")
    line(pen, (164, 38), (C, 38))
    for x in (A, B, C):
        top = 47 if x == A else 38
        arrow(pen, (x, top), (x, 62))
    wide = conv_channels(mixer)
    block(pen, 48, 62, 128, 34, ["q, k, v", f"{wide:,} channels"], "attn", "B")
    block(pen, 184, 62, 60, 34, ["a, b", f"2 × {mixer.value_heads}"], "ffn", "B")
    gate = mixer.value_heads * mixer.value_dim
    block(pen, 258, 62, 76, 34, ["z", f"{gate:,}"], "norm", "B")
    arrow(pen, (A, 96), (A, 112))
    block(pen, 40, 112, 144, 34, ["short convolution", f"{mixer.conv} tokens"], "state")
    arrow(pen, (A, 146), (A, 160))
    pill(pen, 40, 160, 144, "SiLU; q, k to length 1")
    maths(pen, B, 132, "α, β", "B", "middle")
    pen.text(B, 147, "per head", "s m", "middle")
    line(pen, (B, 96), (B, 118))
    arrow(pen, (B, 152), (B, 198), cls="u ffn")
    arrow(pen, (A, 178), (A, 198), cls="u attn")
    _state(pen, mixer)
    arrow(pen, (A, 296), (A, 314), cls="u state")
    line(pen, (C, 96), (C, 323))
    arrow(pen, (C, 323), (184, 323))
    pen.text(C - 8, 316, "SiLU", "s", "end")
    pill(pen, 40, 314, 144, "RMSNorm × gate z")
    arrow(pen, (A, 332), (A, 346))
    block(pen, 40, 346, 144, 34, ["output", f"{gate:,} → {d:,}"], "attn", "B")
    line(pen, (A, 380), (A, 402))
    arrow(pen, (A, 402), (STREAM + 7, 402))
    plus(pen, 402)
    arrow(pen, (STREAM, 420), (STREAM, 432), head=5)
    return Figure(Panel("A layer of gated DeltaNet", _said(mixer, d), pen, 440))


def _state(pen: Pen, mixer) -> None:
    pen.rect(40, 198, 240, 98, "b state", 6)
    heads = f"{mixer.value_heads} states of {mixer.key_dim} × {mixer.value_dim}"
    pen.text(160, 216, heads, "T", "middle")
    for i, words in enumerate(
        ("forget:  S ← α S", "correct:  S ← S + β (v − S k) kᵀ", "answer:  o = S q")
    ):
        maths(pen, 58, 238 + 18 * i, words)
    pen.text(58, 290, "kept between tokens, in float32", "s m")


def _said(mixer, d: int) -> str:
    return (
        f"From a vector of {d:,} numbers come {mixer.key_heads} queries and keys of "
        f"{mixer.key_dim}, {mixer.value_heads} values of {mixer.value_dim}, two gates "
        f"a head and an output gate. A convolution over {mixer.conv} tokens runs over "
        "queries, keys and values. Each head then lets its state fade, corrects it by "
        "the delta rule and reads it with the query; the result is normed, gated, "
        "projected and added to the residual stream."
    )
