"""A fixed decay and a selective one: how much of one marked token the state still holds
while filler goes by.
"""

import math

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars

TEXT = ("code", "is", "7", "um", "er", "so", "well", "um", "ok", "er", "so", "?")
MARKED = 2  # the token to keep
FIXED = 0.3  # the step size of all tokens, with A = -1
WRITE, SKIP = 2.0, 0.02  # step sizes of a selective model: of a word, of filler
FILLER = {"um", "er", "so", "well", "ok"}
LEFT, STEP, UNIT = 8, 27, 74


def step_sizes(selective: bool) -> list[float]:
    """The step size of each token."""
    if not selective:
        return [FIXED] * len(TEXT)
    return [SKIP if word in FILLER else WRITE for word in TEXT[:-1]] + [SKIP]


def shares(selective: bool) -> list[float]:
    """The marked token's weight in the state after each token.

    It enters with 1 - exp(-dt) (zero-order hold for A = -1) and is multiplied by
    exp(-dt) at each later one.
    """
    out, share = [], 0.0
    for i, step in enumerate(step_sizes(selective)):
        share *= math.exp(-step)
        if i == MARKED:
            share += 1 - math.exp(-step)
        out.append(share)
    return out


def draw() -> Figure:
    """The same text twice: bars are the weight of the marked token."""
    return Figure(
        _panel("Fixed", "each token has the same step size", False),
        _panel("Selective", "the step size is computed from the token", True),
    )


def _panel(title: str, words: str, selective: bool) -> Panel:
    pen, held, steps = Pen(), shares(selective), step_sizes(selective)
    pen.text(4, 15, title, "H")
    pen.text(4, 31, words, "m")
    base = 122
    bars(pen, LEFT, base, STEP, held, UNIT, "p state", gap=5)
    top = max(held)
    for i in (MARKED, len(TEXT) - 1):
        y = base - held[i] * UNIT - 5
        pen.text(LEFT + (i + 0.5) * STEP, y, f"{held[i]:.2f}", "s B n", "middle")
    for i, word in enumerate(TEXT):
        x = LEFT + i * STEP
        cls = "k diff" if i == MARKED else "b emb"
        pen.rect(x + 1, base + 30 - 22, STEP - 2, 20, cls if i != MARKED else "b diff")
        pen.text(x + STEP / 2, base + 21, word, "s", "middle")
    pen.text(LEFT, base + 46, "step sizes", "s m")
    bars(pen, LEFT, base + 80, STEP, [min(s, 2.0) for s in steps], 13, "p ffn", gap=9)
    y = base + 88
    y += legend(
        pen, 6, y, [("p state", "weight of 7 in the state"), ("p ffn", "step size")]
    )
    said = (
        f"The 7 enters the state with weight {top:.2f} and has {held[-1]:.2f} when the "
        f"question comes, {len(TEXT) - 1 - MARKED} tokens later."
    )
    return Panel(f"{title} step size", said, pen, y + 4)
