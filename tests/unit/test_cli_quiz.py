"""`course quiz`: asks, marks and keeps; ends cleanly wherever it is ended; one seed, one quiz."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib.course.cards.plain import plain
from course_lib.course.cards.progress import read_progress
from course_lib.course.cards.quiz import choose, pick, shown_order
from course_lib.course.cards.schedule import AGAIN, EASY, GOOD, HARD
from course_lib.course.cards.schema import Choice, Computed, Match, Order, Predict
from course_lib.course.cards.store import Given, Store
from course_lib.course.cards.variants import variants
from course_lib.course.cli import decks
from course_lib.course.cli.app import app
from course_lib.course.cli.asking import LETTERS, Screen, ask, letters
from course_lib.course.cli.decks import ROOT, find_cards

CARDS = find_cards(["3"])
RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Return the file that the command keeps progress in."""
    path = tmp_path / "progress.sqlite3"
    monkeypatch.setenv("COURSE_STATE", str(path))
    return path


def course(*words, lines=()):
    return RUN.invoke(app, [str(word) for word in words], input="".join(f"{line}\n" for line in lines))


def facts(*words, lines=(), code=0):
    """Return a command's JSON; stdout holds nothing else."""
    result = course(*words, "--json", lines=lines)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refusal(*words):
    result = course(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    return re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr)


def answer(card, seed, right=True):
    """Return the line a learner types, right or wrong."""
    match card:
        case Choice():
            options = [card.options[place] for place in shown_order(len(card.options), seed)]
            return LETTERS[[option.correct for option in options].index(right)]
        case Computed() | Predict():
            shown = variants(card, ROOT)
            variant = shown[choose(len(shown), seed)]
            return variant.answer_text if right else repr(variant.answer * 3 + 1)
        case Order():
            shown = shown_order(len(card.items), seed)
        case Match():
            shown = shown_order(len(card.pairs), seed)
        case _:
            return ""
    line = " ".join(LETTERS[shown.index(place)] for place in range(len(shown)))
    return line if right else line[::-1]


def session(cards, ratings, reps=None):
    """Return the lines of a session in which every card is answered right and rated so."""
    found = []
    for card, rating in zip(cards, ratings, strict=True):
        found += [answer(card, f"{card.id}:{(reps or {}).get(card.id, 0)}"), rating]
    return found


@pytest.mark.parametrize("right", [True, False])
def test_a_class_quiz_of_all_cards_is_marked_as_it_should_be(right, state):
    lines = []
    for card in pick(CARDS, len(CARDS), "monday"):
        lines += [answer(card, f"monday:{card.id}", right)]
        lines += ["y" if right else "n"] if card.kind == "recall" else []
    told = facts("quiz", "--chapter", 3, "--seed", "monday", "--count", len(CARDS), lines=lines)
    assert (told["answered_cards"], told["right_cards"]) == (len(CARDS), len(CARDS) if right else 0)
    assert [one["card"] for one in told["results"]] == [card.id for card in pick(CARDS, len(CARDS), "monday")]
    assert not state.exists()


def test_a_seed_fixes_the_quiz_and_a_drawn_one_is_told(state):
    first, second = (course("quiz", "--seed", "x", "--count", 5).stdout for _ in range(2))
    assert first == second != course("quiz", "--seed", "y", "--count", 5).stdout
    drawn = facts("quiz", "--count", 2)
    assert (drawn["cards"], drawn["answered_cards"], len(drawn["seed"])) == (2, 0, 6)


def test_a_review_is_kept_with_its_rating(state):
    told = facts("quiz", "--chapter", 3, "--new", 3, lines=session(CARDS[:3], ["1", "2", ""]))
    assert CARDS[2].kind == "choice"
    assert [one["rating"] for one in told["reviews"]] == ["again", "hard", "good"]
    assert (told["reviewed_cards"], told["again_cards"], told["new_cards"]) == (3, 1, len(CARDS) - 3)
    with Store(state) as store:
        assert [review.rating for review in store.progress().log] == [AGAIN, HARD, GOOD]
        assert [review.card for review in store.progress().log] == [card.id for card in CARDS[:3]]


def test_a_wrong_answer_is_again_without_being_asked_for(state):
    card = CARDS[2]
    lines = [*session(CARDS[:2], ["3", "3"]), answer(card, f"{card.id}:0", right=False)]
    course("quiz", "--chapter", 3, "--new", 3, lines=lines)
    with Store(state) as store:
        assert store.memories()[card.id].last_review and store.progress().log[-1].rating == AGAIN


