"""Progress on this machine: kept at once, through interruptions and damage, never over a newer file."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.course.cards.entries import Review
from course_lib.course.cards.progress import Progress
from course_lib.course.cards.schedule import AGAIN, GOOD, after_review, replay
from course_lib.course.cards.store import SCHEMA, Store, default_path

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "of" / "mine" / "progress.sqlite3"


def run(path, statement):
    """Run one statement on the file as another program would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def aside(path):
    """Return the files that were set aside."""
    return sorted(path.parent.glob(f"{path.name}.unreadable-*"))


def test_what_is_reviewed_is_there_the_next_time(path):
    with Store(path) as store:
        assert store.memories() == {} and store.progress() == Progress()
        store.review("a", GOOD, START)
        last = store.review("a", GOOD, START + HOUR)
        store.review("b", AGAIN, START)
    with Store(path) as store:
        assert store.memories()["a"] == last == replay([(GOOD, START), (GOOD, START + HOUR)])[-1]
        log = (Review(START, "a", GOOD), Review(START, "b", AGAIN), Review(START + HOUR, "a", GOOD))
        assert store.progress().log == log
        assert store.set_aside is None


def test_the_log_gives_the_memories_again(path):
    with Store(path) as store:
        for number, rating in enumerate([1, 3, 3, 1, 3, 4, 2]):
            store.review("a", rating, START + number * 30 * HOUR)
        progress = store.progress()
    again = replay((review.rating, review.at) for review in progress.log)
    assert again[-1] == progress.cards["a"]


def test_a_killed_process_loses_no_review_that_was_answered(path):
    """The process is killed right after its third review; all three are there and the file is whole."""
    code = f"""
import os, signal, sys
from datetime import UTC, datetime, timedelta
from course_lib.course.cards.store import Store
store = Store(sys.argv[1])
for number in range(3):
    store.review("a", 3, datetime(2026, 11, 24, tzinfo=UTC) + timedelta(days=number))
os.kill(os.getpid(), {int(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)})
"""
    ended = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert ended.returncode != 0
    with Store(path) as store:
        assert len(store.progress().log) == store.memories()["a"].reps == 3
        assert store.set_aside is None


def test_a_review_that_is_refused_leaves_nothing_behind(path):
    with Store(path) as store:
        with pytest.raises(ValueError, match="rating=7"):
            store.review("a", 7, START)
        assert store.progress() == Progress()
        store.review("a", GOOD, START)


def _reviews(path, card):
    with Store(path) as store:
        for number in range(20):
            store.review(card, GOOD, START + number * HOUR)


def test_two_quizzes_at_once_lose_no_review(path):
    with Store(path):
        pass
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_reviews, args=(path, card)) for card in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    with Store(path) as store:
        assert {card: memory.reps for card, memory in store.memories().items()} == {"a": 20, "b": 20}


def test_a_review_is_read_and_written_as_one(path, monkeypatch):
    """While a review is being computed nobody else may write: their review would be computed over."""

    def meanwhile(*arguments):
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")
        return after_review(*arguments)

    monkeypatch.setattr("course_lib.course.cards.store.after_review", meanwhile)
    with Store(path) as store:
        assert store.review("a", GOOD, START).reps == 1


def test_other_progress_is_merged_in(path):
    with Store(path) as store:
        store.review("a", GOOD, START)
        other = [(GOOD, START + HOUR), (AGAIN, START + 30 * HOUR)]
        log = tuple(Review(at, "a", rating) for rating, at in other)
        theirs = Progress({"a": replay(other)[-1]}, log)
        together = store.include(theirs)
        assert together == store.progress() == store.include(theirs)
        assert together.cards["a"] == replay([(GOOD, START), *other])[-1]


