"""The online softmax on four scores in two tiles: what is carried, and how a new
maximum rescales it.
"""

from fractions import Fraction

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars, cells, maths

EXPONENTIALS, VALUES, TILE = (1, 3, 4, 8), (8, 0, 4, 2), 2
X, STEP, BASE, UNIT = 100, 56, 190, 76


def carried(seen: int) -> tuple[int, Fraction, Fraction]:
    """e^m, the sum and the weighted sum after some scores, all against their maximum.

    >>> [str(n) for n in carried(2)], [str(n) for n in carried(4)]
    (['3', '4/3', '8/3'], ['8', '2', '5'])
    """
    highest = max(EXPONENTIALS[:seen])
    shares = [Fraction(e, highest) for e in EXPONENTIALS[:seen]]
    mean = sum(s * v for s, v in zip(shares, VALUES, strict=False))
    return highest, sum(shares), mean


def draw() -> Figure:
    """After the first tile at the left, after the second at the right."""
    return Figure(_panel(1), _panel(2))


def _panel(tiles: int) -> Panel:
    pen, seen = Pen(), tiles * TILE
    highest, total, mean = carried(seen)
    pen.text(8, 16, ("1  First tile", "2  Second tile: a new maximum")[tiles - 1], "T")
    for y, name, words in (
        (30, "scores z", [f"ln {e}" for e in EXPONENTIALS]),
        (58, "values V", [str(v) for v in VALUES]),
    ):
        maths(pen, 8, y + 16, name)
        cells(pen, X, y, words, STEP, lambda i: _role(i, tiles), height=24)
    pen.path(f"M{X + TILE * STEP} 24v64", "w")
    maths(pen, 8, 114, "e^{z − m}")
    old = carried(TILE)[0]
    for i, e in enumerate(EXPONENTIALS[:seen]):
        share = Fraction(e, highest)
        if i < seen - TILE:
            pen.rect(
                X + i * STEP + 10,
                BASE - UNIT * e / old,
                STEP - 20,
                UNIT * e / old,
                "g",
                0,
            )
        bars(pen, X + i * STEP, BASE, STEP, [float(share)], UNIT, "p attn", 20)
        pen.text(X + (i + 0.5) * STEP, BASE + 14, str(share), "", "middle")
    if tiles > 1:
        pen.text(8, 168, f"× {Fraction(old, highest)}", "B")
        pen.text(8, 182, "old bars", "s m")
    pen.rect(8, 214, 324, 28, "b kept")
    for x, words in (
        (64, f"m = ln {highest}"),
        (170, f"ℓ = {total}"),
        (276, f"y = {mean}"),
    ):
        maths(pen, x, 232, words, "T", "middle")
    if tiles > 1:
        maths(pen, 170, 262, f"output y / ℓ = {float(mean / total):.1f}", "B", "middle")
    else:
        pen.text(170, 262, "carried to the next tile", "m", "middle")
    return Panel(
        f"After tile {tiles}",
        f"The maximum is ln {highest}, the sum {total}, the weighted sum of values "
        f"{mean}."
        + (
            ""
            if tiles < 2
            else f" The sums of the first tile shrank to {Fraction(old, highest)}."
        ),
        pen,
        270,
    )


def _role(i: int, tiles: int) -> str:
    now = (tiles - 1) * TILE <= i < tiles * TILE
    return "b attn" if now else "b norm" if i < tiles * TILE else "e"
