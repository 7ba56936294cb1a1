"""A question about one of many facts, asked with the fact at five depths: three shapes
of the answer's quality.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import HALF, WIDTH, Pen
from course_lib.kit.diagrams.tensors import bars

DEPTHS = ("first", "1/4", "middle", "3/4", "last")
# shares of right answers; made up
SHAPES = (
    ("A U", "begin and end are found", (0.92, 0.66, 0.48, 0.62, 0.88)),
    ("Recency", "only what is near", (0.22, 0.3, 0.4, 0.6, 0.94)),
    ("Flat", "any single fact is found", (0.96, 0.95, 0.94, 0.95, 0.96)),
    ("Flat, two facts", "both are needed", (0.55, 0.52, 0.5, 0.52, 0.54)),
)
LEFT, STEP, UNIT = 8, 30, 78


def dip(shares: tuple[float, ...]) -> float:
    """How far the middle lies below the mean of both ends."""
    return (shares[0] + shares[-1]) / 2 - shares[len(shares) // 2]


def draw() -> Figure:
    """Four small panels."""
    return Figure(*(_panel(*shape) for shape in SHAPES), wrap=WIDTH // 2 - 4)


def _panel(title: str, words: str, shares: tuple[float, ...]) -> Panel:
    pen, base = Pen(HALF), 126
    pen.text(6, 15, title, "T")
    pen.text(6, 31, words, "s m")
    bars(pen, LEFT, base, STEP, shares, UNIT, "p attn", gap=6)
    for i, (depth, share) in enumerate(zip(DEPTHS, shares, strict=True)):
        x = LEFT + (i + 0.5) * STEP
        pen.text(x, base - share * UNIT - 3, f"{share:.0%}"[:-1], "s n", "middle")
        if i % 2 == 0:
            pen.text(x, base + 13, depth, "s m", "middle")
    first = f"{words[0].upper()}{words[1:]}"
    said = f"{first}; the middle is {dip(shares):.2f} below the ends."
    return Panel(title, said, pen, base + 19)
