"""What a log says about a learner: reviews a day, the share remembered, what will be
due.

The page counts the same (`book/_static/cards/stats.js`). A review counts towards
retention if the card stood in review before it: the minutes of learning are no test of
memory.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from course_lib.course.cards.day import day_of
from course_lib.course.cards.progress import Progress, by_card
from course_lib.course.cards.schedule import AGAIN, REVIEW, replay

MATURE_DAYS = 21  # as in Anki
DAYS = 30


@dataclass(frozen=True)
class Told:
    """One review: its day, its rating, and whether the card stood in review before."""

    day: int
    rating: int
    in_review: bool


def told(progress: Progress) -> list[Told]:
    """Return the reviews of a log, card by card."""
    found = []
    for reviews in by_card(progress.log).values():
        states = [None, *(memory.state for memory in replay(reviews))]
        found += [
            Told(day_of(at), rating, state == REVIEW)
            for (rating, at), state in zip(reviews, states, strict=False)
        ]
    return found


def retention(reviews: Sequence[Told], first: int) -> dict[str, int]:
    """Return how many reviews of cards in review there were from a day on, and how many
    were remembered.
    """
    counted = [one for one in reviews if one.in_review and one.day >= first]
    remembered = sum(one.rating != AGAIN for one in counted)
    return {"reviews": len(counted), "remembered": remembered}


def statistics(progress: Progress, ids: Sequence[str], now: datetime) -> dict:
    """Return the numbers of the page of statistics: totals, retention, a row for each
    of the last 30 days and of the next 30, and where the cards stand.
    """
    reviews, today = told(progress), day_of(now)
    first = today - DAYS + 1
    suspended = progress.suspended_cards
    again = Counter(one.day for one in reviews if one.rating == AGAIN)
    remembered = Counter(one.day for one in reviews if one.rating != AGAIN)
    due = Counter(
        max(today, day_of(progress.cards[card].due))
        for card in ids
        if card in progress.cards and card not in suspended
    )
    return {
        "reviews": len(reviews),
        "studied": len({one.day for one in reviews}),
        "lately": retention(reviews, first),
        "ever": retention(reviews, 0),
        "a_day": [
            {"day": day, "again": again[day], "remembered": remembered[day]}
            for day in range(first, today + 1)
        ],
        "forecast": [
            {"day": day, "cards": due[day]} for day in range(today, today + DAYS)
        ],
        "stands": stands(progress, ids),
    }


def stands(progress: Progress, ids: Sequence[str]) -> dict[str, int]:
    """Count the cards that are new, learning, young, mature and suspended."""
    found = dict.fromkeys(("fresh", "learning", "young", "mature", "suspended"), 0)
    for card in ids:
        memory = progress.cards.get(card)
        if card in progress.suspended_cards:
            name = "suspended"
        elif memory is None:
            name = "fresh"
        elif memory.state != REVIEW:
            name = "learning"
        else:
            days = day_of(memory.due) - day_of(memory.last_review)
            name = "young" if days < MATURE_DAYS else "mature"
        found[name] += 1
    return found