@pytest.mark.parametrize("card", [one for one in CARDS if isinstance(one, Choice)], ids=lambda one: one.id)
def test_each_wrong_option_is_told_why_and_where_to_read(card, monkeypatch):
    for option in card.options:
        shown = shown_order(len(card.options), "seed")
        letter = LETTERS[shown.index(card.options.index(option))]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{letter}\n"))
        screen = Screen(io.StringIO())
        assert ask(card, variants(card, ROOT)[0], "seed", screen) is option.correct
        told = " ".join(screen.out.getvalue().split())
        assert " ".join(plain(option.because).split()) in told
        assert (f"book/03_kv_cache.md, section {option.section}." in told) is not option.correct


def test_what_is_due_comes_first_and_the_longest_due_before(state):
    long_ago = datetime.now(UTC) - timedelta(days=40)
    with Store(state) as store:
        store.review(CARDS[5].id, EASY, long_ago + timedelta(days=1))
        store.review(CARDS[7].id, EASY, long_ago)
        store.review(CARDS[9].id, EASY, datetime.now(UTC))
    result = course("quiz", "--chapter", 3, "--new", 2, lines=[])
    assert result.stdout.startswith("2 due, 1 new of")
    reps = {CARDS[7].id: 1, CARDS[5].id: 1}
    expected = [CARDS[7], CARDS[5], CARDS[0]]
    ratings = ["" if card.kind != "recall" else "3" for card in expected]
    told = facts("quiz", "--chapter", 3, "--new", 2, lines=session(expected, ratings, reps))
    assert [one["card"] for one in told["reviews"]] == [card.id for card in expected]
    assert told["due_cards"] == 0


def test_what_cannot_be_read_is_asked_again(state):
    lines = ["", "9", "well", "3", "", "3", "z", "ab", answer(CARDS[2], f"{CARDS[2].id}:0"), "x", "e"]
    told = facts("quiz", "--chapter", 3, "--new", 3, lines=lines)
    assert [one["rating"] for one in told["reviews"]] == ["good", "good", "easy"]


@pytest.mark.parametrize("end", [["q"], []])
def test_q_or_the_end_of_the_input_ends_it_and_keeps_what_was_given(state, end):
    told = facts("quiz", "--chapter", 3, "--new", 5, lines=[*session(CARDS[:2], ["3", "3"]), *end])
    assert told["reviewed_cards"] == 2
    with Store(state) as store:
        assert len(store.progress().log) == 2


def told_of(path):
    """What a file of progress holds."""
    with Store(path) as store:
        return store.progress()


def test_u_takes_the_last_rating_back_and_asks_its_card_again(state):
    first, second = CARDS[:2]
    lines = [*session([first], ["1"]), "u", *session([first], ["3"]), *session([second], ["4"])]
    told = facts("quiz", "--chapter", 3, "--new", 2, lines=lines)
    assert [(one["card"], one["rating"]) for one in told["reviews"]] == [
        (first.id, "good"),
        (second.id, "easy"),
    ]
    kept = told_of(state)
    assert [(one.card, one.rating) for one in kept.log] == [(first.id, GOOD), (second.id, EASY)]
    assert [kept.cards[card.id].reps for card in (first, second)] == [1, 1]


def test_u_gives_back_one_rating_after_the_other_and_then_says_so(state):
    lines = [*session(CARDS[:2], ["3", "3"]), "u", "u", "u", "q"]
    result = course("quiz", "--chapter", 3, "--new", 5, lines=lines)
    said = " ".join(result.stdout.split())
    assert [said.count(f"rating of {card.id} was taken back") for card in CARDS[:2]] == [1, 1]
    assert said.count("There is no rating to take back") == 1
    assert (told_of(state).log, told_of(state).cards) == ((), {})


def test_a_memory_is_as_before_when_a_rating_is_taken_back(state):
    card, at = CARDS[0], datetime.now(UTC) - timedelta(days=9)
    with Store(state) as store:
        before = store.review(card.id, GOOD, at)
    reps = {card.id: 1}
    course("quiz", "--chapter", 3, "--new", 0, lines=[*session([card], ["1"], reps), "u", "q"])
    assert told_of(state).cards == {card.id: before}
    assert [one.rating for one in told_of(state).log] == [GOOD]


