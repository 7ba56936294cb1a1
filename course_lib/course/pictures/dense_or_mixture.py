"""A dense feed-forward network and a mixture of experts: what one token passes."""

from course_lib.costs.params import param_count
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, pill
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tokens import token
from course_lib.specs.loader import load_spec
from course_lib.specs.records import FFNSpec, ModelSpec, MoESpec

DENSE, MIXTURE = "mistral-7b-v0.1", "mixtral-8x7b"
PICKED = (2, 5)  # which two, for this drawing
LEFT, WIDE = 6, 154


def draw() -> Figure:
    """One token downward through either form; what it does not pass is dashed."""
    dense, mixture = load_spec(DENSE), load_spec(MIXTURE)
    return Figure(
        _panel("Dense", dense, dense.layers[0].ffn),
        _panel("Mixture of experts", mixture, mixture.layers[0].ffn),
    )


def _panel(title: str, spec: ModelSpec, ffn: FFNSpec | MoESpec) -> Panel:
    pen, middle = Pen(HALF), LEFT + WIDE / 2
    pen.text(LEFT, 15, title, "T")
    pen.text(LEFT, 31, spec.name, "m s")
    token(pen, middle - 32, 42, 64, "a token")
    if isinstance(ffn, MoESpec):
        said = _experts(pen, middle, ffn)
    else:
        arrow(pen, (middle, 62), (middle, 116))
        pen.rect(middle - 15, 118, 30, 96, "k ffn")
        arrow(pen, (middle, 214), (middle, 246))
        said = "one network, always"
    token(pen, middle - 32, 248, 64, "its output")
    count = param_count(spec)
    lines = (
        (said, "s"),
        (f"{count.total / 1e9:.1f} B parameters", "B"),
        (f"{count.active / 1e9:.1f} B active for a token", "B"),
    )
    for i, (words, cls) in enumerate(lines):
        pen.text(LEFT, 288 + 16 * i, words, cls)
    described = ", ".join(words for words, _ in lines)
    return Panel(f"{title}: {spec.name}", f"{described}.", pen, 328)


def _experts(pen: Pen, middle: float, moe: MoESpec) -> str:
    """The router, the experts, and the two that this token passes."""
    arrow(pen, (middle, 62), (middle, 72))
    pill(pen, middle - 34, 74, 68, "router", "ffn")
    step = WIDE / moe.experts
    for i in range(moe.experts):
        x = LEFT + i * step + step / 2
        picked = i in PICKED
        pen.rect(x - 7.5, 118, 15, 96, "k ffn" if picked else "g", 2)
        if picked:
            arrow(pen, (middle, 92), (x, 117), cls="u ffn")
            arrow(pen, (x, 214), (middle, 246), cls="u ffn")
    return f"{moe.top_k} of {moe.experts} experts"
