"""The same scores with and without the root of d_k, and the weights that a softmax
makes of them.
"""

import math
import random

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars, maths

WIDTH, KEYS = 256, 16
SEED = 198  # of 200 draws one with the median entropy, divided and not
X, STEP = 14, 19.5


def scores() -> list[float]:
    """Products of one query with some keys, all of independent normal coordinates."""
    draw_one = random.Random(SEED).gauss
    query = [draw_one(0, 1) for _ in range(WIDTH)]
    return [sum(q * draw_one(0, 1) for q in query) for _ in range(KEYS)]


def softmax(row: list[float]) -> list[float]:
    """Weights that sum to one.

    >>> softmax([0.0, math.log(3)])
    [0.25, 0.75]
    """
    grown = [math.exp(z - max(row)) for z in row]
    return [part / sum(grown) for part in grown]


def entropy(weights: list[float]) -> float:
    """In nats; its largest value is the logarithm of the number of weights.

    >>> round(entropy([0.5, 0.5]), 3)
    0.693
    """
    return -sum(w * math.log(w) for w in weights if w > 0)


def draw() -> Figure:
    """Not divided at the left, divided at the right; both on the same scales."""
    row, root = scores(), math.sqrt(WIDTH)
    return Figure(
        _panel("Not divided", "q · k", row),
        _panel(
            f"Divided by √{WIDTH} = {root:.0f}", "q · k / √d_k", [z / root for z in row]
        ),
    )


def _panel(title: str, name: str, row: list[float]) -> Panel:
    pen, weights = Pen(), softmax(row)
    nats, most = entropy(weights), math.log(KEYS)
    pen.text(8, 16, title, "T")
    maths(pen, 8, 42, f"scores {name}")
    bars(pen, X, 98, STEP, row, 1.4, "p norm", 4)
    pen.text(8, 166, "weights, after the softmax")
    bars(pen, X, 266, STEP, weights, 72, "p attn", 4)
    largest = max(range(KEYS), key=weights.__getitem__)
    pen.text(
        X + (largest + 0.5) * STEP,
        260 - 72 * weights[largest],
        f"{weights[largest]:.2f}",
        "s B",
        "middle",
    )
    pen.text(8, 286, f"entropy {nats:.2f} of {most:.2f} nats", "m")
    return Panel(
        title,
        f"Scores of one query with {KEYS} keys of width {WIDTH}, and their weights. "
        f"The largest weight is {weights[largest]:.2f}, the entropy {nats:.2f} of "
        f"{most:.2f} nats.",
        pen,
        294,
    )
