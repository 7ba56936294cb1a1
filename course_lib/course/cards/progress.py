"""A learner's progress as a file: what the page and `course quiz` both export and
import.

    {"format": "architecture-measured-progress", "version": 1, "exported":
     "2026-11-24T09:00:00.000Z", "cards": {"kv-why-final": {"due": TIME, "stability":
     2.3065, "difficulty": 2.1181, "state": 1, "step": 1,
                                "last_review": TIME, "reps": 1, "lapses": 0}, ...},
     "log": [{"card": "kv-why-final", "rating": 3, "at": TIME}, ...]}

`cards` are the fields of `schedule.Memory`; `log` has every review in order of time, so
the memory can be computed again from it. A TIME is UTC in milliseconds, as JavaScript's
`toISOString` writes it. Ids of cards that are not in the course are kept: another
edition may have them.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from course_lib.course.cards.schedule import (
    LEARNING,
    RATINGS,
    RELEARNING,
    REVIEW,
    Memory,
    replay,
    to_millisecond,
)

FORMAT, VERSION = "architecture-measured-progress", 1


@dataclass(frozen=True, order=True)
class Review:
    """One review: when, which card, and how it went (1 again, 2 hard, 3 good, 4
    easy).
    """

    at: datetime
    card: str
    rating: int


@dataclass(frozen=True)
class Progress:
    """Memories by card id, and every review in order of time."""

    cards: Mapping[str, Memory] = field(default_factory=dict)
    log: tuple[Review, ...] = ()


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
    return (
        json.dumps(head | {"cards": cards, "log": log}, indent=1, allow_nan=False)
        + "\n"
    )


def read_progress(text: str) -> Progress:
    """Return the progress that a file's text holds.

    Raises:
        ValueError: if it is no such file, is of a newer version, or a field is missing
            or out of its range; the message names the card or the number of the log
            entry, and the field.
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
    memories = {name: _memory(name, entry) for name, entry in cards.items()}
    return Progress(
        memories,
        tuple(
            sorted(_review(number, entry) for number, entry in enumerate(log, start=1))
        ),
    )


def merge(ours: Progress, theirs: Progress) -> Progress:
    """Return both together: every review once, each card's memory as if all had been
    made in one place.

    A card is computed again from the merged log where both logs tell its whole story.
    Where one does not, the memory that was reviewed last counts.
    """
    log = tuple(sorted({*ours.log, *theirs.log}))
    told = [_by_card(progress.log) for progress in (ours, theirs)]
    merged = _by_card(log)
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
    return Progress(cards, log)


def _by_card(log: tuple[Review, ...]) -> dict[str, list[tuple[int, datetime]]]:
    found = defaultdict(list)
    for review in log:
        found[review.card].append((review.rating, review.at))
    return found


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


def _memory(name: str, entry: object) -> Memory:
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


def _review(number: int, entry: object) -> Review:
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
