"""What a learner does today: which cards are due, how many new ones are left, which
comes next.

The page follows the same rules (`book/_static/cards/today.js`). A card in review is due
by day; a step of minutes is due by the minute.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from course_lib.course.cards.day import day_of, day_start
from course_lib.course.cards.progress import Progress
from course_lib.course.cards.schedule import REVIEW, Memory

NEW_A_DAY = 20
AHEAD = timedelta(minutes=20)
GROUPS = ("due", "soon", "fresh", "later", "suspended")


def is_due(memory: Memory, now: datetime) -> bool:
    """Say whether a card is due: on its day, or at its minute."""
    if memory.state == REVIEW:
        return day_of(memory.due) <= day_of(now)
    return memory.due <= now


def introduced(progress: Progress, now: datetime) -> int:
    """Count the cards met for the first time today: all their reviews are today's."""
    begun = day_start(day_of(now))
    today: Counter[str] = Counter()
    for review in reversed(progress.log):
        if review.at < begun:
            break
        today[review.card] += 1
    return sum(
        card in progress.cards and progress.cards[card].reps == count
        for card, count in today.items()
    )


def groups(
    ids: Sequence[str],
    memories: Mapping[str, Memory],
    suspended: Collection[str],
    now: datetime,
) -> dict[str, list[str]]:
    """Return the cards by where they stand; `fresh` are all that were never asked."""
    found: dict[str, list[str]] = {name: [] for name in GROUPS}
    for card in ids:
        memory = memories.get(card)
        if card in suspended:
            name = "suspended"
        elif memory is None:
            name = "fresh"
        elif is_due(memory, now):
            name = "due"
        else:
            name = "later" if memory.state == REVIEW else "soon"
        found[name].append(card)
    return found


def next_card(
    ids: Sequence[str],
    memories: Mapping[str, Memory],
    suspended: Collection[str],
    now: datetime,
    left: int,
    last: str | None = None,
) -> str | None:
    """Return the card to ask, or None.

    What has been due longest comes first, then up to `left` new ones, then a step of
    minutes that is near. No card is asked twice in a row while there is another.
    """
    stands = groups(ids, memories, suspended, now)

    def due(card: str) -> datetime:
        return memories[card].due

    near = [
        card for card in sorted(stands["soon"], key=due) if due(card) - now <= AHEAD
    ]
    queue = [*sorted(stands["due"], key=due), *stands["fresh"][: max(0, left)], *near]
    others = [card for card in queue if card != last]
    return (others or queue or [None])[0]
