"""Who runs when: static batching, continuous batching and chunked prefill on the same
three requests, with two batch slots.

A prompt token takes one unit of time, a decode step one unit for all that take part; a
chunk of the prompt of two tokens takes two, and the others' step rides along.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen

# slot, request, kind, from, to: A has 2 tokens in and 9 out, B 2 and 3, C 6 and 4
STATIC = (
    (0, "A", "prefill", 0, 2),
    (0, "A", "waits", 2, 4),
    (0, "A", "decode", 4, 12),
    (1, "B", "prefill", 2, 4),
    (1, "B", "decode", 4, 6),
    (0, "C", "prefill", 12, 18),
    (0, "C", "decode", 18, 21),
)
CONTINUOUS = (
    (0, "A", "prefill", 0, 2),
    (0, "A", "waits", 2, 4),
    (0, "A", "decode", 4, 6),
    (0, "A", "waits", 6, 12),
    (0, "A", "decode", 12, 18),
    (1, "B", "prefill", 2, 4),
    (1, "B", "decode", 4, 6),
    (1, "C", "prefill", 6, 12),
    (1, "C", "decode", 12, 15),
)
CHUNKED = (
    (0, "A", "prefill", 0, 2),
    (0, "A", "waits", 2, 4),
    (0, "A", "decode", 4, 6),
    (0, "A", "slow", 6, 12),
    (0, "A", "decode", 12, 15),
    (1, "B", "prefill", 2, 4),
    (1, "B", "decode", 4, 6),
    (1, "C", "prefill", 6, 8),
    (1, "C", "prefill", 8, 10),
    (1, "C", "prefill", 10, 12),
    (1, "C", "decode", 12, 15),
)
LEFT, UNIT, LANE, END = 8, 15, 26, 21
ROLES = {"A": "attn", "B": "ffn", "C": "state"}


def draw() -> Figure:
    """Three timelines under one another, on one scale of time."""
    pen, y = Pen(), 0.0
    for title, pieces in (
        ("Static batching", STATIC),
        ("Continuous batching", CONTINUOUS),
        ("Continuous, with chunked prefill", CHUNKED),
    ):
        y = _timeline(pen, y, title, pieces)
    entries = [("k attn", "prefill"), ("b attn", "decode, one token a cell")]
    entries += [("g", "waits"), ("e", "slot is empty")]
    y += legend(pen, LEFT, y + 2, entries) + 6
    static, continuous = (max(p[4] for p in s) for s in (STATIC, CONTINUOUS))
    return Figure(
        Panel(
            "Three schedulers",
            f"Static batching ends at {static}, since C waits until A is done. "
            f"Continuous batching ends at {continuous}: C takes B's slot, and A waits "
            "while C is prefilled. With chunks A goes on writing, and all end at 15.",
            pen,
            y,
        )
    )


def _timeline(pen: Pen, y: float, title: str, pieces) -> float:
    pen.text(4, y + 14, title, "T")
    end = max(piece[4] for piece in pieces)
    pen.text(LEFT + END * UNIT, y + 14, f"ends at {end}", "s B", "end")
    for lane in (0, 1):
        top = y + 22 + lane * LANE
        pen.rect(LEFT, top, end * UNIT, LANE - 5, "e", 0)
    for piece in pieces:
        _piece(pen, y + 22 + piece[0] * LANE, *piece[1:])
    return y + 22 + 2 * LANE + 8


def _piece(pen: Pen, top: float, name: str, kind: str, start: int, end: int) -> None:
    x, w, h = LEFT + start * UNIT, (end - start) * UNIT, LANE - 5
    role = ROLES[name]
    if kind == "prefill":
        pen.rect(x, top, w, h, f"k {role}", 0)
        pen.rect(x + w / 2 - 8, top + 3, 16, h - 6, "b", 3)
        pen.text(x + w / 2, top + 14, name, "s B", "middle")
    elif kind == "waits":
        pen.rect(x, top, w, h, "x", 0)
        pen.rect(x, top, w, h, "g", 0)
    else:
        step = 2 if kind == "slow" else 1
        for at in range(start, end, step):
            pen.rect(LEFT + at * UNIT, top, step * UNIT, h, f"b {role}", 0)
        pen.text(x + step * UNIT / 2, top + 14, name, "s", "middle")
