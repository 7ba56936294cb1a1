"""The rolling buffer of a sliding window: the text with its window, and the slots of
the ring, step by step.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.layers.caches.plain import append_to_ring

WINDOW, TOKENS = 4, 8
FIRST = 3  # the first step drawn: the ring has just become full
ROW, TOP, CELL = 34, 58, 25


def draw() -> Figure:
    """The text at the left, the ring at the right, one row for each step."""
    slots: list = [None] * WINDOW
    held = []
    for position in range(TOKENS):
        append_to_ring(slots, position, position)
        held.append(list(slots))
    return Figure(_text(), _ring(held))


def _text() -> Panel:
    pen = Pen()
    pen.text(4, 14, f"The text, with a window of {WINDOW}", "H")
    pen.text(4, TOP - 12, "new token", "s m")
    for row, newest in enumerate(range(FIRST, TOKENS)):
        y = TOP + row * ROW
        pen.text(30, y + 17, newest, "B", "middle")
        for position in range(newest + 1):
            x = 74 + position * (CELL + 6)
            seen = position > newest - WINDOW
            pen.rect(x, y, CELL, CELL, "b attn" if seen else "g")
            pen.text(x + CELL / 2, y + 17, position, "" if seen else "m", "middle")
        left = 74 + (newest - WINDOW + 1) * (CELL + 6)
        pen.rect(left - 3, y - 3, WINDOW * (CELL + 6), CELL + 6, "o attn", 5)
    return Panel(
        "The text",
        f"Each new token attends to itself and to the {WINDOW - 1} before it; older "
        "ones have left the window.",
        pen,
        TOP + (TOKENS - FIRST) * ROW,
    )


def _ring(held: list) -> Panel:
    pen = Pen()
    pen.text(4, 14, f"The cache: a ring of {WINDOW} slots", "H")
    left = 60
    for slot in range(WINDOW):
        x = left + slot * (CELL + 14) + CELL / 2
        pen.text(x, TOP - 12, f"slot {slot}", "s m", "middle")
    for row, newest in enumerate(range(FIRST, TOKENS)):
        y, slot = TOP + row * ROW, newest % WINDOW
        for i, position in enumerate(held[newest]):
            x = left + i * (CELL + 14)
            pen.rect(x, y, CELL, CELL, "k kept" if i == slot else "b kept")
            if i == slot:
                pen.rect(x + 3, y + 3, CELL - 6, CELL - 6, "b", 2)
            pen.text(x + CELL / 2, y + 17, position, "B", "middle")
        words = f"{newest} mod {WINDOW} = {slot}"
        pen.text(left + WINDOW * (CELL + 14) + 6, y + 17, words, "s n")
    return Panel(
        "The ring",
        "Position p goes to slot p mod 4 and overwrites the token that has just left "
        f"the window. After token 7 the slots hold {held[7]}, after token 6 {held[6]}.",
        pen,
        TOP + (TOKENS - FIRST) * ROW,
    )
