"""Four blocks in series or one twice as wide: the same weights, drawn as areas."""

from course_lib.costs.params import layer_params
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import STREAM, arrow, stream
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.specs.records import ModelSpec
from course_lib.specs.small import small_llama
from course_lib.train.standard import STANDARD

SIDE = 56 / 64  # units of a square's side for one of the width
X = 44


def draw() -> Figure:
    """Two stacks; a block is a square whose side is its width."""
    deep, wide = STANDARD, small_llama(128, layers=1, heads=4, ffn=352)
    return Figure(_stack(deep), _stack(wide))


def _weights(spec: ModelSpec) -> int:
    parts = [layer_params(layer, spec.width) for layer in spec.layers]
    return sum(part.total() - part["norm"] for part in parts)


def _attention_share(spec: ModelSpec) -> float:
    part = layer_params(spec.layers[0], spec.width)
    return part["attention"] / (part["attention"] + part["ffn"])


def _block(pen: Pen, y: float, side: float, share: float) -> None:
    """A square from y on, of which `share` is attention."""
    high = side * share
    pen.rect(X, y, side, side, "b ffn")
    pen.rect(X, y, side, high, "b attn")
    pen.text(X + side / 2, y + high / 2 + 3.5, "attention", "s", "middle")
    pen.text(X + side / 2, y + (high + side) / 2 + 3.5, "FFN", "s", "middle")


def _stack(spec: ModelSpec) -> Panel:
    pen, side, count = Pen(HALF), SIDE * spec.width, len(spec.layers)
    blocks = f"{count} block{'s' * (count > 1)}"
    pen.text(6, 15, blocks, "T")
    pen.text(6, 31, f"width {spec.width}", "m s")
    middle, step = 50 + 140, 70
    first = middle - step * (count - 1) / 2
    stream(pen, 46, 326)
    for i in range(count):
        y = first + i * step
        _block(pen, y - side / 2, side, _attention_share(spec))
        arrow(pen, (STREAM, y - 12), (X, y - 12))
        arrow(pen, (X, y + 12), (STREAM + 1, y + 12))
        if count > 1:
            pen.text(X + side + 8, y + 4, f"step {i + 1}", "s")
    arrow(pen, (STREAM, 322), (STREAM, 336), head=5)
    pen.text(6, 354, f"{_weights(spec):,} weights", "B n")
    said = f"{count} step{'s' * (count > 1)} in series"
    pen.text(6, 369, said, "s")
    described = f"{blocks} of width {spec.width}: {_weights(spec):,} weights, {said}."
    return Panel(blocks, described, pen, 374)
