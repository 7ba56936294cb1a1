"""DeepSeek's sparse attention: a small indexer scores every key, and attention looks at
the best few.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import bars

TOP_K = 4
WEIGHTS = (1.0, 0.6)  # of two index heads, from the query
# q · k of either head for each of sixteen keys; made up
PRODUCTS = (
    (
        0.9,
        -0.4,
        -1.1,
        0.2,
        -0.3,
        1.6,
        -0.8,
        -0.1,
        0.4,
        -1.3,
        -0.5,
        2.0,
        -0.2,
        -0.9,
        0.7,
        1.2,
    ),
    (
        -0.2,
        -0.9,
        -0.5,
        1.0,
        -1.2,
        0.8,
        -0.3,
        -0.7,
        -0.4,
        -0.6,
        -1.0,
        0.5,
        1.1,
        -0.2,
        0.3,
        0.9,
    ),
)
LEFT, STEP, UNIT = 8, 20.2, 34


def scores() -> list[float]:
    """The indexer's score of each key: weights times products, negative ones cut."""
    keys = zip(*PRODUCTS, strict=True)
    return [
        sum(w * max(product, 0) for w, product in zip(WEIGHTS, key, strict=True))
        for key in keys
    ]


def picked() -> list[int]:
    """The keys that attention looks at."""
    found = scores()
    return sorted(sorted(range(len(found)), key=lambda s: -found[s])[:TOP_K])


def draw() -> Figure:
    """Scores above, the keys below."""
    pen, found, best = Pen(), scores(), picked()
    pen.text(4, 14, "1  The indexer scores every key", "T")
    base = 118
    bars(
        pen,
        LEFT,
        base,
        STEP,
        found,
        UNIT,
        lambda s: "p diff" if s in best else "q diff",
        gap=5,
    )
    for s in best:
        x, y = LEFT + (s + 0.5) * STEP, base - found[s] * UNIT - 4
        pen.text(x, y, f"{found[s]:.1f}", "s B n", "middle")
    zeros = sum(score == 0 for score in found)
    pen.text(LEFT, base + 14, f"{zeros} keys tie at zero", "s m")
    y = base + 32
    pen.text(4, y, f"2  Attention looks at the {TOP_K} best", "T")
    for s in range(len(found)):
        cls = "k attn" if s in best else "e"
        pen.rect(LEFT + s * STEP + 2, y + 8, STEP - 4, 20, cls, 2)
    y += 36
    entries = [("p diff", "picked"), ("q diff", "score, not picked")]
    entries += [("p attn", "attended to"), ("e", "skipped")]
    y += legend(pen, 6, y, entries) + 4
    said = (
        f"Sixteen keys get a score from two small heads; {zeros} get zero. The "
        f"{TOP_K} best are attended to with full heads, the others not at all."
    )
    return Figure(Panel("An indexer", said, pen, y))
