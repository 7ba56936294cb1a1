"""The matrices of one block to scale, in a classic model and in one with grouped
queries and a gated network.
"""

from course_lib.costs.params import layer_params
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths, matrix
from course_lib.kit.units import share_text
from course_lib.specs.loader import load_spec
from course_lib.specs.records import ModelSpec

MODELS = {"gpt2-xl": "GPT-2 XL", "llama-3-8b": "Llama 3 8B"}
UNIT, X, GAP = 62, 84, 4  # the model's width, in units of the drawing


def draw() -> Figure:
    """A panel for each model; the same unit is its own width in both."""
    return Figure(*(_panel(load_spec(slug), name) for slug, name in MODELS.items()))


def _panel(spec: ModelSpec, name: str) -> Panel:
    pen, layer, d = Pen(), spec.layers[0], spec.width
    a, ffn = layer.mixer, layer.ffn
    counts = layer_params(layer, d)
    whole = counts["attention"] + counts["ffn"]
    pen.text(8, 16, name, "T")
    maths(pen, X + UNIT / 2, 34, f"d = {d:,}", "m", "middle")
    outs = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.value_dim)
    x, y = X, 42.0
    for letter, out in zip("QKVO", (*outs, a.heads * a.value_dim), strict=True):
        wide = UNIT * out / d
        matrix(pen, x, y, wide - 2, UNIT - 2, letter if wide < 24 else f"W_{letter}")
        x += wide
    _share(pen, y, "attention", counts["attention"] / whole)
    y += UNIT + GAP
    _share(pen, y, "FFN", counts["ffn"] / whole)
    for letter in "abc" if ffn.kind == "glu" else "12":
        wide = UNIT * ffn.width / d
        matrix(pen, X, y, wide - 2, UNIT - 2, f"W_{letter}", "ffn")
        y += UNIT
    shares = {part: share_text(counts[part] / whole) for part in ("attention", "ffn")}
    return Panel(
        name,
        f"Each matrix of a block as a rectangle, to scale. Attention has "
        f"{shares['attention']} of the parameters, the feed-forward network "
        f"{shares['ffn']}.",
        pen,
        y + 4,
    )


def _share(pen: Pen, y: float, words: str, share: float) -> None:
    pen.text(8, y + 16, words, "B")
    pen.text(8, y + 32, share_text(share), "n")
