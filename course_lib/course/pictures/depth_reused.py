"""Depth used in other ways: a core of layers that runs several times, and several
residual streams that a doubly stochastic matrix mixes.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, bracket, stream
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tensors import bars

LOOPS, CORE = 3, ("1", "2")
MIX = ((0.7, 0.2, 0.1), (0.2, 0.5, 0.3), (0.1, 0.3, 0.6))
STREAMS = (1.0, 0.2, 0.6)
TALL = 232


def mixed() -> tuple[float, ...]:
    """The streams after the mix, mix^T X."""
    return tuple(
        sum(MIX[i][j] * x for i, x in enumerate(STREAMS)) for j in range(len(STREAMS))
    )


def draw() -> Figure:
    """A loop, unrolled; three streams before and after a mix."""
    return Figure(_loop(), _streams())


def _loop() -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, "A loop over layers", "T")
    pen.text(6, 30, "weights stand once", "s m")
    visits = ["prelude", *(name for _ in range(LOOPS) for name in CORE), "coda"]
    stream(pen, 38, TALL - 12)
    arrow(pen, (16, TALL - 10), (16, TALL - 2), head=5)
    for i, name in enumerate(visits):
        y = 42 + i * 22
        core = name in CORE
        pen.rect(30, y, 62, 18, f"b {'diff' if core else 'attn'}", 2)
        pen.text(61, y + 13, f"core {name}" if core else name, "s", "middle")
        pen.rect(98, y + 3, 12, 12, "b kept", 0)
    bracket(pen, 116, 64, 64 + 2 * LOOPS * 22 - 4, "")
    pen.text(124, 130, f"{LOOPS} times", "s")
    pen.text(30, TALL - 2, f"{len(visits)} visits, each with a cache", "s")
    said = (
        f"A prelude, a core of {len(CORE)} layers that runs {LOOPS} times, a coda: "
        f"{len(visits)} visits of {2 + len(CORE)} layers, each with keys and values."
    )
    return Panel("A loop over layers", said, pen, TALL + 6)


def _streams() -> Panel:
    pen, after, size = Pen(HALF), mixed(), 30
    pen.text(6, 15, "Streams, mixed", "T")
    pen.text(6, 30, "one channel of three streams", "s m")
    left = 38
    bars(pen, left, 82, size, STREAMS, 36, "p state", gap=8)
    arrow(pen, (left + 1.5 * size, 88), (left + 1.5 * size, 98), head=3)
    for i, row in enumerate(MIX):
        for j, value in enumerate(row):
            x, y = left + j * size, 102 + i * 20
            pen.rect(x, y, size, 20, "b norm", 0)
            pen.text(x + size / 2, y + 14, f"{value:.1f}", "s n", "middle")
    arrow(pen, (left + 1.5 * size, 166), (left + 1.5 * size, 174), head=3)
    bars(pen, left, 212, size, after, 36, "p state", gap=8)
    mean = sum(STREAMS) / len(STREAMS)
    pen.text(6, TALL - 2, f"mean {mean:.1f}, before and after", "")
    said = (
        f"Streams of {', '.join(f'{x:.1f}' for x in STREAMS)} become "
        f"{', '.join(f'{x:.2f}' for x in after)}: rows and columns of the mix sum to "
        "1, so the mean stays and nothing grows."
    )
    return Panel("Streams, mixed", said, pen, TALL + 6)