def test_a_card_that_was_rated_elsewhere_since_is_left(state):
    with Store(state) as store:
        now = datetime.now(UTC)
        given = Given("x", None, store.review("x", GOOD, now))
        store.review("x", EASY, now + timedelta(minutes=1))
        assert not store.undo(given)
        assert len(store.progress().log) == 2


def test_a_class_quiz_takes_nothing_back(state):
    result = course("quiz", "--chapter", 3, "--seed", "a", "--count", 3, lines=["u", "q"])
    assert "taken back" not in result.stdout and "takes" not in result.stdout


def test_new_cards_are_counted_by_the_day_and_not_by_the_sitting(state):
    lines = session(CARDS[:2], ["4", "4"])
    assert facts("quiz", "--chapter", 3, "--new", 2, lines=lines)["reviewed_cards"] == 2
    assert course("quiz", "--chapter", 3, "--new", 2).stdout.startswith("0 due, 0 new of")
    third = session(CARDS[2:3], [""])
    assert facts("quiz", "--chapter", 3, "--new", 3, lines=[*third, "u", *third])["reviewed_cards"] == 1
    assert course("quiz", "--chapter", 3, "--new", 3).stdout.startswith("0 due, 0 new of")
    assert course("quiz", "--chapter", 3).stdout.startswith("0 due, 17 new of")


@pytest.mark.parametrize(("seconds", "cards"), [(1, 1), (20, 2)])
def test_a_sitting_past_four_in_the_morning_has_the_next_days_cards(state, monkeypatch, seconds, cards):
    """The clock goes on by so many seconds each time that it is looked at."""
    late = datetime(2026, 11, 30, 3, 58).astimezone()
    times = iter(late + timedelta(seconds=seconds * number) for number in range(1000))
    monkeypatch.setattr(decks, "now", lambda: next(times))
    told = facts("quiz", "--chapter", 3, "--new", 1, lines=session(CARDS[:2], ["4", "4"]))
    assert [one["card"] for one in told["reviews"]] == [card.id for card in CARDS[:cards]]


def test_a_right_answer_counts_though_its_rating_was_not_given(state):
    lines = [*session(CARDS[:2], ["3", "3"]), answer(CARDS[2], f"{CARDS[2].id}:0"), "q"]
    course("quiz", "--chapter", 3, "--new", 3, lines=lines)
    with Store(state) as store:
        assert [review.rating for review in store.progress().log] == [GOOD, GOOD, GOOD]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_it_and_keeps_what_was_given(state):
    """A process of its own, interrupted while it waits for the third answer.

    A shell starts jobs in the background with SIGINT ignored, and children inherit that: hence the handler.
    """
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [
        sys.executable,
        "-c",
        heeds + "from course_lib.course.cli.app import app; app()",
        "quiz",
        "--chapter",
        "3",
        "--new",
        "5",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        process.stdin.write("".join(f"{line}\n" for line in session(CARDS[:2], ["3", "3"])).encode())
        process.stdin.flush()
        told, until = b"", time.monotonic() + 120
        while b"Which? " not in told and time.monotonic() < until:
            if select.select([process.stdout], [], [], 1)[0]:
                told += os.read(process.stdout.fileno(), 65536)
        assert b"Which? " in told, told
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"2 reviews" in rest and b"Traceback" not in rest
    with Store(state) as store:
        assert len(store.progress().log) == 2


def test_a_terminal_without_our_signs_and_bytes_that_are_no_text_end_nothing(state):
    words = ["quiz", "--chapter", "3", "--seed", "x", "--count", str(len(CARDS))]
    command = [sys.executable, "-c", "from course_lib.course.cli.app import app; app()", *words]
    wrong = b"\xff\xfe\n" + b"q\n"
    plain_terminal = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    run = subprocess.run(command, input=wrong, capture_output=True, env=plain_terminal, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.startswith(b"Quiz x: ")
    assert re.search(rb"0 of \d+ cards right", run.stdout)


def test_an_unreadable_file_is_set_aside_and_said(state):
    state.write_bytes(b"scribbles")
    result = course("quiz", "--chapter", 3, "--new", 0)
    assert result.exit_code == 0
    (aside,) = state.parent.glob("progress.sqlite3.unreadable-*")
    assert aside.read_bytes() == b"scribbles"
    assert "could not be read" in result.stderr and aside.name in result.stderr


def test_a_file_of_a_newer_course_is_refused(state):
    import sqlite3

    Store(state).close()
    connection = sqlite3.connect(state)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer version of the course" in refusal("quiz")


def test_state_is_named_by_an_option_before_the_variable(state, tmp_path):
    other = tmp_path / "other.sqlite3"
    facts("quiz", "--state", other, "--chapter", 3, "--new", 1, lines=session(CARDS[:1], ["3"]))
    assert other.exists() and not state.exists()


def test_progress_leaves_and_comes_back(state, tmp_path):
    file = tmp_path / "progress.json"
    facts("quiz", "--chapter", 3, "--new", 2, lines=session(CARDS[:2], ["3", "1"]))
    told = facts("quiz", "export", file)
    assert (told["cards"], told["reviews"]) == (2, 2)
    assert len(read_progress(file.read_text()).log) == 2
    assert "there already; --force" in refusal("quiz", "export", file)
    assert facts("quiz", "export", file, "--force")["reviews"] == 2
    other = tmp_path / "elsewhere.sqlite3"
    assert facts("quiz", "import", file, "--state", other)["added_reviews"] == 2
    assert facts("quiz", "import", file, "--state", other)["added_reviews"] == 0
    with Store(state) as here, Store(other) as there:
        assert here.progress() == there.progress()
    counted = facts("quiz", "due", "--chapter", 3)["chapters"]
    assert counted == [
        {
            "chapter": "03_kv_cache",
            "due_cards": 0,
            "soon_cards": 2,
            "later_cards": 0,
            "new_cards": len(CARDS) - 2,
            "suspended_cards": 0,
        }
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("quiz", "--chapter", "77"), "chapter='77': allowed are"),
        (("quiz", "--chapter", "03"), None),
        (("quiz", "--seed", "x", "--count", "9999"), "n=9999: allowed is 1 to"),
        (("quiz", "--count", "0"), "--count"),
        (("quiz", "--new", "-1"), "--new"),
        (("quiz", "import", "no-such-file.json"), "no-such-file.json"),
    ],
)
def test_what_is_not_allowed_is_refused_and_said(state, words, message):
    if message is None:
        assert course(*words).exit_code == 0
    else:
        assert message in refusal(*words)


