"""DeepSeek-V3's layer with experts, from its `ModelSpec`, and where its parameters
are.
"""

from course_lib.costs.params import param_count
from course_lib.course.gallery.blocks import draw_kind, echoed
from course_lib.course.gallery.describe import describe
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend, stream
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec
from course_lib.specs.records import MoESpec

MODEL = "deepseek-v3"
# parts of `param_count`, and what they are called here
PARTS = {
    "experts": "routed experts",
    "attention": "attention (MLA)",
    "shared_experts": "shared experts",
    "ffn": "dense FFN, 3 layers",
    "embedding": "embedding",
    "head": "output head",
    "router": "routers",
}
WIDE, LEFT = 210, 112


def draw() -> Figure:
    """The layer, drawn as the gallery draws it; beside it, total and active by part."""
    return Figure(_layer(), _shares())


def _layer() -> Panel:
    kinds = describe(load_spec(MODEL)).stacks[-1].kinds
    drawn = echoed(kinds[-1:])[0]
    pen = Pen()
    y = draw_kind(pen, 8, drawn, "model", False, {})
    stream(pen, 2, y + 8)
    count = len(drawn.kind.indices)
    said = (
        f"{count} of the layers: latent attention, then a router over 256 experts with "
        "sigmoid scores and a bias on the pick, and one shared expert."
    )
    return Panel("DeepSeek-V3, a layer with experts", said, pen, y + 12)


def _shares() -> Panel:
    spec, pen = load_spec(MODEL), Pen()
    counts = param_count(spec)
    idle = counts.total - counts.active
    pen.text(4, 15, "Where the parameters are", "H")
    pen.text(4, 31, "billions; solid: active for a token", "s m")
    most, y = counts.by_part["experts"], 44
    for part, name in PARTS.items():
        size = counts.by_part[part]
        active = size - idle if part == "experts" else size
        pen.text(LEFT - 6, y + 11, name, "s", "end")
        pen.rect(LEFT, y, max(WIDE * size / most, 1), 14, "b ffn", 0)
        pen.rect(LEFT, y, max(WIDE * active / most, 1), 14, "k ffn", 0)
        y += 18
        words = f"{size / 1e9:,.1f}"
        if part == "experts":
            words += f", of which {active / 1e9:.1f} active"
        pen.text(LEFT, y + 8, words, "s n")
        y += 18
    pen.text(4, y + 14, f"total {counts.total / 1e9:.1f} billion", "B")
    pen.text(4, y + 30, f"active for a token {counts.active / 1e9:.2f} billion", "B")
    moe = next(layer.ffn for layer in spec.layers if isinstance(layer.ffn, MoESpec))
    y += 38
    y += legend(pen, 6, y, [("k ffn", "active"), ("b ffn", "idle for this token")])
    said = (
        f"Routed experts hold {most / 1e9:.1f} of {counts.total / 1e9:.1f} billion "
        f"parameters; a token uses {moe.top_k} of {moe.experts} of them, and "
        f"{counts.active / 1e9:.2f} billion parameters in all."
    )
    return Panel("Parameters of DeepSeek-V3", said, pen, y + 4)
