"""What one changed token can reach through two layers: with a causal mask, and with one
that is a token too generous.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend, line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths

TOKENS, CHANGED = 7, 5
LEVELS = ("input", "layer 1", "layer 2")
LEFT, STEP = 84, 38
TOP, FALL = 58, 70


def reached(ahead: int) -> list[set[int]]:
    """Tokens that move at each level if a query sees its own token, all before it, and
    `ahead` more.

    >>> reached(0), reached(1)
    ([{5}, {5, 6, 7}, {5, 6, 7}], [{5}, {4, 5, 6, 7}, {3, 4, 5, 6, 7}])
    """
    levels = [{CHANGED}]
    for _ in LEVELS[1:]:
        seen = levels[-1]
        levels.append(
            {t for t in range(1, TOKENS + 1) if any(s <= t + ahead for s in seen)}
        )
    return levels


def draw() -> Figure:
    """The two masks side by side."""
    return Figure(
        _panel(
            "Causal mask",
            0,
            "Token 5 is changed. Through both layers only tokens 5 to 7 move.",
        ),
        _panel(
            "One token too generous",
            1,
            "Token 5 is changed. Token 4 moves after the first layer and token 3 after "
            "the second: one token is leaked in each layer.",
        ),
    )


def _panel(title: str, ahead: int, said: str) -> Panel:
    pen, levels = Pen(), reached(ahead)
    pen.text(8, 16, title, "T")
    for t in range(1, TOKENS + 1):
        pen.text(*_at(t, 0, up=20), t, "m n", "middle")
    maths(pen, 8, _at(1, 0, up=20)[1], "token", "m")
    for level, name in enumerate(LEVELS):
        pen.text(8, _at(1, level, up=-4)[1], name)
        for t in range(1, TOKENS + 1):
            if level:
                _edges(pen, t, level, ahead, levels)
    for level, moved in enumerate(levels):
        for t in range(1, TOKENS + 1):
            _node(pen, t, level, t in moved)
    y = _at(1, 2)[1] + 26
    entries = [("k attn", "changed, or moves with it"), ("b norm", "stays as it was")]
    if ahead:
        entries.insert(1, ("k diff", "moves, and must not: a leak"))
    legend(pen, 8, y, entries, columns=1)
    return Panel(title, said, pen, y + 48)


def _at(t: int, level: int, up: float = 0) -> tuple[float, float]:
    return LEFT + (t - 1) * STEP, TOP + level * FALL - up


def _edges(pen: Pen, t: int, level: int, ahead: int, levels: list[set[int]]) -> None:
    """Lines from the tokens that t sees; strong where a change runs along them."""
    for s in range(1, min(t + ahead, TOKENS) + 1):
        moves = s in levels[level - 1]
        role = "u diff" if t < CHANGED else "u attn"
        ends = _at(s, level - 1, -9), _at(t, level, 9)
        line(pen, *ends, cls=role if moves else "e", under=not moves)


def _node(pen: Pen, t: int, level: int, moved: bool) -> None:
    x, y = _at(t, level)
    leak = moved and t < CHANGED
    pen.circle(x, y, 8, "k diff" if leak else "k attn" if moved else "b norm")
    if leak:
        pen.rect(x - 12, y - 12, 24, 24, "u diff", 5)
