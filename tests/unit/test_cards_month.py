"""A month of reviews, on the page and in the terminal: the same clock, the same answers, the same log.

The page's side are the scripts that choose, rate and keep, in node; the terminal's is `course quiz` itself,
with a clock that is set and a learner who answers by a rule. Sessions begin at hours around which a day could
go wrong.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest

from course_lib.course.cards.progress import Progress, read_progress
from course_lib.course.cards.quiz import fnv1a
from course_lib.course.cards.schedule import AGAIN, EASY, GOOD, HARD, SCHEDULER
from course_lib.course.cards.statistics import statistics
from course_lib.course.cards.store import Store
from course_lib.course.cli import decks, quiz
from course_lib.course.cli.asking import Screen

from .node import run

FILES = [
    "vendor/ts-fsrs/dist/index.umd.js",
    *(
        f"cards/{name}.js"
        for name in ("pick", "day", "progress", "today", "settings", "schedule", "sound", "store", "stats")
    ),
]
CARDS = decks.find_cards(["3"])
IDS = [card.id for card in CARDS]
HOURS = (21, 7, 2, 12, 23, 6)  # of each day's session, in turn; 2 is still the evening before
PACE = timedelta(seconds=25)
MONTH = """({ids, starts, pace}) => {
    globalThis.document = { dispatchEvent: () => {} };
    const { store, today, day, settings, chance, stats } = courseCards;
    const rate = (id, reps) => [1, 2, 3, 3, 3, 3, 3, 3, 4, 3][chance.hash(`${id}:${reps}`) % 10];
    let now;
    for (const start of starts) {
        now = Date.parse(start);
        let last = null;
        for (;;) {
            const stored = store.load();
            const left = settings.allowed(day.number(now)) - today.introduced(stored, now);
            const id = today.next(stored, ids, now, { left, last });
            if (id === null) break;
            store.review(id, rate(id, stored.cards.get(id)?.reps ?? 0), new Date(now));
            last = id;
            now += pace;
        }
    }
    return { text: store.exported(), stats: stats.all(store.load(), ids, now),
        parameters: [...FSRS.fsrs({ request_retention: 0.9 }).parameters.w] };
}"""


@pytest.fixture(params=["UTC", "Europe/Berlin"])
def starts(request, monkeypatch):
    """Return when each session begins, in a zone; in Berlin the clocks change within the month."""
    monkeypatch.setenv("TZ", request.param)
    if hasattr(time, "tzset"):
        time.tzset()
    days = range(30)
    yield [
        (datetime(2026, 10, 5, HOURS[day % len(HOURS)], 17) + timedelta(days=day)).astimezone(UTC)
        for day in days
    ]
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


def in_terminal(starts, path, monkeypatch) -> tuple[Progress, datetime]:
    """Run `course quiz` once a day, as a learner whose ratings follow the rule."""
    clock = {}

    def rating(card, seed):
        value = fnv1a(seed) % 10
        return (AGAIN, HARD, GOOD, GOOD, GOOD, GOOD, GOOD, GOOD, EASY, GOOD)[value]

    def asked(card, seed, screen):
        clock["rating"] = rating(card, seed)
        return clock["rating"] != AGAIN

    class Kept(Store):
        def review(self, card, given, at):
            memory = super().review(card, given, at)
            clock["now"] += PACE
            return memory

    monkeypatch.setattr(decks, "now", lambda: clock["now"])
    monkeypatch.setattr(quiz, "asked", asked)
    monkeypatch.setattr(quiz, "rate", lambda right, screen: clock["rating"])
    monkeypatch.setattr(quiz, "answer", lambda *facts: None)
    monkeypatch.setattr(Screen, "say", lambda *words: None)
    with Kept(path) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        for start in starts:
            clock["now"] = start
            quiz._reviews(CARDS, store, None, Screen(decks.ERR.file), as_json=True)
        return store.progress(), clock["now"]


def test_a_month_ends_with_equal_logs(starts, tmp_path, monkeypatch):
    terminal, now = in_terminal(starts, tmp_path / "progress.sqlite3", monkeypatch)
    given = {"ids": IDS, "starts": [at.isoformat() for at in starts], "pace": PACE.total_seconds() * 1000}
    found = run(FILES, MONTH, given)
    page = read_progress(found["text"])
    assert len(page.log) > 300
    assert page.log == terminal.log
    assert {card: memory.due for card, memory in page.cards.items()} == {
        card: memory.due for card, memory in terminal.cards.items()
    }
    for card, memory in terminal.cards.items():
        assert page.cards[card].stability == pytest.approx(memory.stability, rel=1e-5)
    told = statistics(terminal, IDS, now)
    assert found["stats"] == told
    assert told["stands"]["fresh"] == 0 and told["lately"]["reviews"] > 100
    assert found["parameters"] == pytest.approx(SCHEDULER.parameters, abs=1e-4)


def test_no_day_brings_more_than_twenty_new_cards(starts, tmp_path, monkeypatch):
    terminal, _ = in_terminal(starts[:3], tmp_path / "progress.sqlite3", monkeypatch)
    met = {}
    for review in terminal.log:
        met.setdefault(review.card, review.at)
    evening, morning, night = (
        [at for at in met.values() if start <= at < start + timedelta(hours=4)] for start in starts[:3]
    )
    assert (len(evening), len(morning)) == (20, 20)
    assert len(night) == 0  # two o'clock belongs to the day of the morning before
