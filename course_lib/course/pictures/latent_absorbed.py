"""Multi-head latent attention: keys multiplied out of the latents, and the absorbed
form, which moves the matrix to the query.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block
from course_lib.kit.diagrams.pen import Pen

PLACES = (40, 112, 184)
LAST = 272


def draw() -> Figure:
    """Both forms of one score, for three cached tokens."""
    return Figure(_multiplied_out(), _absorbed())


def _cache(pen: Pen, y: float) -> None:
    for i, x in enumerate(PLACES):
        pen.rect(x - 28, y, 38, 24, "b kept")
        pen.text(x - 9, y + 16, f"c{'₁₂'[i]}" if i < 2 else "c …", "B", "middle")
        pen.rect(x + 12, y, 18, 24, "b kept")
        pen.text(x + 21, y + 16, "R", "s", "middle")
    pen.text(12, y + 40, "cache: latents, and rotary keys (R)", "s m")


def _multiplied_out() -> Panel:
    pen = Pen()
    pen.text(4, 14, "Multiplied out", "H")
    pen.text(4, 30, "one product with each cached token", "m")
    for i, x in enumerate(PLACES):
        at = x - 9
        pen.rect(at - 19, 44, 38, 24, "g")
        pen.text(at, 60, f"k{'₁₂'[i]}" if i < 2 else "k …", "B", "middle")
        arrow(pen, (at, 122), (at, 70), cls="u attn")
        pen.rect(at - 20, 86, 40, 20, "b attn", 9)
        pen.text(at, 100, "× Wᵤₖ", "s", "middle")
        pen.path(f"M{at} 44V38", "l")
    _cache(pen, 124)
    pen.path(f"M{PLACES[0] - 9} 38H{LAST}", "l")
    arrow(pen, (LAST, 38), (LAST, 56))
    block(pen, LAST - 40, 58, 80, 34, ["scores", "q · k"], "attn", "B")
    arrow(pen, (LAST, 124), (LAST, 94))
    pen.rect(LAST - 28, 124, 56, 24, "b attn")
    pen.text(LAST, 140, "q", "B", "middle")
    pen.text(LAST, 164, "new token", "s m", "middle")
    return Panel(
        "Multiplied out",
        "Each cached latent is multiplied by W_UK into a key, and the query meets the "
        "keys.",
        pen,
        172,
    )


def _absorbed() -> Panel:
    pen = Pen()
    pen.text(4, 14, "Absorbed", "H")
    pen.text(4, 30, "one product, with the new query", "m")
    for x in PLACES:
        pen.path(f"M{x - 9} 124V38", "l")
    _cache(pen, 124)
    pen.path(f"M{PLACES[0] - 9} 38H{LAST}", "l")
    arrow(pen, (LAST, 38), (LAST, 46))
    block(pen, LAST - 40, 48, 80, 34, ["scores", "q′ · c"], "attn", "B")
    arrow(pen, (LAST, 124), (LAST, 84), cls="u attn")
    pen.rect(LAST - 24, 93, 48, 20, "b attn", 9)
    pen.text(LAST, 107, "× Wᵤₖᵀ", "s", "middle")
    pen.rect(LAST - 28, 124, 56, 24, "b attn")
    pen.text(LAST, 140, "q", "B", "middle")
    pen.text(LAST, 164, "new token", "s m", "middle")
    return Panel(
        "Absorbed",
        "The query is multiplied once by the transposed matrix and then meets the "
        "latents as they lie in the cache.",
        pen,
        172,
    )
