"""Reviews are scheduled as `fsrs` does; progress travels as a file, is checked, and merges."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fsrs import Card, Rating, Scheduler
from hypothesis import given
from hypothesis import strategies as st

from course_lib.course.cards.day import day_of, day_start
from course_lib.course.cards.entries import Review, read_time, time_text
from course_lib.course.cards.progress import Progress, merge, read_progress, write_progress
from course_lib.course.cards.schedule import (
    AGAIN,
    EASY,
    GOOD,
    HARD,
    REVIEW,
    SCHEDULER,
    after_review,
    replay,
)

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
DAY = timedelta(days=1)
RATING = st.sampled_from([AGAIN, HARD, GOOD, EASY])
GAP = st.integers(0, 90 * 24 * 3600 * 1000)
HISTORY = st.lists(st.tuples(RATING, GAP), min_size=1, max_size=8)


def timed(history):
    """Return (rating, time) from (rating, milliseconds since the review before)."""
    now, found = START, []
    for rating, gap in history:
        now += timedelta(milliseconds=gap + 1)
        found.append((rating, now))
    return found


def progress_of(**histories):
    """Return the progress of learners' cards from their reviews."""
    log = sorted(Review(at, card, rating) for card, history in histories.items() for rating, at in history)
    return Progress({card: replay(history)[-1] for card, history in histories.items()}, tuple(log))


@given(st.lists(st.tuples(RATING, st.integers(0, 90)), min_size=1, max_size=8))
def test_a_replay_is_what_fsrs_does(history):
    """Reviews at noon, whole days apart: 24 hours and a day from 4:00 to 4:00 are the same there."""
    noon, days = datetime(2026, 11, 24, 12).astimezone(UTC), 0
    reviews = [(rating, noon + (days := days + gap) * DAY) for rating, gap in history]
    scheduler, card = Scheduler(enable_fuzzing=False), Card(card_id=0, due=START)
    for memory, (rating, at) in zip(replay(reviews), reviews, strict=True):
        card, _ = scheduler.review_card(card, Rating(rating), at)
        assert (memory.state, memory.step, memory.last_review) == (card.state, card.step, at)
        assert (memory.stability, memory.difficulty) == (card.stability, card.difficulty)
        in_days = memory.state == REVIEW
        assert memory.due == (day_start(day_of(card.due)) if in_days else card.due)


def test_the_settings_are_those_of_the_page():
    """FSRS-6 as published: its 21 parameters, 90 %, steps of 1 and 10 minutes, no fuzz."""
    assert len(SCHEDULER.parameters) == 21
    assert (SCHEDULER.desired_retention, SCHEDULER.maximum_interval) == (0.9, 36500)
    assert [step.total_seconds() for step in SCHEDULER.learning_steps] == [60, 600]
    assert [step.total_seconds() for step in SCHEDULER.relearning_steps] == [600]
    assert not SCHEDULER.enable_fuzzing


def test_reviews_and_lapses_are_counted():
    """A lapse is a failure in review, not in the steps of learning or relearning."""
    ratings = [AGAIN, AGAIN, GOOD, GOOD, AGAIN, AGAIN, GOOD, AGAIN]
    memories = replay((rating, START + number * DAY) for number, rating in enumerate(ratings))
    assert [memory.reps for memory in memories] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [memory.lapses for memory in memories] == [0, 0, 0, 0, 1, 1, 1, 2]
    assert [memory.state for memory in memories] == [1, 1, 1, 2, 3, 3, 2, 3]


def test_a_review_is_kept_to_the_millisecond_in_utc():
    there = datetime(2026, 11, 24, 10, 0, 0, 1999, timezone(timedelta(hours=1)))
    memory = after_review(None, GOOD, there)
    assert memory.last_review == START.replace(microsecond=1000)
    assert memory.last_review.tzinfo is UTC


@pytest.mark.parametrize("rating", [0, 5, True, "3", None])
def test_a_rating_that_is_none_is_refused(rating):
    with pytest.raises(ValueError, match=r"rating=.*: allowed are 1"):
        after_review(None, rating, START)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="allowed is a time with its time zone"):
        after_review(None, GOOD, datetime(2026, 11, 24))


