"""Receptive field through layers: with a window of W tokens, L layers reach
L (W - 1) + 1 tokens.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen

TOKENS, WINDOW, LAYERS = 13, 4, 3
LEFT, TOP, ACROSS, DOWN = 56, 44, 23, 44


def reach(layers: int) -> int:
    """Tokens that can influence the last one through so many layers."""
    return layers * (WINDOW - 1) + 1


def lines() -> list[tuple[int, int, int]]:
    """(layer, query, key) of every edge that leads to the last token of the top."""
    out, at = [], {TOKENS - 1}
    for layer in range(LAYERS, 0, -1):
        below = set()
        for query in sorted(at):
            for key in range(max(query - WINDOW + 1, 0), query + 1):
                out.append((layer, query, key))
                below.add(key)
        at = below
    return out


def draw() -> Figure:
    """Tokens as dots, one row a layer; what reaches the last one is solid."""
    pen = Pen()
    pen.text(4, 14, f"{LAYERS} layers, windows of {WINDOW} tokens", "H")
    pen.text(4, 30, "what can reach the last token", "m")
    found = lines()
    for layer, query, key in found:
        line(pen, _place(layer, query), _place(layer - 1, key), cls="u attn")
    for layer in range(LAYERS + 1):
        first = TOKENS - reach(LAYERS - layer)
        for token in range(TOKENS):
            x, y = _place(layer, token)
            pen.circle(x, y, 6, "k attn" if token >= first else "b")
        name = "input" if layer == 0 else f"layer {layer}"
        pen.text(LEFT - 10, y + 4, name, "s m", "end")
        count = reach(LAYERS - layer)
        words = f"{count} token" + "s" * (count > 1)
        if layer:
            pen.text(LEFT, y - 10, words, "s B")
    low = _place(0, 0)[1] + 26
    formula = f"reach: {LAYERS} × ({WINDOW} − 1) + 1 = {reach(LAYERS)} tokens"
    pen.text(LEFT - 6, low, formula, "B")
    said = (
        f"Each layer lets a token see {WINDOW - 1} earlier ones, so after {LAYERS} "
        f"layers the last token depends on {reach(LAYERS)} inputs; the first "
        f"{TOKENS - reach(LAYERS)} cannot reach it."
    )
    return Figure(Panel("Receptive field", said, pen, low + 8))


def _place(layer: int, token: int) -> tuple[float, float]:
    return LEFT + token * ACROSS, TOP + 10 + (LAYERS - layer) * DOWN
