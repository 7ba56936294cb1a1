"""Which step waits for which: a recurrent layer, a scan, an attention layer."""

from itertools import product

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen

TOKENS = 8
SIZE = 16
LEFT, TOP = 34, 50
Cell = tuple[int, int]  # step, token


def draw() -> Figure:
    """Time runs downward, tokens to the right; a cell is worked on at its step."""
    row = [(step, step) for step in range(TOKENS)]
    rounds = TOKENS.bit_length() - 1
    scan = list(product(range(rounds), range(TOKENS)))
    return Figure(
        _panel(
            "Recurrent layer",
            row,
            [((t, t), (t + 1, t + 1)) for t in range(TOKENS - 1)],
            [f"{TOKENS} steps: each waits", "for the one before"],
        ),
        _panel(
            "Recurrence, as a scan",
            scan,
            [
                ((r, t), (r + 1, t + 2 ** (r + 1)))
                for r in range(rounds - 1)
                for t in range(TOKENS - 2 ** (r + 1))
            ],
            [f"{rounds} rounds: log₂ of {TOKENS}"],
        ),
        _panel(
            "Attention layer",
            [(0, t) for t in range(TOKENS)],
            [],
            ["1 step: no token waits", "for another's output"],
        ),
    )


def _panel(
    title: str, busy: list[Cell], waits: list[tuple[Cell, Cell]], said: list[str]
) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(LEFT, 32, f"tokens 1 to {TOKENS}", "m s")
    pen.text(6, 32, "step", "m s")
    for step in range(TOKENS):
        y = TOP + step * SIZE
        pen.text(LEFT - 8, y + 4, step + 1, "m s n", "end")
        line(pen, (LEFT, y), (LEFT + TOKENS * SIZE, y), cls="e")
    for (i, j), (k, m) in waits:
        line(pen, _at(i, j), _at(k, m), cls="u attn")
    for step, token in busy:
        x, y = _at(step, token)
        pen.circle(x, y, 5, "k attn")
    bottom = TOP + TOKENS * SIZE + 12
    paragraph(pen, 6, bottom, said, "s", 13)
    return Panel(title, " ".join(said) + ".", pen, bottom + 20)


def _at(step: int, token: int) -> tuple[float, float]:
    return LEFT + (token + 0.5) * SIZE, TOP + step * SIZE
