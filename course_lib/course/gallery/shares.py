"""Where a model's parameters are, as a bar to scale which is its own legend."""

from course_lib.costs.params import param_count
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import WIDTH, Pen, cell
from course_lib.kit.units import billions_text
from course_lib.specs.records import ModelSpec
from course_lib.specs.unions import of_word

CLASSES = {
    "embedding": "q emb",
    "head": "p emb",
    "attention": "p attn",
    "cross_attention": "q attn",
    "state": "p state",
    "ffn": "q ffn",
    "experts": "p ffn",
    "shared_experts": "q ffn",
    "router": "q ffn",
    "norm": "q norm",
    "side": "q norm",
    "vision": "p norm",
}
LEAST = 0.0005  # the share from which on a part stands in the legend


def draw_shares(pen: Pen, y: float, spec: ModelSpec) -> float:
    """Draw the bar from `y` on. Returns where its legend ends."""
    count = param_count(spec)
    x, whole = 8.0, WIDTH - 16
    for part, n in count.by_part.items():
        width = max(whole * n / count.total, 0.5)
        pen.path(cell(x, y, width, 12), of_word("part", part, CLASSES))
        x += whole * n / count.total
    entries = [
        (
            CLASSES[part],
            f"{part.replace('_', ' ')} {billions_text(n)}, {n / count.total:.1%}",
        )
        for part, n in count.by_part.items()
        if n / count.total >= LEAST
    ]
    return y + 18 + legend(pen, 8, y + 18, entries)
