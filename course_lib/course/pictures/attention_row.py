"""One row of attention worked through: query against keys, softmax, weighted mean."""

from fractions import Fraction

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line
from course_lib.kit.diagrams.pen import Pen, number
from course_lib.kit.diagrams.tensors import bars, maths

TOKENS = ((1, 0), (0, 1), (1, 1))
VALUES = tuple((12 * a, 12 * b) for a, b in TOKENS)
FRACTION = {Fraction(1, 4): "¼", Fraction(1, 2): "½"}
LEFT, STEP, WIDE = 118, 74, 66  # the columns of the three keys


def weights() -> list[Fraction]:
    """Weights of the third token: a score is ln 2 times the product of two tokens, so
    its exponential is a power of 2.

    >>> weights()
    [Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)]
    """
    grown = [2**product for product in _products()]
    return [Fraction(part, sum(grown)) for part in grown]


def draw() -> Figure:
    """Weights at the left, and what they make of the values at the right."""
    return Figure(_weights(), _mean())


def _products() -> list[int]:
    query = TOKENS[-1]
    return [query[0] * a + query[1] * b for a, b in TOKENS]


def _weights() -> Panel:
    pen = Pen()
    pen.text(8, 16, "1  Compare query and keys", "T")
    pen.rect(8, 32, 92, 26, "b attn")
    maths(pen, 54, 49, "q_3 of (1, 1)", "", "middle")
    for i, (a, b) in enumerate(TOKENS):
        pen.rect(_at(i) - WIDE / 2, 70, WIDE, 26, "b attn")
        maths(pen, _at(i), 87, f"k_{i + 1} of ({a}, {b})", "s", "middle")
        arrow(pen, (100, 45), (_at(i), 45), (_at(i), 69))
    products = _products()
    scores = ["ln 2" if n == 1 else f"{n} ln 2" for n in products]
    grown = [2**n for n in products]
    rows = (
        ("scores", scores, 126),
        ("exponentials", [str(n) for n in grown], 160),
    )
    for name, words, y in rows:
        pen.text(8, y, name)
        for i, word in enumerate(words):
            arrow(pen, (_at(i), y - 28), (_at(i), y - 14), head=3)
            pen.text(_at(i), y, word, "", "middle")
    pen.text(8, 174, f"their sum is {sum(grown)}", "s m")
    pen.text(8, 212, "weights", "B")
    for i, share in enumerate(weights()):
        arrow(pen, (_at(i), 166), (_at(i), 180), head=3)
        bars(pen, _at(i) - 22, 244, 44, [float(share)], 80, "p attn", 0)
        pen.text(_at(i), 258, FRACTION[share], "T", "middle")
    return Panel(
        "Weights of the third token",
        "The query of the third token, (1, 1), meets the keys of (1, 0), (0, 1) and "
        "(1, 1). The scores are ln 2, ln 2 and 2 ln 2, their exponentials 2, 2 and 4; "
        "divided by their sum these are the weights 1/4, 1/4 and 1/2.",
        pen,
        266,
    )


def _at(i: int) -> float:
    return LEFT + i * STEP + WIDE / 2


def _mean() -> Panel:
    pen, x, y, unit = Pen(), 84, 214, 13
    pen.text(8, 16, "2  Average the values", "T")

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return x + point[0] * unit, y - point[1] * unit

    line(pen, (x, y - 13.2 * unit), (x, y), (x + 13.2 * unit, y), cls="o")
    shares = weights()
    mean = tuple(
        int(sum(s * v[c] for s, v in zip(shares, VALUES, strict=True))) for c in (0, 1)
    )
    corners = "L".join(f"{number(a)} {number(b)}" for a, b in map(place, VALUES))
    pen.path(f"M{corners}Z", "x attn", under=True)
    sides = ((0, 18, "middle"), (-10, 4, "end"), (-6, -13, "middle"))
    for i, (value, share, (dx, dy, anchor)) in enumerate(
        zip(VALUES, shares, sides, strict=True), 1
    ):
        at = place(value)
        pen.circle(*at, 13 * float(share) ** 0.5, "k attn")
        maths(pen, at[0] + dx, at[1] + dy, f"v_{i} {value}", "", anchor)
    at = place(mean)
    pen.circle(*at, 4.5, "k diff")
    maths(pen, at[0], at[1] + 20, f"y_3 ({mean[0]}, {mean[1]})", "B", "middle")
    total = " + ".join(
        f"{FRACTION[s]} {v}" for s, v in zip(shares, VALUES, strict=True)
    )
    maths(pen, 170, 258, f"{total} = ({mean[0]}, {mean[1]})", "", "middle")
    return Panel(
        "The output is the weighted mean of the values",
        f"Three values stand at the corners of a triangle. The output, {mean[0]} and "
        f"{mean[1]}, lies inside it, nearest to the value of the largest weight.",
        pen,
        266,
    )