@given(st.dictionaries(st.sampled_from(["kv-why", "a", "é"]), HISTORY.map(timed)))
def test_a_file_reads_as_it_was_written(histories):
    progress = progress_of(**histories)
    text = write_progress(progress, START)
    assert read_progress(text) == progress
    assert json.loads(text)["exported"] == "2026-11-24T09:00:00.000Z"


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1)))
def test_times_are_written_as_javascript_writes_them(at):
    text = time_text(at.replace(tzinfo=UTC))
    assert len(text) == len("2026-11-24T09:00:00.000Z") and text.endswith("Z")
    assert time_text(read_time(text)) == text


GOOD_FILE = json.loads(write_progress(progress_of(a=[(GOOD, START)]), START))


def changed(place, **fields):
    """Return the file's text with a card's, a log entry's or its own fields changed; None takes it out."""
    data = json.loads(json.dumps(GOOD_FILE))
    within = {"card": lambda: data["cards"]["a"], "log": lambda: data["log"][0], "file": lambda: data}[
        place
    ]()
    within.update(fields)
    for key in [key for key, value in fields.items() if value is None]:
        del within[key]
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no progress file: not JSON"),
        ("[" * 100_000, "no progress file: not JSON"),
        ("[]", "no progress file: allowed is JSON with format"),
        (changed("file", format="anki"), "no progress file: allowed is JSON with format"),
        (changed("file", version=2), "version=2: allowed is 1; a newer course"),
        (changed("file", cards=[]), "no progress file: cards is a mapping"),
        (changed("file", log=None), "no progress file: cards is a mapping and log a list"),
        (changed("card", due=None), "cards: a: due is missing"),
        (changed("card", due="soon"), "cards: a: 'soon': allowed is a time"),
        (changed("card", due="2026-11-24"), "cards: a: '2026-11-24': allowed is a time"),
        (changed("card", due=5), "cards: a: 5: allowed is a time"),
        (changed("card", stability=0), "cards: a: stability=0: allowed"),
        (changed("card", stability=math.nan), "cards: a: stability=nan: allowed"),
        (changed("card", difficulty=11), "cards: a: difficulty=11: allowed"),
        (changed("card", state=0), "cards: a: state=0: allowed"),
        (changed("card", state=[1]), r"cards: a: state=\[1\]: allowed"),
        (changed("card", state=2), "cards: a: step=1: allowed is null in review"),
        (changed("card", reps=-1), "cards: a: reps=-1: allowed"),
        (changed("card", lapses=True), "cards: a: lapses=True: allowed"),
        (changed("log", rating=5), "log 1: .*allowed is a card's id and a rating"),
        (changed("log", card=7), "log 1: .*allowed is a card's id and a rating"),
        (changed("log", at="x"), "log 1: at: 'x': allowed is a time"),
        (changed("log", at=None), "log 1: at is missing"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(text, message):
    with pytest.raises(ValueError, match=message):
        read_progress(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["card", "log", "file"]),
    st.sampled_from([*GOOD_FILE, *GOOD_FILE["cards"]["a"]]),
    ANYTHING,
)
def test_any_field_is_read_or_refused(place, name, value):
    try:
        progress = read_progress(changed(place, **{name: value}))
    except ValueError as error:
        assert "allowed" in str(error) or "a mapping" in str(error)
    else:
        assert read_progress(write_progress(progress, START)) == progress


@given(HISTORY.map(timed), st.data())
def test_reviews_made_in_two_places_merge_to_what_one_place_would_have(history, data):
    here = data.draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history)))
    parts = [[one for one, mine in zip(history, here, strict=True) if mine is side] for side in (True, False)]
    one, two = [progress_of(a=part) if part else Progress() for part in parts]
    together = merge(one, two)
    assert together == merge(two, one) == progress_of(a=history)
    assert merge(together, one) == together


def test_a_memory_without_its_whole_log_counts_if_it_was_reviewed_last():
    older, newer = (
        progress_of(a=[(GOOD, START)]),
        progress_of(a=[(EASY, START + DAY), (GOOD, START + 40 * DAY)]),
    )
    cut = Progress(newer.cards, newer.log[1:])
    assert merge(older, cut).cards == newer.cards
    assert merge(cut, older).cards == newer.cards
    assert len(merge(older, cut).log) == 2
    assert merge(older, Progress()).cards["a"].state != REVIEW