@pytest.mark.parametrize(
    "content", [b"this is no database, it is a note", b"SQLite format 3\x00" + b"\xff" * 4080]
)
def test_a_file_that_cannot_be_read_is_set_aside_whole(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with Store(path, now=START) as store:
        assert store.set_aside.name == "progress.sqlite3.unreadable-20261124T090000Z"
        assert store.set_aside.read_bytes() == content
        assert store.memories() == {}
        store.review("a", GOOD, START)
    with Store(path) as store:
        assert (store.set_aside, list(store.memories())) == (None, ["a"])


def test_files_set_aside_in_the_same_second_do_not_meet(path):
    path.parent.mkdir(parents=True)
    for number in range(3):
        path.write_bytes(b"note %d" % number)
        Store(path, now=START).close()
    assert sorted(file.read_bytes() for file in aside(path)) == [b"note 0", b"note 1", b"note 2"]


@pytest.mark.parametrize(
    ("statement", "reviews", "said"),
    [
        ("UPDATE cards SET due = 'soon' WHERE card = 'a'", 3, "cards: a"),
        ("UPDATE cards SET stability = 'much' WHERE card = 'a'", 3, "stability"),
        ("UPDATE cards SET state = 9 WHERE card = 'a'", 3, "state"),
        ("UPDATE log SET rating = 9 WHERE card = 'a'", 1, "log 1"),
        ("DROP TABLE log", 0, "tables are missing"),
    ],
)
def test_rows_that_make_no_sense_are_left_out_and_the_others_kept(path, statement, reviews, said):
    """The file as it was is set aside. A card whose row is damaged is computed again from its reviews."""
    with Store(path) as store:
        for number, card in enumerate("aba"):
            store.review(card, GOOD, START + number * HOUR)
        before = store.progress()
    run(path, statement)
    content = path.read_bytes()
    with Store(path) as store:
        assert store.set_aside in aside(path)
        assert store.set_aside.read_bytes() == content
        assert any(said in problem for problem in store.left_out)
        assert store.memories() == before.cards
        assert len(store.progress().log) == reviews
    with Store(path) as store:
        assert store.set_aside is None


def test_a_file_of_the_first_schema_is_taken_over(path):
    with Store(path) as store:
        store.review("a", GOOD, START)
        before = store.progress()
    run(path, "DROP TABLE suspended")
    run(path, "PRAGMA user_version = 1")
    with Store(path) as store:
        assert (store.set_aside, store.progress()) == (None, before)
        store.suspend("a", True, START)
        assert store.progress().suspended_cards == {"a"}
        store.suspend("a", False, START + HOUR)
        assert store.progress().suspended_cards == set()


def test_a_newer_schema_is_refused_and_left_alone(path):
    Store(path).close()
    run(path, f"PRAGMA user_version = {SCHEMA + 1}")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="made by a newer version of the course"):
        Store(path)
    assert path.read_bytes() == before
    assert aside(path) == []


def test_the_database_of_another_program_is_refused_and_left_alone(path):
    path.parent.mkdir(parents=True)
    run(path, "CREATE TABLE history (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a database of another program"):
        Store(path)
    assert (path.read_bytes(), aside(path)) == (before, [])


def test_a_place_where_nothing_can_be_kept_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path, tmp_path / "file" / "progress.sqlite3"):
        with pytest.raises(ValueError, match="cannot be used to keep progress"):
            Store(wrong)


def test_a_file_that_another_process_holds_is_refused(path, monkeypatch):
    Store(path).close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name: connect(name, timeout=0.05))
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match="locked"):
            Store(path)
    assert aside(path) == []


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_survived_or_refused(tmp_path_factory, data):
    """Bytes are changed, or the file is cut: progress is read, set aside or refused, never a crash."""
    path = tmp_path_factory.mktemp("store") / "progress.sqlite3"
    with Store(path) as store:
        for number in range(5):
            store.review("abc"[number % 3], GOOD, START + number * HOUR)
    content = bytearray(path.read_bytes())
    for place in data.draw(
        st.lists(st.integers(0, len(content) - 1) | st.integers(0, 120), min_size=1, max_size=8)
    ):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        with Store(path) as store:
            store.review("a", GOOD, START + 99 * HOUR)
            assert store.memories()["a"].reps >= 1
            assert store.set_aside is None or store.set_aside.exists()
    except ValueError as error:
        assert str(path) in str(error)
        assert path.exists()


def test_the_place_is_named_or_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    end = Path("architecture-measured", "progress.sqlite3")
    assert default_path({}, "linux") == tmp_path / ".local" / "share" / end
    assert default_path({"XDG_DATA_HOME": "/data"}, "linux") == Path("/data") / end
    assert default_path({}, "darwin") == tmp_path / "Library" / "Application Support" / end
    assert default_path({"LOCALAPPDATA": "/local"}, "win32") == Path("/local") / end
    assert default_path({"COURSE_STATE": "/x/y.sqlite3"}, "linux") == Path("/x/y.sqlite3")
