"""Small pictures inside a part, drawn from its record: heads and the KV heads that they
share, a latent, a state, a router's experts.
"""

from course_lib.course.gallery.rows import Part
from course_lib.kit.diagrams.pen import Pen, cell
from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    LatentAttentionSpec,
    MoESpec,
)

HEADS_HIGH = 19
MOST_IN_A_ROW = 64


def glyph_height(part: Part) -> float:
    """The height of a part's picture; 0 where it has none."""
    match part.record:
        case AttentionSpec() | LatentAttentionSpec() | GatedDeltaNetSpec():
            return HEADS_HIGH
        case MoESpec():
            return _rows(part.record) * _side(part.record) + 6
    return 0


def draw_glyph(pen: Pen, x: float, y: float, w: float, part: Part) -> None:
    """Draw a part's picture, if it has one."""
    record = part.record
    match record:
        case AttentionSpec():
            keeps = any(amount.key == "kept" for amount in part.amounts)
            kept = "q kept" if keeps else "q attn"
            heads(pen, x, y, w, record.heads, "p attn")
            heads(pen, x, y + 8, w, record.kv_heads, kept)
        case LatentAttentionSpec():
            heads(pen, x, y, w, record.heads, "p attn")
            share = w * record.kv_rank / (record.kv_rank + record.rope_dim)
            pen.path(cell(x, y + 11, share - 2, 6), "q kept")
            pen.path(cell(x + share, y + 11, w - share, 6), "p kept")
        case GatedDeltaNetSpec():
            heads(pen, x, y, w, record.key_heads, "q state")
            heads(pen, x, y + 8, w, record.value_heads, "q kept")
        case MoESpec():
            experts(pen, x, y, record)


def heads(pen: Pen, x: float, y: float, w: float, count: int, classes: str) -> None:
    """As many cells as there are heads, over the whole width: a KV head lies under the
    query heads that share it.
    """
    step = w / count
    gap = 1.5 if step > 6 else 1 if step > 3 else 0.5
    pieces = (cell(x + i * step, y + 3, step - gap, 6) for i in range(count))
    pen.path("".join(pieces), classes)


def _side(moe: MoESpec) -> float:
    columns = min(moe.experts, MOST_IN_A_ROW) + (3 if moe.shared else 0)
    return min(12.0, 266 / columns)


def _rows(moe: MoESpec) -> int:
    return -(-moe.experts // MOST_IN_A_ROW)


def experts(pen: Pen, x: float, y: float, moe: MoESpec) -> None:
    """Every expert a square, as many filled as a token visits (which ones is made up),
    and the shared experts beside them.
    """
    side, columns = _side(moe), min(moe.experts, MOST_IN_A_ROW)
    picked = _picked(moe)
    for classes, wanted in (("q ffn", False), ("p ffn", True)):
        places = [divmod(i, columns) for i in range(moe.experts)]
        pieces = (
            cell(x + column * side, y + 3 + row * side, side - 1, side - 1)
            for i, (row, column) in enumerate(places)
            if (i in picked) == wanted
        )
        pen.path("".join(pieces), classes)
    left, tall = x + columns * side + 5, _rows(moe) * side - 1
    pieces = (cell(left + i * (side + 2), y + 3, side, tall) for i in range(moe.shared))
    if moe.shared:
        pen.path("".join(pieces), "p ffn")


def _picked(moe: MoESpec) -> set[int]:
    """Experts spread over the pool, always the same ones.

    >>> spread = MoESpec(experts=8, top_k=2, expert=None)
    >>> sorted(_picked(spread))
    [1, 5]
    """
    step = moe.experts / moe.top_k
    return {int(i * step + step / 3) for i in range(moe.top_k)}
