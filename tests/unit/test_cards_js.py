"""The page's scripts against the library: one quiz, one reading of numbers, one progress file."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.course.cards.entries import Review, Suspension
from course_lib.course.cards.progress import Progress, merge, read_progress, write_progress
from course_lib.course.cards.quiz import choose, pick, shown_order
from course_lib.course.cards.result import read_result
from course_lib.course.cards.schedule import replay
from course_lib.course.cards.schema import Recall
from course_lib.course.cards.sound import sound_progress
from course_lib.course.cards.units import SPELLINGS, UNITS, read_number

from .node import run

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
TABLES = {"units": UNITS, "spellings": SPELLINGS}
READ = """({texts, unit, tables}) => texts.map(text => {
    try { return courseCards.answers.read(text, unit, tables); } catch (error) { return error.message; } })"""
PROGRESS = ["cards/progress.js"]
SCHEDULE = ["vendor/ts-fsrs/dist/index.umd.js", "cards/day.js", "cards/schedule.js"]
STORE = [*SCHEDULE, *(f"cards/{name}.js" for name in ("progress", "sound", "store"))]
# Node has no document and no localStorage here: the store then keeps everything in memory.
MERGE = """([ours, theirs]) => {
    globalThis.document = { dispatchEvent: () => {} };
    courseCards.store.imported(ours);
    courseCards.store.imported(theirs);
    return courseCards.store.exported(); }"""

seeds = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(texts, unit=""):
    return run(["cards/answers.js"], READ, {"texts": texts, "unit": unit, "tables": TABLES})


@settings(max_examples=5)
@given(st.lists(st.tuples(seeds, st.integers(1, 70)), min_size=30, max_size=60))
def test_one_seed_gives_one_quiz_in_python_and_on_the_page(cases):
    cards = [Recall("03_kv_cache", f"card-{number}", (), "s", "?", "!") for number in range(70)]
    found = run(
        ["cards/pick.js"],
        """({ids, cases}) => cases.map(([seed, n]) => [courseCards.chance.pick(ids, n, seed),
            courseCards.chance.choose(n, seed), courseCards.chance.shownOrder(n, seed)])""",
        {"ids": [card.id for card in cards], "cases": cases},
    )
    expected = [
        [[card.id for card in pick(cards, n, seed)], choose(n, seed), shown_order(n, seed)]
        for seed, n in cases
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1024", 1024),
        (" 1,024 ", 1024),
        ("1 024", 1024),
        ("1\u202f024", 1024),
        ("1_024", 1024),
        ("1,234,567.5", 1234567.5),
        ("1e3", 1000),
        ("1.5E-3", 0.0015),
        (".5", 0.5),
        ("0,5", 0.5),
        ("12,25", 12.25),
        ("0,125", 0.125),
        ("-3", -3),
        ("\u22123", -3),
    ],
)
def test_a_number_may_be_written_so_on_the_page_and_in_the_terminal(text, number):
    assert read([text]) == [number] == [read_number(text, "")]


@pytest.mark.parametrize(
    "text", ["", "abc", "1,02,4", "1,2,3", "NaN", "Infinity", "0x10", "1e999", "--1", "<b>1</b>"]
)
def test_junk_is_refused_with_what_is_allowed(text):
    (message,) = read([text], "GiB")
    assert "1,024" in str(message)
    with pytest.raises(ValueError, match="allowed"):
        read_number(text, "GiB")


def test_another_unit_of_the_same_kind_is_converted_and_others_are_refused():
    converted, spelled, seconds, unknown = read(["40960 MiB", "40 gib", "3 s", "3 toString"], "GiB")
    assert (converted, spelled) == (40, 40)
    assert "not a unit of this answer" in seconds
    assert "GiB" in seconds
    assert "not a unit of this answer" in unknown


def test_python_reads_the_same_numbers():
    cases = [
        (text, unit)
        for unit in ("GiB", "%", "ms", "tokens", "x")
        for text in ("12", "1,024", "1.5e3", "7 ", "2_0")
    ]
    cases += [("42.95 GB", "GiB"), ("0.25 x", "%"), ("2 s", "ms"), ("3 seconds", "ms"), ("5 token", "tokens")]
    for text, unit in cases:
        assert read([text], unit) == [pytest.approx(read_number(text, unit), rel=1e-12)], (text, unit)


@pytest.mark.parametrize(
    ("number", "answer", "tolerance", "right"),
    [(40, 40, 0, True), (41, 40, 0, False), (40.4, 40, 0.01, True), (40.41, 40, 0.01, False), (0, 0, 0, True),
     (0.1 + 0.2, 0.3, 0, True), (-39, -40, 0.05, True)],
)  # fmt: skip
def test_right_is_within_the_tolerance(number, answer, tolerance, right):
    found = run(
        ["cards/answers.js"], "given => courseCards.answers.isRight(...given)", [number, answer, tolerance]
    )
    assert found is right


def progress_of(*reviews) -> Progress:
    log = tuple(sorted(Review(START + timedelta(minutes=at), card, rating) for card, at, rating in reviews))
    cards = {
        name: replay([(one.rating, one.at) for one in log if one.card == name])[-1]
        for name in {one.card for one in log}
    }
    return Progress(cards, log)


HERE = progress_of(("a", 0, 3), ("a", 10, 3), ("b", 5, 1))
THERE = progress_of(("a", 0, 3), ("a", 20000, 4), ("c", 7, 2))


def test_a_file_of_the_terminal_is_read_and_written_back_the_same_on_the_page():
    text = write_progress(HERE, START)
    again = run(
        PROGRESS,
        "text => courseCards.progress.write(courseCards.progress.parse(text), new Date(0))",
        text,
    )
    assert json.loads(again) == json.loads(text) | {"exported": "1970-01-01T00:00:00.000Z"}
    assert read_progress(again) == HERE


def test_page_and_terminal_put_two_files_together_alike():
    """Stabilities to 2e-6: ts-fsrs rounds to 8 decimals (see test_cards_schedule_js)."""
    merged = read_progress(run(STORE, MERGE, [write_progress(one, START) for one in (HERE, THERE)]))
    expected = merge(HERE, THERE)
    assert merged.log == expected.log
    assert set(merged.cards) == set(expected.cards)
    for name, memory in expected.cards.items():
        found = merged.cards[name]
        assert found.stability == pytest.approx(memory.stability, rel=2e-6)
        assert (found.due, found.reps, found.lapses) == (memory.due, memory.reps, memory.lapses)


GOOD = json.loads(write_progress(HERE, START))


def with_card(**fields):
    return GOOD | {"cards": {"a": GOOD["cards"]["a"] | fields}}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not JSON"),
        ([], "format"),
        (GOOD | {"format": "anki"}, "format"),
        (GOOD | {"version": 2}, "version 2"),
        (GOOD | {"cards": []}, "mapping"),
    ],
)
def test_a_file_that_is_no_progress_is_refused_by_both(data, said):
    text = data if isinstance(data, str) else json.dumps(data)
    message = run(
        PROGRESS,
        "text => { try { courseCards.progress.parse(text); } catch (error) { return error.message; } }",
        text,
    )
    assert said in message
    with pytest.raises(ValueError, match=r"\w"):
        read_progress(text)


SOUND = """text => { const { left, ...found } = courseCards.sound.parse(text);
    return [courseCards.progress.write(found, new Date(0)), left.map(({ problem }) => problem)]; }"""
LOG = GOOD["log"]
DAMAGED = [
    (with_card(stability=0), "stability"),
    (with_card(difficulty=11), "difficulty"),
    (with_card(state=4), "state"),
    (with_card(step=-1), "step"),
    (with_card(due="soon"), "due|soon"),
    (with_card(reps=1.5), "reps"),
    (GOOD | {"cards": {"a": {}}}, "due is missing"),
    (GOOD | {"log": [*LOG, {"card": "a", "rating": 5, "at": "2026-11-24T09:00:00Z"}]}, "log 4"),
    (GOOD | {"suspended": {"b": {"at": "2026-11-24T09:00:00Z", "on": "yes"}}}, "suspended: b"),
    (json.dumps(GOOD, indent=1)[:-60], "cut or damaged"),
    (json.dumps(GOOD)[:-40] + "\x00 scribbles", "cut or damaged"),
]


@pytest.mark.parametrize(("data", "said"), DAMAGED)
def test_what_is_sound_is_kept_and_the_rest_is_named_on_the_page_and_in_the_terminal(data, said):
    """A card whose entry is damaged is computed again from its reviews, so it is not lost either."""
    text = data if isinstance(data, str) else json.dumps(data)
    (kept, left), (progress, left_out) = run(STORE, SOUND, text), sound_progress(text)
    assert re.search(said, left[0]) and re.search(said, left_out[0])
    page = read_progress(kept)
    assert (page.log, set(page.cards)) == (progress.log, set(progress.cards))
    assert {"a"} <= set(progress.cards) and len(progress.log) >= 2
    memory = page.cards["a"]
    assert (memory.reps, memory.due) == (progress.cards["a"].reps, progress.cards["a"].due)


def test_a_text_that_was_never_progress_is_refused():
    for text in ("{", '{"cards": {"a": {"stability": 3}}}', json.dumps(GOOD | {"version": 7})[:-1]):
        with pytest.raises(ValueError, match=r"allowed|JSON"):
            sound_progress(text)
        assert run(STORE, "text => { try { courseCards.sound.parse(text); } catch { return 1; } }", text) == 1


IMPORTS = """({text, sizes}) => {
    globalThis.document = { dispatchEvent: () => {} };
    globalThis.sessionStorage = { setItem() {}, getItem: () => null };
    const whole = JSON.parse(text);
    return sizes.map(size => {
        const part = JSON.stringify({ ...whole, log: whole.log.slice(0, size) });
        courseCards.store.reset();
        const start = performance.now();
        courseCards.store.imported(part);
        courseCards.store.imported(part);
        return [performance.now() - start, courseCards.store.load().log.length];
    }); }"""


def test_forty_thousand_reviews_are_imported_in_linear_time():
    """It was quadratic, and took the page 20 seconds. Four times the reviews may take nine times as long."""
    log = [
        Review(START + timedelta(seconds=90 * number), f"card-{number % 200}", 3) for number in range(40_000)
    ]
    cards = {f"card-{number}": replay([(3, START)])[-1] for number in range(200)}
    text = write_progress(Progress(cards, tuple(log)), START)
    short, long = run(STORE, IMPORTS, {"text": text, "sizes": [10_000, 40_000]})
    assert (short[1], long[1]) == (10_000, 40_000)
    assert long[0] < 9 * short[0] + 200
    assert long[0] < 8_000


def test_suspensions_travel_and_the_later_word_counts():
    on, off = (Suspension(START + timedelta(hours=hour), hour == 0) for hour in (0, 1))
    ours, theirs = Progress({}, (), {"a": on, "b": off}), Progress({}, (), {"a": off, "b": on, "c": on})
    merged = merge(ours, theirs)
    assert merged.suspended_cards == {"c"} == merge(theirs, ours).suspended_cards
    page = run(STORE, MERGE, [write_progress(one, START) for one in (ours, theirs)])
    assert read_progress(page).suspended == merged.suspended


RESULT = """({questions, ...facts}) => courseCards.quiz.result.text({ ...facts,
    questions: questions.map(one => ({ ...one, told: () => one.said })) })"""


def result(**changes):
    ids = ["card-3", "card-1", "card-2"]
    stands = [(True, True, True, "B"), (True, True, False, "12 GiB"), (False, True, False, "")]
    questions = [
        {
            "card": {"id": name},
            "answered": a,
            "judged": j,
            "right": r,
            "said": said,
            "words": name == "card-1",
        }
        for name, (a, j, r, said) in zip(ids, stands, strict=True)
    ]
    facts = {
        "query": "chapters=03&n=3&seed=K%C3%A4se",
        "name": " Ada  L. ",
        "finished": "2026-11-30T09:00:00.000Z",
    }
    files = [f"cards/{name}.js" for name in ("pick", "kinds", "quiz-question", "quiz-result")]
    return run(files, RESULT, facts | {"questions": questions} | changes)


def test_a_result_of_the_page_is_read_and_checked_in_the_terminal():
    found = read_result(result())
    assert (found.name, found.seed, found.chapters, found.right) == ("Ada L.", "Käse", ("03",), 1)
    assert list(found.answers.values()) == [
        "right (B)",
        "not right, judged by the writer (12 GiB)",
        "not answered",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1 of 3", "3 of 3", "a line was changed"),
        ("not right", "right", "a line was changed"),
        ("Architecture", "Building", "no result"),
    ],
)
def test_a_result_with_a_changed_line_is_refused(old, new, said):
    with pytest.raises(ValueError, match=said):
        read_result(result().replace(old, new, 1))
