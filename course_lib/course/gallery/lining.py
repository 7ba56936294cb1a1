"""Two drawings side by side lined up: a row that both models have stands at one height.

Every row of a drawing is a place where room can be put in above it. Rows that are each
other's are gone through from the top, and the drawing that is ahead waits.
"""

from collections.abc import Mapping

from course_lib.kit.diagrams.figure import Panel
from course_lib.kit.diagrams.stretch import Cut, lowered, stretched

ABOVE = {"kind": 23.0, "before": 13.5, "after": 19.5, "final": 19.5, "name": 16.0}
ROW = 11.0
"""From a row's baseline up to where it may be cut off what stands above it."""

Place = tuple[str, float]


def places(panel: Panel) -> list[Place]:
    """The keys of a drawing's rows from the top, each with its cut."""
    found: dict[float, str] = {}
    for text in sorted(panel.pen.texts, key=lambda text: text.y):
        if text.key:
            found.setdefault(text.y, text.key)
    return [(key, y - ABOVE.get(key.split("/")[-1], ROW)) for y, key in found.items()]


def cuts_of(
    left: list[Place], right: list[Place], of: Mapping[str, str]
) -> tuple[list[Cut], list[Cut]]:
    """Where each of two drawings gets how much room; `of` gives the key that a row of
    the left one has in the right one.

    >>> cuts_of([("m/a", 10), ("m/b", 20)], [("d/b", 35)], {"m/b": "d/b"})
    ([(20, 15)], [])
    """
    theirs = {key: at for at, (key, _) in enumerate(right)}
    mine: list[Cut] = []
    other: list[Cut] = []
    reached = -1
    for key, y in left:
        at = theirs.get(of.get(key, ""), -1)
        if at <= reached:
            continue
        reached = at
        ahead = lowered(right[at][1], other) - lowered(y, mine)
        if ahead > 0:
            mine.append((y, ahead))
        elif ahead < 0:
            other.append((right[at][1], -ahead))
    return mine, other


def lined_up(left: Panel, right: Panel, of: Mapping[str, str]) -> tuple[Panel, Panel]:
    """Two panels of which the rows that both have stand at one height."""
    cuts = cuts_of(places(left), places(right), of)
    longer = (
        Panel(
            panel.title,
            panel.description,
            stretched(panel.pen, room),
            lowered(panel.height, room),
        )
        for panel, room in zip((left, right), cuts, strict=True)
    )
    return tuple(longer)
