"""Dispatch and combine: tokens are sorted by expert, each expert multiplies one slice,
and the rows go back to the order of the tokens.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen

PICKS = ("AB", "BC", "AB", "AC", "BA", "BC")  # the two experts of each token
ROLES = {"A": "attn", "B": "ffn", "C": "state"}
LEFT, STEP, CELL = 8, 27, 22
ROWS = (44, 110, 196, 262)  # tops of the four rows of cells


def assignments() -> list[tuple[int, str]]:
    """Pairs of token and expert, in the order of the tokens."""
    return [(t, e) for t, both in enumerate(PICKS) for e in both]


def order() -> list[int]:
    """The assignments in the order of their experts; equal ones keep their order."""
    pairs = assignments()
    return sorted(range(len(pairs)), key=lambda i: pairs[i][1])


def draw() -> Figure:
    """Downward: in the tokens' order, sorted, through the experts, and back."""
    pen, pairs, by_expert = Pen(), assignments(), order()
    pen.text(4, 14, "Six tokens, two experts each", "H")
    pen.text(4, 34, "picks, token by token", "s m")
    _cells(pen, ROWS[0], range(len(pairs)), pairs)
    _lines(pen, ROWS[0] + CELL, ROWS[1], by_expert, pairs, back=False)
    _cells(pen, ROWS[1], by_expert, pairs)
    pen.rect(2, ROWS[1] - 17, 88, 14, "x", 0)
    pen.text(4, ROWS[1] - 6, "sorted by expert", "s m")
    start = 0
    for expert, role in ROLES.items():
        count = sum(e == expert for _, e in pairs)
        x, w = LEFT + start * STEP, count * STEP - 5
        pen.rect(x, ROWS[1] + 28, w, 30, f"k {role}")
        pen.rect(x + w / 2 - 34, ROWS[1] + 33, 68, 20, "b", 3)
        pen.text(x + w / 2, ROWS[1] + 47, f"{expert}: {count} rows", "s B", "middle")
        start += count
    _cells(pen, ROWS[2], by_expert, pairs, done=True)
    _lines(pen, ROWS[2] + CELL, ROWS[3], by_expert, pairs, back=True)
    _cells(pen, ROWS[3], range(len(pairs)), pairs, done=True)
    pen.text(4, ROWS[2] - 6, "outputs, in the order of the experts", "s m")
    for t in range(len(PICKS)):
        x = LEFT + 2 * t * STEP
        pen.path(f"M{x} {ROWS[3] + 26}v5h{2 * STEP - 5}v-5", "l")
        pen.text(x + STEP - 2, ROWS[3] + 44, f"y{'₁₂₃₄₅₆'[t]}", "B", "middle")
    pen.text(4, ROWS[3] + 62, "weighted sum of each token's two outputs", "s m")
    counts = ", ".join(
        f"{expert} {sum(e == expert for _, e in pairs)}" for expert in ROLES
    )
    said = (
        f"Twelve pairs of token and expert are sorted by expert ({counts}), each "
        "expert works on its slice, and the outputs return to the order of the tokens."
    )
    return Figure(Panel("Dispatch and combine", said, pen, ROWS[3] + 68))


def _cells(pen: Pen, y: float, indices, pairs, done: bool = False) -> None:
    for place, i in enumerate(indices):
        t, expert = pairs[i]
        x = LEFT + place * STEP
        pen.rect(x, y, CELL, CELL, f"{'k' if done else 'b'} {ROLES[expert]}", 2)
        if done:
            pen.rect(x + 4, y + 4, CELL - 8, CELL - 8, "b", 2)
        pen.text(x + CELL / 2, y + 15, t + 1, "s B", "middle")


def _lines(pen: Pen, y0: float, y1: float, by_expert, pairs, back: bool) -> None:
    for place, i in enumerate(by_expert):
        ends = (LEFT + i * STEP + CELL / 2, LEFT + place * STEP + CELL / 2)
        x0, x1 = reversed(ends) if back else ends
        line(pen, (x0, y0 + 1), (x1, y1 - 1), cls=f"u {ROLES[pairs[i][1]]}", under=True)
