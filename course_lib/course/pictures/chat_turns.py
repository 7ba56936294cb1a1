"""Four turns of a chat: which tokens are processed at each, under two masks."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import HALF, Pen

TURNS = 5
LEFT, TOP, WIDE, HIGH = 40, 44, 24, 22


def draw() -> Figure:
    """A row is a turn, a column the tokens that came with a turn."""
    return Figure(
        _panel("Decoder", "causal mask", False),
        _panel("PrefixLM", "also an encoder-decoder", True),
    )


def _panel(title: str, note: str, again: bool) -> Panel:
    pen, passes = Pen(HALF), 0
    pen.text(6, 15, title, "T")
    pen.text(6, 31, note, "m s")
    for turn in range(TURNS):
        y = TOP + turn * HIGH
        pen.text(LEFT - 6, y + 13, f"turn {turn + 1}", "m s", "end")
        for part in range(turn + 1):
            processed = again or part == turn
            passes += processed
            cls = "p attn" if processed else "b kept"
            pen.rect(LEFT + part * WIDE, y, WIDE - 3, HIGH - 4, cls, 2)
    y = TOP + TURNS * HIGH + 14
    said = f"{passes} segments processed"
    pen.text(6, y, said, "B")
    legend(pen, 6, y + 10, [("p attn", "processed"), ("b kept", "cached")], 2, HALF)
    return Panel(f"Turns of a {title}", f"In {TURNS} turns, {said}.", pen, y + 24)
