"""Four things that a text can leave for its next segment: vectors of each layer, memory
tokens, a state that is written through gates, and keys that are looked up.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, grid
from course_lib.kit.diagrams.pen import HALF, Pen

TALL = 128
LAYERS, TOKENS, SIZE = 3, 4, 12


def draw() -> Figure:
    """Segment before, what is kept, segment at hand; four times."""
    return Figure(_vectors(), _memory_tokens(), _written(), _looked_up())


def _start(title: str, words: str) -> Pen:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 30, words, "s m")
    return pen


def _segment(pen: Pen, x: float, role: str = "p attn") -> None:
    grid(pen, x, 48, LAYERS, TOKENS, SIZE, lambda i, j: role, 1.5)


def _close(pen: Pen, kept: str, reach: str, title: str, said: str) -> Panel:
    pen.text(6, TALL - 22, kept, "B")
    pen.text(6, TALL - 8, reach, "s")
    return Panel(title, said, pen, TALL)


def _vectors() -> Panel:
    pen = _start("Vectors of each layer", "Transformer-XL")
    grid(pen, 8, 48, LAYERS, TOKENS, SIZE, lambda i, j: "b kept", 1.5)
    _segment(pen, 104)
    for row in range(LAYERS):
        y = 53.5 + row * SIZE
        arrow(pen, (58, y), (102, y), cls="u attn", head=3)
    said = "Each layer attends to its own inputs of the segment before."
    return _close(
        pen, "kept: layers × tokens", "reach: layers × memory", "Vectors", said
    )


def _memory_tokens() -> Panel:
    pen = _start("Memory tokens", "Recurrent Memory Transformer")
    _segment(pen, 8)
    _segment(pen, 104)
    for x in (58, 90):
        grid(pen, x, 48, LAYERS, 1, SIZE, lambda i, j: "b kept", 1.5)
    arrow(pen, (63, 86), (63, 92), (95, 92), (95, 86), head=3)
    said = (
        "A few vectors behind a segment are what the next one gets before its tokens."
    )
    return _close(
        pen, "kept: a few vectors", "reach: what fits in them", "Tokens", said
    )


def _written() -> Panel:
    pen = _start("A written state", "block recurrence")
    _segment(pen, 8)
    _segment(pen, 104)
    pen.circle(81, 65, 14, "b state")
    pen.text(81, 69, "gate", "s", "middle")
    arrow(pen, (58, 65), (66, 65), head=3)
    arrow(pen, (95, 65), (103, 65), head=3)
    arrow(pen, (75, 78), (75, 90), (87, 90), (87, 79), head=3)
    said = "Gates write what is new into state vectors; the next block attends to them."
    return _close(pen, "kept: state vectors", "reach: until overwritten", "State", said)


def _looked_up() -> Panel:
    pen = _start("Keys, looked up", "Memorizing Transformer")
    found = {2, 7, 11}
    grid(
        pen,
        8,
        48,
        LAYERS,
        6,
        SIZE,
        lambda i, j: "k kept" if i * 6 + j in found else "b kept",
        1.5,
    )
    _segment(pen, 108)
    for x, y in ((37, 53.5), (25, 65.5), (73, 65.5)):
        arrow(pen, (x, y), (106, 65.5), cls="u attn", head=3)
    said = "One layer keeps every key and value; a query takes the few nearest."
    return _close(pen, "kept: all of one layer", "reach: everything read", "Keys", said)