def test_a_file_that_is_no_progress_is_refused_and_changes_nothing(state, tmp_path):
    file = tmp_path / "x.json"
    file.write_text('{"format": "anki"}')
    facts("quiz", "--chapter", 3, "--new", 1, lines=session(CARDS[:1], ["3"]))
    assert "x.json: no progress file" in refusal("quiz", "import", file)
    with Store(state) as store:
        assert len(store.progress().log) == 1


@given(st.text(max_size=10), st.integers(1, 8), st.booleans())
def test_letters_are_places_or_refused(line, count, one):
    wanted = 1 if one else count
    try:
        found = letters(line, count, wanted)
    except ValueError as error:
        assert "allowed is" in str(error)
    else:
        assert len(set(found)) == wanted and set(found) <= set(range(count))


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("$2 \\cdot B \\, n$ of `G`", "2 · B n of G"),
        ("$\\lfloor (a - b) / c \\rfloor$", "⌊(a - b) / c⌋"),
        ("$2^{30} = 1{,}073$ **or** *so*", "2^30 = 1,073 or so"),
        ("$P_{\\text{act}}$, $W_{UK}^{\\top} q$", "P_act, W_UK^T q"),
        ("$\\frac{2H}{G b}$, 5 \\$ and 3 * 4", "(2H)/(G b), 5 $ and 3 * 4"),
        ("$1 / \\sqrt{d_k}$, $\\{a, b\\}$, $\\hat{x}$", "1 / √(d_k), {a, b}, hatx"),
        ("[the page](x.md#y) has_two_parts", "the page has_two_parts"),
    ],
)
def test_markdown_becomes_plain_text(markdown, text):
    assert plain(markdown) == text


@given(st.text(alphabet="a$\\{}_^*`[]() \n"))
def test_any_text_becomes_plain_text(text):
    assert isinstance(plain(text), str)


@pytest.mark.parametrize("card", find_cards(None), ids=lambda card: card.id)
def test_no_markup_is_left_in_what_a_terminal_shows(card):
    for variant in variants(card, ROOT):
        shown = plain(f"{variant.question}\n{variant.explanation}")
        assert not re.search(r"\$|\\[a-z]|[{}`]", shown), shown
