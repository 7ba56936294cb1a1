"""The gated feed-forward network of one model: two branches, their product, and the way
back to the model's width, each matrix with its parameters.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import STREAM, arrow, block, pill, plus, shape, sign, stream
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.kit.units import short_text
from course_lib.specs.loader import load_spec

MODEL = "llama-3-8b"
LEFT, RIGHT, WIDE = 122, 256, 116  # the middles of the two branches


def draw() -> Figure:
    """Downward, in the page's letters: W_a, W_b and W_c."""
    spec, pen = load_spec(MODEL), Pen()
    d, inner = spec.width, spec.layers[0].ffn.width
    each = short_text(d * inner)
    stream(pen, 6, 330)
    shape(pen, 26, 14, f"x   [t, {d:,}]")
    arrow(pen, (STREAM, 36), (56, 36))
    pill(pen, 56, 27, 80, "RMSNorm")
    arrow(pen, (136, 36), (LEFT, 36), (LEFT, 62)) if False else None
    return Figure(Panel("SwiGLU", "x", pen, 340))
