"""The winner's curse: forty designs that are all equally good, scored once each. The
best five look better than they are, and lose it when they are trained again.
"""

from random import Random

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.search.searches import shrinkage

DESIGNS, TOP, SPREAD, SEED = 40, 5, 0.02, 3
LEFT, RIGHT, HIGH, LOW = 40, 330, 58, 190
MOST = 0.06  # the end of the axis on either side


def scores() -> tuple[list[float], list[float]]:
    """Losses of one seed, and of a fresh one, as differences to the true loss."""
    random = Random(SEED)
    first, again = ([random.gauss(0, SPREAD) for _ in range(DESIGNS)] for _ in range(2))
    return first, again


def best() -> list[int]:
    """The designs that the first scores would choose, the best first."""
    first, _ = scores()
    return sorted(range(DESIGNS), key=first.__getitem__)[:TOP]


def draw() -> Figure:
    """Left the first scores, right the chosen ones scored again."""
    pen, (first, again), chosen = Pen(), scores(), best()
    pen.text(4, 15, "The best of forty equals", "H")
    pen.text(4, 33, "loss minus the true one, nats; lower is better", "s m")
    one, two = 130, 262
    for value in (-0.04, 0.0, 0.04):
        y = _y(value)
        line(pen, (LEFT, y), (RIGHT, y), cls="o" if value == 0 else "e", under=True)
        pen.text(LEFT - 4, y + 4, f"{value:+.2f}".replace("-", "−"), "s m n", "end")
    for i, value in enumerate(first):
        picked = i in chosen
        x = one + (i % 8 - 3.5) * 9
        pen.circle(x, _y(value), 4 if picked else 3, "k diff" if picked else "b norm")
        if picked:
            line(pen, (x, _y(value)), (two, _y(again[i])), cls="u diff d", under=True)
            pen.circle(two, _y(again[i]), 4, "k diff")
    pen.text(one, LOW + 18, "one seed each", "B", "middle")
    pen.text(two, LOW + 18, "five best, again", "B", "middle")
    lost = shrinkage(first, again, TOP)
    pen.text(4, LOW + 38, f"They lose {lost:.3f} nats on average.", "")
    said = (
        f"Of {DESIGNS} designs of equal quality the {TOP} best of one seed each are "
        f"trained again with a fresh seed and lose {lost:.3f} nats on average."
    )
    return Figure(Panel("The winner's curse", said, pen, LOW + 46))


def _y(value: float) -> float:
    return HIGH + (LOW - HIGH) * (MOST - value) / (2 * MOST)
