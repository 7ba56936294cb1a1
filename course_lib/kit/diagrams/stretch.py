"""A drawing made longer at some heights, so that it lines up with another beside it.

At a cut everything below it moves down; what crosses it, a line, a frame or a box, is
stretched.

Terms:
    stretched drawing: room put into a drawing at given heights -> stretched, lowered
"""

import re
from collections.abc import Sequence

from course_lib.kit.diagrams.pen import Pen, number

Cut = tuple[float, float]
"""A height, and the room that is put in below it."""

RECT = re.compile(r'(<rect [^>]*?)y="([\d.-]+)"([^>]*?)height="([\d.-]+)"')
PLACE = re.compile(r'(<(?:text|circle) [^>]*?c?y=")([\d.-]+)"')
PATH = re.compile(r'(<path d=")([^"]*)"')
STEP = re.compile(r"([MLV])([^A-Za-z]*)")


def lowered(y: float, cuts: Sequence[Cut], ends: bool = False) -> float:
    """Where a height has come to; `ends` for what ends there, which a cut at this very
    height does not move.

    >>> lowered(10, [(10, 5)]), lowered(10, [(10, 5)], ends=True)
    (15, 10)
    """
    return y + sum(room for at, room in cuts if at < y or (at == y and not ends))


def stretched(pen: Pen, cuts: Sequence[Cut]) -> Pen:
    """The drawing of a pen with room put in at its cuts."""
    longer = Pen(pen.width)
    longer.under = [_element(element, cuts) for element in pen.under]
    longer.over = [_element(element, cuts) for element in pen.over]
    longer.texts = [text._replace(y=lowered(text.y, cuts)) for text in pen.texts]
    longer.boxes = [
        (left, lowered(top, cuts), right, lowered(low, cuts, ends=True))
        for left, top, right, low in pen.boxes
    ]
    return longer


def _element(text: str, cuts: Sequence[Cut]) -> str:
    def rect(found: re.Match) -> str:
        head, y, between, height = found.groups()
        top = lowered(float(y), cuts)
        low = lowered(float(y) + float(height), cuts, ends=True)
        return f'{head}y="{number(top)}"{between}height="{number(low - top)}"'

    def place(found: re.Match) -> str:
        return f'{found[1]}{number(lowered(float(found[2]), cuts))}"'

    def step(found: re.Match) -> str:
        letter, *numbers = found[1], *map(float, found[2].split())
        numbers[-1:] = [lowered(y, cuts) for y in numbers[-1:]]
        return letter + " ".join(map(number, numbers))

    text = RECT.sub(rect, text)
    text = PLACE.sub(place, text)
    return PATH.sub(lambda path: f'{path[1]}{STEP.sub(step, path[2])}"', text)
