"""Three ways to put attention and a state into one stack: in turn, side by side, and as
one shared block that is visited again and again.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, line, plus, stream
from course_lib.kit.diagrams.pen import HALF, Pen

TALL = 196
PART, WIDE = 66, 88


def draw() -> Figure:
    """In turn, side by side, shared."""
    return Figure(_in_turn(), _side_by_side(), _shared(), wrap=HALF)


def _start(title: str, words: str) -> Pen:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 30, words, "s m")
    stream(pen, 38, TALL - 10)
    arrow(pen, (16, TALL - 8), (16, TALL), head=5)
    return pen


def _branch(pen: Pen, y: float, words: str, role: str, h: float = 26) -> None:
    """A sublayer that leaves the stream at `y` and comes back below it."""
    arrow(pen, (16, y), (PART, y))
    block(pen, PART, y - h / 2, WIDE, h, words, role, "s")
    arrow(pen, (PART + WIDE / 2, y + h / 2), (PART + WIDE / 2, y + 20), (23, y + 20))
    plus(pen, y + 20)


def _in_turn() -> Panel:
    pen = _start("In turn", "Jamba, Qwen3.5")
    for i, y in enumerate((56, 91, 126, 161)):
        last = i == 3
        _branch(pen, y, "attention" if last else "state", "attn" if last else "state")
    said = "Layers with a state, and every fourth or eighth layer attends."
    return Panel("In turn", said, pen, TALL + 6)


def _side_by_side() -> Panel:
    pen = _start("Side by side", "Falcon-H1")
    for y in (62, 132):
        line(pen, (16, y), (48, y))
        for high, words, role in ((0, "attention", "attn"), (24, "state", "state")):
            line(pen, (48, y), (48, y + high))
            arrow(pen, (48, y + high), (PART, y + high))
            block(pen, PART, y + high - 10, 82, 20, words, role, "s")
            line(pen, (PART + 82, y + high), (156, y + high), (156, y + 46))
        arrow(pen, (156, y + 46), (23, y + 46))
        plus(pen, y + 46)
    said = "In each layer heads that attend and heads with a state read the same input."
    return Panel("Side by side", said, pen, TALL + 6)


def _shared() -> Panel:
    pen = _start("Shared", "Zamba2")
    pen.rect(112, 84, 48, 60, "b attn")
    for i, words in enumerate(("one", "attention", "block")):
        pen.text(136, 106 + i * 13, words, "s", "middle")
    for y in (56, 91, 126, 161):
        arrow(pen, (16, y), (34, y))
        block(pen, 34, y - 10, 56, 20, "state", "state", "s")
        arrow(pen, (62, y + 10), (62, y + 18), (23, y + 18))
        plus(pen, y + 18)
    for y, x, edge in ((56, 128, 84), (126, 136, 144)):
        side = 68 if edge == 84 else 156
        if edge == 84:
            arrow(pen, (x, edge), (x, y), (90, y), cls="u attn")
        else:
            arrow(
                pen, (x, edge), (x, side), (104, side), (104, y), (90, y), cls="u attn"
            )
    said = (
        "All layers keep a state; before some of them the same attention block runs, "
        "with the same weights and keys and values of its own each time."
    )
    return Panel("Shared", said, pen, TALL + 6)
