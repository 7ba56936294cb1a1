"""Split-KV decoding: one query a head, the keys walked by one multiprocessor or by many
at once.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow
from course_lib.kit.diagrams.pen import WIDTH, Pen

PROCESSORS, HEADS, CHUNKS = 12, 3, 4
X, Y, STEP, LONG = 84, 48, 15, 212


def draw() -> Figure:
    """Keys whole at the left, cut into chunks at the right."""
    return Figure(_whole(), _split())


def _whole() -> Panel:
    pen = Pen()
    pen.text(8, 16, "Keys whole", "T")
    _processors(pen)
    for h in range(HEADS):
        _work(pen, h, 0, LONG, f"head {h + 1}: all keys")
    busy = f"{HEADS} of {PROCESSORS} work"
    pen.text(X + 6, Y + (HEADS + PROCESSORS) / 2 * STEP + 4, "idle", "m")
    return Panel(
        "Keys whole",
        f"Each of {HEADS} heads has one query, and one multiprocessor walks all its "
        f"keys: {busy}, the others are idle.",
        pen,
        _time(pen),
    )


def _split() -> Panel:
    pen = Pen()
    pen.text(8, 16, "Keys cut into four chunks", "T")
    _processors(pen)
    part = LONG / CHUNKS
    for i in range(PROCESSORS):
        h, c = divmod(i, CHUNKS)
        _work(pen, i, 0, part, f"{h + 1}·{'abcd'[c]}")
    for h in range(HEADS):
        top = Y + h * CHUNKS * STEP
        middle = top + CHUNKS * STEP / 2 - 1
        pen.path(f"M{X + part + 4} {top + 2}h5V{top + CHUNKS * STEP - 4}h-5", "l")
        arrow(pen, (X + part + 9, middle), (X + part + 24, middle), head=3)
        pen.rect(X + part + 24, middle - 11, 92, 22, "b kept", 3)
        pen.text(X + part + 70, middle + 4, f"merge head {h + 1}", "s", "middle")
    return Panel(
        "Keys cut into chunks",
        f"The keys of each head are cut into {CHUNKS} chunks, so that all {PROCESSORS} "
        "multiprocessors work at once for a quarter of the time. One small step merges "
        "the outputs of a head.",
        pen,
        _time(pen),
    )


def _processors(pen: Pen) -> None:
    pen.text(8, 38, "multiprocessor", "s m")
    for i in range(PROCESSORS):
        pen.text(X - 8, Y + i * STEP + 10, i + 1, "s m n", "end")
        pen.rect(X, Y + i * STEP, LONG + 36, STEP - 3, "x norm", 2, under=True)


def _work(pen: Pen, row: int, start: float, long: float, words: str) -> None:
    pen.rect(X + start, Y + row * STEP, long, STEP - 3, "b attn", 2)
    pen.text(X + start + long / 2, Y + row * STEP + 9.5, words, "s", "middle")


def _time(pen: Pen) -> float:
    y = Y + PROCESSORS * STEP + 12
    arrow(pen, (X, y), (WIDTH - 8, y))
    pen.text(X, y + 15, "time", "s m")
    return y + 20
