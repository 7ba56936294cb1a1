"""Capacity: slots for each expert, and what becomes of the tokens for which there is no
slot: dropped, sent to the second choice, or served with slots as needed.
"""

import math

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow
from course_lib.kit.diagrams.pen import HALF, Pen

FIRST = "AABACABD"  # the expert that each token wants most
SECOND = "BCACBDCA"  # and the one it would take instead
EXPERTS = "ABCD"
ROLES = dict(zip(EXPERTS, ("attn", "ffn", "state", "emb"), strict=True))
LEFT, STEP, SLOT, TOP = 8, 19, 21, 88
COLUMN = 38
# title, capacity factor (0: no limit), whether a full expert sends tokens on
POLICIES = (
    ("c = 1, drop", 1.0, False),
    ("c = 1.5, drop", 1.5, False),
    ("c = 1, reroute", 1.0, True),
    ("dropless", 0.0, False),
)


def capacity(factor: float) -> int:
    """Slots of an expert: c N k / E with k = 1, rounded up."""
    return math.ceil(factor * len(FIRST) / len(EXPERTS))


def served(factor: float, reroute: bool) -> tuple[dict[str, list[int]], list[int]]:
    """Tokens in each expert's slots, in order, and the dropped ones."""
    slots: dict[str, list[int]] = {e: [] for e in EXPERTS}
    limit = capacity(factor) if factor else len(FIRST)
    dropped = []
    for t, (one, two) in enumerate(zip(FIRST, SECOND, strict=True)):
        tries = (one, two) if reroute else (one,)
        free = [e for e in tries if len(slots[e]) < limit]
        if free:
            slots[free[0]].append(t)
        else:
            dropped.append(t)
    return slots, dropped


def draw() -> Figure:
    """The same eight tokens under four policies."""
    return Figure(*(_panel(*policy) for policy in POLICIES))


def _panel(title: str, factor: float, reroute: bool) -> Panel:
    pen = Pen(HALF)
    slots, dropped = served(factor, reroute)
    limit = capacity(factor) if factor else 0
    pen.text(6, 15, title, "T")
    said = f"{limit} slots for each expert" if factor else "slots as needed"
    pen.text(6, 30, said, "s m")
    for t, expert in enumerate(FIRST):
        x = LEFT + t * STEP
        cls = "g" if t in dropped else f"b {ROLES[expert]}"
        pen.rect(x, 38, STEP - 3, 18, cls, 2)
        pen.text(x + (STEP - 3) / 2, 51, t + 1, "s", "middle")
    arrow(pen, (HALF / 2, 58), (HALF / 2, 70))
    for column, (expert, tokens) in enumerate(slots.items()):
        _expert(pen, LEFT + column * COLUMN, expert, tokens, limit)
    y = TOP + 4 * SLOT + 14
    empty = sum(max(limit - len(tokens), 0) for tokens in slots.values())
    names = " and ".join(str(t + 1) for t in dropped)
    lines = [f"dropped: {names or 'none'}", f"empty slots: {empty}"]
    if not factor:
        lines[1] = f"longest: {max(map(len, slots.values()))}, A makes all wait"
    if reroute:
        lines[1] += ", two sent on"
    for i, words in enumerate(lines):
        pen.text(6, y + 14 * i, words, "s B" if i == 0 else "s")
    return Panel(title, f"{said}; {'; '.join(lines)}.", pen, y + 22)


def _expert(pen: Pen, x: float, expert: str, tokens: list[int], limit: int) -> None:
    pen.text(x + 16, TOP - 4, expert, "B", "middle")
    for i in range(max(limit, len(tokens))):
        y = TOP + i * SLOT
        if i >= len(tokens):
            pen.rect(x, y, 32, SLOT - 3, "e", 2)
            continue
        moved = FIRST[tokens[i]] != expert
        pen.rect(x, y, 32, SLOT - 3, "b diff" if moved else f"b {ROLES[expert]}", 2)
        pen.text(x + 16, y + 13, tokens[i] + 1, "s", "middle")
