"""The page schedules a card as the terminal does, for the same reviews.

`cards/schedule.js` runs over the vendored ts-fsrs in node; `course_lib.course.cards.schedule` over
Python's `fsrs`.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.course.cards.day import BEGINS, day_of
from course_lib.course.cards.schedule import REVIEW, after_review

from .node import run

FILES = ["vendor/ts-fsrs/dist/index.umd.js", "cards/day.js", "cards/schedule.js"]
REPLAY = """sequences => sequences.map(reviews => {
    let entry;
    return reviews.map(([at, rating]) => entry = courseCards.schedule.next(entry, rating, new Date(at)));
})"""
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
# ts-fsrs rounds every quantity to 8 decimals, Python rounds none. Recall (R) off by 5e-9 moves a stability
# by about 1e-7 of itself, and the difference is carried from review to review: 4.6e-7 was the largest in
# 52,000 random reviews. A stability near its floor of 0.001 feels the 8th decimal itself.
STABILITY = {"rel": 2e-6, "abs": 1e-7}
DIFFICULTY = {"abs": 1e-6}

# Milliseconds to the next review: within the steps, around whole days, within a few months, years.
gaps = st.one_of(
    st.integers(0, HOUR),
    st.builds(lambda days, off: days * DAY + off, st.integers(1, 40), st.sampled_from([-1, 0, 1])),
    st.integers(0, 120 * DAY),
    st.integers(0, 2 * 365 * DAY),
)
reviews = st.lists(st.tuples(gaps, st.sampled_from([1, 2, 3, 4])), min_size=1, max_size=12)


def at(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def timed(sequence):
    """Return (milliseconds since START, rating) of each review, from the gaps between them."""
    now, result = 0, []
    for gap, rating in sequence:
        now += gap
        result.append((now, rating))
    return result


def compare(sequences):
    """Replay each sequence in Python and in node, and compare the entries after every review."""
    given_times = [[(at(now).isoformat(), rating) for now, rating in sequence] for sequence in sequences]
    for sequence, entries in zip(sequences, run(FILES, REPLAY, given_times), strict=True):
        memory = None
        for (now, rating), entry in zip(sequence, entries, strict=True):
            memory = after_review(memory, rating, at(now))
            for exact in ("state", "step", "reps", "lapses"):
                assert entry[exact] == getattr(memory, exact), exact
            assert entry["stability"] == pytest.approx(memory.stability, **STABILITY)
            assert entry["difficulty"] == pytest.approx(memory.difficulty, **DIFFICULTY)
            assert datetime.fromisoformat(entry["last_review"]) == memory.last_review
            apart = datetime.fromisoformat(entry["due"]) - memory.due
            # An interval is the stability rounded to a day. At a half day the 8th decimal decides.
            half = abs(memory.stability % 1 - 0.5) <= STABILITY["rel"] * memory.stability
            assert apart == timedelta(0) or (half and abs(apart) == timedelta(days=1)), (entry, memory)


@settings(max_examples=8)
@given(st.lists(reviews, min_size=20, max_size=40))
def test_random_reviews_are_scheduled_alike(sequences):
    """A few hundred sequences: each call of node takes many, for starting it is what takes time."""
    compare([timed(sequence) for sequence in sequences])


def test_every_path_through_the_steps_is_scheduled_alike():
    """All sequences of four ratings: a minute, ten minutes, then ten days apart."""
    ratings = (1, 2, 3, 4)
    waits = (0, MINUTE, 10 * MINUTE, 10 * DAY)
    paths = [(a, b, c, d) for a in ratings for b in ratings for c in ratings for d in ratings]
    compare([timed(zip(waits, path, strict=True)) for path in paths])


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def zone(request, monkeypatch):
    """Set the clock of this process, and of the node that it starts, to a part of the world."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system cannot change its time zone")
def test_a_day_begins_at_four_wherever_the_learner_lives(zone):
    """Rated late in the evening, a card is due from 4:00 of its day on, over a change of the clocks too."""
    evening = datetime(2026, 10, 23, 21, 15).astimezone(UTC)  # Berlin's clocks change on the 25th
    night, four = (datetime(2026, 10, 24, *clock).astimezone(UTC) for clock in ((3, 59), (4, 0)))
    reviews = [[(evening, 4), (second, 3)] for second in (night, four)]
    times = [[(at.isoformat(), rating) for at, rating in one] for one in reviews]
    entries = run(FILES, REPLAY, times)
    for one, found in zip(reviews, entries, strict=True):
        memory = None
        for (at_, rating), entry in zip(one, found, strict=True):
            memory = after_review(memory, rating, at_)
            assert datetime.fromisoformat(entry["due"]) == memory.due
            assert entry["stability"] == pytest.approx(memory.stability, **STABILITY)
            if memory.state == REVIEW:
                assert memory.due.astimezone().time() == BEGINS
    same, next_day = (found[1]["stability"] for found in entries)
    assert same != next_day
    days = [day_of(evening), day_of(night), day_of(four)]
    assert [day - days[0] for day in days] == [0, 0, 1]


def test_hard_on_a_new_card_waits_five_and_a_half_minutes():
    (entries,) = run(FILES, REPLAY, [[(START.isoformat(), 2)]])
    assert datetime.fromisoformat(entries[0]["due"]) - START == timedelta(minutes=5.5)


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (MINUTE, "1 min"),
        (5.5 * MINUTE, "6 min"),
        (10 * MINUTE, "10 min"),
        (DAY, "1 day"),
        (15 * DAY, "15 days"),
        (91 * DAY, "3 months"),
        (3 * 365.25 * DAY, "3 years"),
    ],
)
def test_a_wait_in_words(wait, words):
    assert run(FILES, "wait => courseCards.schedule.inWords(wait)", wait) == words
