"""A stack as a strip, a column a layer: what mixes the tokens above, the network below.

Solid is the heavier form (attention without a window, a mixture of experts), pale the
lighter; a recurrent state is two thin bars, so that it is told from attention without
colour.
"""

from collections.abc import Sequence

from course_lib.course.gallery.rows import Kind, Part, Stack
from course_lib.kit.diagrams.pen import Pen, cell
from course_lib.specs.records import AttentionSpec, MoESpec

ROLES = {"attention": "attn", "state": "state", "ffn": "ffn", "embedding": "emb"}
"""The role of a part, as the palette calls it."""


def part_classes(part: Part) -> str:
    """The classes of a part's cell: "p" solid or "q" pale, and its role."""
    lighter = {
        "attention": isinstance(part.record, AttentionSpec)
        and part.record.window is not None,
        "ffn": not isinstance(part.record, MoESpec),
    }
    return f"{'q' if lighter.get(part.role) else 'p'} {ROLES[part.role]}"


def column(kind: Kind) -> tuple[str, str]:
    """The two cells of a layer; "" where it has no network."""
    parts = {branch.part.key: branch.part for branch in kind.sublayers}
    network = parts.get("ffn")
    return part_classes(parts["mixer"]), part_classes(network) if network else ""


def columns(stack: Stack) -> list[tuple[str, str]]:
    """The cells of every layer of a stack, in order."""
    of = {kind.letter: column(kind) for kind in stack.kinds}
    return [of[letter] for letter in stack.order]


def strip(
    pen: Pen,
    x: float,
    y: float,
    layers: Sequence[tuple[str, str]],
    step: float,
    half: float = 7,
) -> None:
    """Draw a strip of layers `step` wide, in two rows of cells `half` high."""
    gap = 1 if step > 4 else 0.4 if step >= 2 else 0
    cells: dict[str, list[str]] = {}
    for row, top in ((0, y), (1, y + half + min(1, half / 4))):
        for i, width in _runs([layer[row] for layer in layers], joined=step < 2):
            classes = layers[i][row]
            bars = ((0, 0.36), (0.64, 0.36)) if "state" in classes else ((0, 1),)
            for off, tall in bars:
                place = x + i * step, top + off * half
                shape = cell(*place, width * step - gap, tall * half)
                cells.setdefault(classes, []).append(shape)
    for classes, shapes in cells.items():
        if classes:
            pen.path("".join(shapes), classes)


def _runs(row: Sequence[str], joined: bool) -> list[tuple[int, int]]:
    """Each cell and its width in layers; neighbours that are alike are one if
    `joined`.
    """
    if not joined:
        return [(i, 1) for i in range(len(row))]
    starts = [i for i in range(len(row)) if i == 0 or row[i] != row[i - 1]]
    return [(a, b - a) for a, b in zip(starts, [*starts[1:], len(row)], strict=True)]
