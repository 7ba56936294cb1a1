"""What is still sound in a damaged progress, and what had to be left out.

An entry that makes no sense is left out and named. A card whose entry is gone is
computed again from its reviews. Of a text that is cut or scribbled over, every entry
that can still be read is kept; the page does the same (`book/_static/cards/sound.js`).
"""

import json
import re
from collections.abc import Iterable, Iterator

from course_lib.course.cards.entries import memory_of, review_of, suspension_of
from course_lib.course.cards.progress import (
    FORMAT,
    VERSION,
    Progress,
    by_card,
    parts_of,
)
from course_lib.course.cards.schedule import replay

ENTRY = re.compile(r'"((?:[^"\\]|\\.){0,200})"\s*:\s*(\{[^{}]*\})')
FLAT = re.compile(r"\{[^{}]*\}")
SAID = 3


def sound_progress(text: str) -> tuple[Progress, tuple[str, ...]]:
    """Return what is sound in a file's text, and what is wrong with the rest.

    Raises: ValueError as `read_progress`, if nothing of the text can be kept.
    """
    try:
        return kept(*parts_of(text))
    except ValueError as error:
        rest = salvaged(text)
        if rest is None:
            raise
        return kept(*rest, f"{error}, it is cut or damaged")


def kept(
    cards: dict, log: list, suspended: dict, *problems: str
) -> tuple[Progress, tuple[str, ...]]:
    """Return the sound entries as progress, and what is wrong with the others, after
    the problems that are known already.
    """
    left = list(problems)

    def sound(make, entries: Iterable[tuple]) -> Iterator[tuple]:
        for key, entry in entries:
            try:
                yield key, make(key, entry)
            except ValueError as error:
                left.append(str(error))

    memories = dict(sound(memory_of, cards.items()))
    reviews = sorted(one for _, one in sound(review_of, enumerate(log, start=1)))
    marks = dict(sound(suspension_of, suspended.items()))
    if left:
        for card, ratings in by_card(reviews).items():
            if card not in memories:
                memories[card] = replay(ratings)[-1]
    return Progress(memories, tuple(reviews), marks), tuple(left)


def salvaged(text: str) -> tuple[dict, list, dict] | None:
    """Return the entries that can be read in a text that is no JSON any more; None if
    it was never a progress file of this version.
    """
    version = re.search(r'"version"\s*:\s*(\d+)', text)
    if f'"{FORMAT}"' not in text or not version or int(version[1]) != VERSION:
        return None
    cards, suspended = {}, {}
    for found in ENTRY.finditer(text):
        name, entry = _read(f'"{found[1]}"'), _read(found[2])
        if isinstance(name, str) and isinstance(entry, dict):
            if "stability" in entry:
                cards[name] = entry
            elif "on" in entry:
                suspended[name] = entry
    log = [_read(found[0]) for found in FLAT.finditer(text)]
    return cards, [one for one in log if one and "rating" in one], suspended


def left_text(left: Iterable[str]) -> str:
    """Return what was left out, as a learner is told: the first three, and how many
    more.

    >>> left_text(["one", "two", "three", "four", "five"])
    'one; two; three; and 2 more'
    """
    left = list(left)
    more = f"; and {len(left) - SAID} more" if len(left) > SAID else ""
    return "; ".join(left[:SAID]) + more


def _read(text: str):
    try:
        return json.loads(text)
    except ValueError:
        return None
