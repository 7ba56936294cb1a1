"""The entries of a progress file, each read and checked by itself: a card's memory, a
review of the log, a suspension.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from course_lib.course.cards.schedule import (
    LEARNING,
    RATINGS,
    RELEARNING,
    REVIEW,
    Memory,
    to_millisecond,
)


@dataclass(frozen=True, order=True)
class Review:
    """One review: when, which card, and how it went (1 again, 2 hard, 3 good, 4
    easy).
    """

    at: datetime
    card: str
    rating: int


@dataclass(frozen=True)
class Suspension:
    """When a card was suspended, or (`on` false) brought back."""

    at: datetime
    on: bool


def time_text(at: datetime) -> str:
    """Return a time as JavaScript writes it.

    >>> from datetime import UTC
    >>> time_text(datetime(2026, 11, 24, 9, tzinfo=UTC))
    '2026-11-24T09:00:00.000Z'
    """
    return to_millisecond(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: object) -> datetime:
    """Return the time that a text names.

    Raises: ValueError if it names none, or has no time zone.
    """
    try:
        return to_millisecond(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r}: allowed is a time such as 2026-11-24T09:00:00.000Z"
        ) from error


def memory_of(name: str, entry: object) -> Memory:
    """Return a card's entry as a memory.

    Raises: ValueError naming the card and the field.
    """
    where = f"cards: {name}"
    data = _mapping(where, entry, Memory.__dataclass_fields__)
    wrong = list(_out_of_range(data))
    if wrong:
        raise ValueError(f"{where}: {wrong[0]}")
    try:
        times = {key: read_time(data[key]) for key in ("due", "last_review")}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return Memory(**data | times)


def _out_of_range(data: Mapping) -> Iterator[str]:
    """Yield the fields that no review could have left."""
    stability, difficulty, step = data["stability"], data["difficulty"], data["step"]
    if not _number(stability) or not 0 < stability < math.inf:
        yield f"stability={stability!r}: allowed is a number of days above 0"
    if not _number(difficulty) or not 1 <= difficulty <= 10:
        yield f"difficulty={difficulty!r}: allowed is a number from 1 to 10"
    if data["state"] not in (LEARNING, REVIEW, RELEARNING) or not _whole(data["state"]):
        yield (
            f"state={data['state']!r}: allowed are 1 (learning), 2 (review), 3 "
            "(relearning)"
        )
    elif (step is not None) if data["state"] == REVIEW else not _whole(step):
        yield f"step={step!r}: allowed is null in review, and a whole number otherwise"
    for key in ("reps", "lapses"):
        if not _whole(data[key]):
            yield f"{key}={data[key]!r}: allowed is a whole number"


def suspension_of(name: str, entry: object) -> Suspension:
    """Return when a card was suspended or brought back.

    Raises: ValueError naming the card and the field.
    """
    where = f"suspended: {name}"
    data = _mapping(where, entry, ("at", "on"))
    if not isinstance(data["on"], bool):
        raise ValueError(f"{where}: on={data['on']!r}: allowed are true and false")
    try:
        return Suspension(read_time(data["at"]), data["on"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def review_of(number: int, entry: object) -> Review:
    """Return an entry of the log.

    Raises: ValueError naming its number and the field.
    """
    where = f"log {number}"
    data = _mapping(where, entry, ("card", "rating", "at"))
    if (
        not isinstance(data["card"], str)
        or not _whole(data["rating"])
        or data["rating"] not in RATINGS
    ):
        raise ValueError(
            f"{where}: {entry!r}: allowed is a card's id and a rating from 1 to 4"
        )
    try:
        return Review(read_time(data["at"]), data["card"], data["rating"])
    except ValueError as error:
        raise ValueError(f"{where}: at: {error}") from error


def _mapping(where: str, entry: object, names) -> dict:
    if not isinstance(entry, dict) or (
        missing := [name for name in names if name not in entry]
    ):
        what = missing[0] if isinstance(entry, dict) else "a mapping"
        raise ValueError(
            f"{where}: {what} is missing; allowed is a mapping of {', '.join(names)}"
        )
    return {name: entry[name] for name in names}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
