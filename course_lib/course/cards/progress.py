"""A learner's progress as a file: what the page and `course quiz` both export and
import.

    {"format": "architecture-measured-progress", "version": 1, "exported":
     "2026-11-24T09:00:00.000Z", "cards": {"kv-why-final": {"due": TIME, "stability":
     2.3065, "difficulty": 2.1181, "state": 1, "step": 1,
                                "last_review": TIME, "reps": 1, "lapses": 0}, ...},
     "log": [{"card": "kv-why-final", "rating": 3, "at": TIME}, ...]}

`cards` are the fields of `schedule.Memory`; `log` has every review in order of time, so
the memory can be computed again from it. `suspended`, if it is there, says of a card
that it is not asked, {"kv-why": {"at": TIME, "on": true}}, or is asked again. A TIME is
UTC in milliseconds, as JavaScript's `toISOString` writes it. Ids of cards that are not
in the course are kept: another edition may have them.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from course_lib.course.cards.entries import (
    Review,
    Suspension,
    memory_of,
    review_of,
    suspension_of,
    time_text,
)
from course_lib.course.cards.schedule import Memory, replay

FORMAT, VERSION = "architecture-measured-progress", 1


@dataclass(frozen=True)
class Progress:
    """Memories by card id, every review in order of time, and what was suspended."""

    cards: Mapping[str, Memory] = field(default_factory=dict)
    log: tuple[Review, ...] = ()
    suspended: Mapping[str, Suspension] = field(default_factory=dict)

    @property
    def suspended_cards(self) -> frozenset[str]:
        """The cards that are not asked now."""
        return frozenset(card for card, mark in self.suspended.items() if mark.on)


def write_progress(progress: Progress, exported: datetime) -> str:
    """Return the file's text."""
    cards = {
        name: {
            key: time_text(value) if isinstance(value, datetime) else value
            for key, value in asdict(memory).items()
        }
        for name, memory in sorted(progress.cards.items())
    }
    log = [
        {"card": one.card, "rating": one.rating, "at": time_text(one.at)}
        for one in progress.log
    ]
    head = {"format": FORMAT, "version": VERSION, "exported": time_text(exported)}
    data = head | {"cards": cards, "log": log}
    if progress.suspended:
        data["suspended"] = {
            name: {"at": time_text(mark.at), "on": mark.on}
            for name, mark in sorted(progress.suspended.items())
        }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def read_progress(text: str) -> Progress:
    """Return the progress that a file's text holds; `sound.sound_progress` keeps what
    is sound of a damaged one.

    Raises:
        ValueError: if it is no such file, is of a newer version, or a field is missing
            or out of its range; the message names the card or the number of the log
            entry, and the field.
    """
    cards, log, suspended = parts_of(text)
    return Progress(
        {name: memory_of(name, entry) for name, entry in cards.items()},
        tuple(sorted(review_of(at, entry) for at, entry in enumerate(log, start=1))),
        {name: suspension_of(name, entry) for name, entry in suspended.items()},
    )


def parts_of(text: str) -> tuple[dict, list, dict]:
    """Return cards, log and suspensions as the text has them, each entry unread.

    Raises: ValueError if it is no such file, or of a newer version.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no progress file: not JSON ({error})") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"no progress file: allowed is JSON with format {FORMAT!r}")
    if data.get("version") != VERSION:
        raise ValueError(
            f"version={data.get('version')!r}: allowed is {VERSION}; a newer course "
            "may read this file"
        )
    cards, log = data.get("cards"), data.get("log")
    if not isinstance(cards, dict) or not isinstance(log, list):
        raise ValueError("no progress file: cards is a mapping and log a list")
    suspended = data.get("suspended")
    return cards, log, suspended if isinstance(suspended, dict) else {}


def merge(ours: Progress, theirs: Progress) -> Progress:
    """Return both together: every review once, each card's memory as if all had been
    made in one place.

    A card is computed again from the merged log where both logs tell its whole story.
    Where one does not, the memory that was reviewed last counts.
    """
    log = tuple(sorted({*ours.log, *theirs.log}))
    told = [by_card(progress.log) for progress in (ours, theirs)]
    merged = by_card(log)
    cards = {}
    for name in sorted({*ours.cards, *theirs.cards}):
        known = [
            (side.cards[name], mine.get(name, []))
            for side, mine in zip((ours, theirs), told, strict=True)
            if name in side.cards
        ]
        if all(memory.reps == len(reviews) for memory, reviews in known):
            cards[name] = replay(merged[name])[-1] if len(known) == 2 else known[0][0]
        else:
            cards[name] = max(
                (memory for memory, _ in known), key=lambda memory: memory.last_review
            )
    suspended = dict(ours.suspended)
    for name, mark in theirs.suspended.items():
        if name not in suspended or suspended[name].at <= mark.at:
            suspended[name] = mark
    return Progress(cards, log, suspended)


def by_card(log: Iterable[Review]) -> dict[str, list[tuple[int, datetime]]]:
    """Return (rating, when) of each card's reviews, in their order."""
    found = defaultdict(list)
    for review in log:
        found[review.card].append((review.rating, review.at))
    return found
