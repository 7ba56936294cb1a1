"""When a card comes back: FSRS-6 with its default parameters, the same here and on the
page.

Memory has a stability (days until recall falls to 90 %) and a difficulty (1 to 10).
`fsrs` computes both; this module fixes its settings and keeps the state as a record.
Days are counted from 4:00 to 4:00 (`day`), and a card in review is due when its day
begins. On the page `book/_static/cards/schedule.js` does the same over ts-fsrs, and
`tests/unit/test_cards_schedule_js.py` holds the two together.

Source: the `fsrs` package, https://github.com/open-spaced-repetition/py-fsrs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fsrs import Card, Rating, Scheduler, State

from course_lib.course.cards.day import day_of, day_start

# Fuzzing is off: two learners, and two programs, with the same reviews get the same
# dates.
SCHEDULER = Scheduler(
    desired_retention=0.9,
    learning_steps=(timedelta(minutes=1), timedelta(minutes=10)),
    relearning_steps=(timedelta(minutes=10),),
    maximum_interval=36500,
    enable_fuzzing=False,
)
AGAIN, HARD, GOOD, EASY = map(int, Rating)
RATINGS = {AGAIN: "again", HARD: "hard", GOOD: "good", EASY: "easy"}
LEARNING, REVIEW, RELEARNING = map(int, State)


@dataclass(frozen=True)
class Memory:
    """What is known of a learner's memory of one card after a review.

    `stability` in days, `difficulty` 1 to 10; `state` 1 learning, 2 review, 3
    relearning; `step` the learning step, None in review; `reps` reviews so far,
    `lapses` those of them that a card in review failed. Times are UTC, to the
    millisecond, which is what a page keeps.
    """

    due: datetime
    stability: float
    difficulty: float
    state: int
    step: int | None
    last_review: datetime
    reps: int
    lapses: int


def after_review(memory: Memory | None, rating: int, at: datetime) -> Memory:
    """Return the memory after one more review.

    Args:
        memory: the memory so far; None for a new card.
        rating: 1 again, 2 hard, 3 good, 4 easy.
        at: when, with a time zone; cut to the millisecond.
    Raises:
        ValueError: if the rating is not one of these, or `at` has no time zone.

    >>> first = after_review(None, GOOD, datetime(2026, 11, 24, tzinfo=UTC))
    >>> first.due.isoformat(), first.state, round(first.stability, 4)
    ('2026-11-24T00:10:00+00:00', 1, 2.3065)
    """
    if rating not in RATINGS or isinstance(rating, bool):
        raise ValueError(
            f"rating={rating!r}: allowed are 1 (again), 2 (hard), 3 (good), 4 (easy)"
        )
    at = to_millisecond(at)
    card = Card(card_id=0, due=at)
    if memory:
        # fsrs counts days of 24 hours: it is told a last review so many whole days ago.
        days = max(0, day_of(at) - day_of(memory.last_review))
        seen = at - timedelta(days=days)
        known = memory.stability, memory.difficulty, memory.due, seen
        card = Card(0, State(memory.state), memory.step, *known)
    card, _ = SCHEDULER.review_card(card, Rating(rating), at)
    due = card.due
    if card.state == State.Review:
        due = day_start(day_of(at) + (card.due - at).days)
    reps, lapses = (memory.reps, memory.lapses) if memory else (0, 0)
    failed = memory is not None and memory.state == REVIEW and rating == AGAIN
    return Memory(
        due=to_millisecond(due),
        stability=card.stability,
        difficulty=card.difficulty,
        state=int(card.state),
        step=card.step,
        last_review=at,
        reps=reps + 1,
        lapses=lapses + failed,
    )


def replay(reviews: Iterable[tuple[int, datetime]]) -> list[Memory]:
    """Return the memory after each of a card's reviews (rating, when), in order of
    time.

    Raises: ValueError as `after_review`.
    """
    memories: list[Memory] = []
    for rating, at in sorted(reviews, key=lambda review: review[1]):
        memories.append(after_review(memories[-1] if memories else None, rating, at))
    return memories


def to_millisecond(at: datetime) -> datetime:
    """Return a time in UTC without what is smaller than a millisecond.

    Raises: ValueError if it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(
            f"{at.isoformat()}: allowed is a time with its time zone, such as "
            "2026-11-24T09:00Z"
        )
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
