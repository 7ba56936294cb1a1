"""Qwen3.5-35B-A3B in numbers: its layers, its experts, and what one token passes."""

from course_lib.costs.cache import cache_line
from course_lib.costs.params import param_count
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid, legend
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec

MODEL = "qwen3.5-35b-a3b"
PICKED = (18, 41, 77, 102, 139, 166, 203, 246)  # which eight, for this drawing
LEFT, WIDE, TOP = 6, 154, 40
LAYER = 19  # the side of a layer's square


def draw() -> Figure:
    """The stack as rows of four layers, and the experts of one layer as a square."""
    return Figure(_layers(), _experts())


def _layers() -> Panel:
    spec, line = load_spec(MODEL), cache_line(load_spec(MODEL))
    attends = [isinstance(layer.mixer, AttentionSpec) for layer in spec.layers]
    count, some = len(attends), sum(attends)
    every = count // some  # one attention layer closes each group
    pen = Pen(HALF)
    pen.text(LEFT, 15, f"{count} layers", "T")
    pen.text(LEFT, 31, "in order, row by row", "m s")

    def role(row: int, column: int) -> str:
        return "p attn" if attends[row * every + column] else "p state"

    grid(pen, LEFT, TOP, some, every, LAYER, role, gap=3)
    y = TOP + some * LAYER + 8
    entries = [
        ("p state", f"{count - some} keep a state"),
        ("p attn", f"{some} attend"),
    ]
    y += legend(pen, LEFT, y, entries, 1) + 14
    fixed = f"{line.fixed_bytes / 2**20:.0f} MiB of states"
    slope = f"{line.bytes_per_token / 2**10:.0f} KiB for each token"
    pen.text(LEFT, y, "Kept for a request:", "B")
    pen.text(LEFT, y + 16, fixed, "s")
    pen.text(LEFT, y + 31, slope, "s")
    said = f"{count - some} keep a state and {some} attend. Kept: {fixed}, {slope}."
    return Panel("Layers of Qwen3.5-35B-A3B", said, pen, y + 38)


def _experts() -> Panel:
    spec = load_spec(MODEL)
    moe, counts = spec.layers[0].ffn, param_count(spec)
    side = round(moe.experts**0.5)
    step = WIDE / side
    pen = Pen(HALF)
    pen.text(LEFT, 15, f"{moe.experts} experts", "T")
    pen.text(LEFT, 31, "of one layer, and one token", "m s")
    shown = PICKED[: moe.top_k]
    grid(
        pen,
        LEFT,
        TOP,
        side,
        side,
        step,
        lambda i, j: "p ffn" if i * side + j in shown else "b ffn",
        gap=1.5,
    )
    y = TOP + WIDE + 4
    pen.rect(LEFT, y, step - 1.5, step - 1.5, "p ffn", 0)
    pen.text(LEFT + 15, y + 8, f"{moe.shared} shared, for every token", "s")
    pen.text(LEFT, y + 26, f"{moe.top_k} picked by the router", "s")
    y += 50
    total, active = counts.total / 1e9, counts.active / 1e9
    for words, size, role in (
        (f"{total:.1f} billion parameters", total, "b ffn"),
        (f"{active:.2f} active for a token", active, "p ffn"),
    ):
        pen.text(LEFT, y, words, "B" if size == total else "s")
        pen.rect(LEFT, y + 6, WIDE * size / total, 14, role, 1)
        y += 38
    said = (
        f"A token passes {moe.top_k} of {moe.experts} experts and {moe.shared} that "
        f"is shared: {active:.2f} of {total:.1f} billion parameters."
    )
    return Panel("Experts of Qwen3.5-35B-A3B", said, pen, y)
