"""A cache of sinks and a window: the first tokens stay, the middle leaves, and
positions are counted inside the cache.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen

TEXT = ("The", "key", "is", "7", ".", "We", "talk", "on", "and", "on", "so", "?")
SINKS, RECENT = 2, 4
LEFT, STEP, TALL = 6, 27, 20


def kept(sinks: int) -> list[int]:
    """Tokens in the cache when the last one comes, by their place in the text."""
    first = len(TEXT) - RECENT
    return list(range(min(sinks, first))) + list(range(first, len(TEXT)))


def draw() -> Figure:
    """One text, three caches."""
    pen = Pen()
    everything = list(range(len(TEXT)))
    y = _row(pen, 0, "Everything is kept", everything, "12 places; grows")
    y = _row(pen, y, "Window of 4", kept(0), "the first token is gone: breaks")
    y = _row(pen, y, "2 sinks and a window of 4", kept(SINKS), "runs on, without the 7")
    entries = [("b kept", "kept, place in the cache"), ("g", "dropped")]
    y += legend(pen, LEFT, y, entries) + 4
    said = (
        f"Of {len(TEXT)} tokens a window keeps {RECENT} and drops the first. With "
        f"{SINKS} sinks, {len(kept(SINKS))} tokens have the places 0 to "
        f"{len(kept(SINKS)) - 1} in the cache. The 7 is lost in both."
    )
    return Figure(Panel("Sinks and a window", said, pen, y))


def _row(pen: Pen, y: float, title: str, places: list[int], words: str) -> float:
    pen.text(4, y + 14, title, "T")
    pen.text(336, y + 14, words, "s m", "end")
    for i, word in enumerate(TEXT):
        x, top = LEFT + i * STEP, y + 21
        pen.rect(x, top, STEP - 2, TALL, "b kept" if i in places else "g", 2)
        if i in places:
            pen.text(x + STEP / 2 - 1, top + 14, word, "s", "middle")
            place = str(places.index(i))
            pen.text(x + STEP / 2 - 1, top + TALL + 12, place, "s m n", "middle")
    return y + 60
