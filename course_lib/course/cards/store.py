"""A learner's progress on this machine: one SQLite file, each review committed at once.

Tables `cards` (the fields of `schedule.Memory`) and `log` (every review) change in one
transaction, so an interruption loses nothing and leaves no half of a review. Table
`suspended` says which cards are not asked. The file carries the number of its schema.
One of a newer schema is refused; one that is damaged is set aside under a dated name,
and a new one begun with what is sound of it.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from course_lib.course.cards.entries import Review, Suspension, read_time, time_text
from course_lib.course.cards.progress import (
    Progress,
    merge,
    read_progress,
    write_progress,
)
from course_lib.course.cards.schedule import Memory, after_review, to_millisecond
from course_lib.course.cards.sound import kept
from course_lib.course.cards.tables import (
    APPLICATION,
    MEMORY,
    SCHEMA,
    SECOND,
    TABLES,
    put_aside,
    rows_of,
)

VARIABLE = "COURSE_STATE"


def default_path(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Path:
    """Return where progress is kept: `COURSE_STATE`, or a file in the user's data
    folder.

    >>> default_path({"COURSE_STATE": "mine.sqlite3"}).as_posix()
    'mine.sqlite3'
    """
    if named := environment.get(VARIABLE):
        return Path(named).expanduser()
    home = Path.home()
    if platform == "win32":
        data = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "architecture-measured" / "progress.sqlite3"


@dataclass(frozen=True)
class Given:
    """A review that was kept: the card's memory before it (None: it was new) and
    after.
    """

    card: str
    before: Memory | None
    after: Memory


class Store:
    """The open file. `set_aside` is where a damaged one was put, or None; `left_out`
    says what of it could not be kept.

    Raises:
        ValueError: if the file cannot be opened or written, another program holds it
            locked, it is another program's database, or it has a newer schema.
    """

    def __init__(self, path: str | Path, now: datetime | None = None) -> None:
        self.path = Path(path)
        self.set_aside: Path | None = None
        self.left_out: tuple[str, ...] = ()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = _opened(self.path)
            except sqlite3.OperationalError:
                raise  # locked, no permission, a folder: the file is not at fault
            except sqlite3.DatabaseError as error:
                self.set_aside = put_aside(self.path, now or datetime.now(UTC))
                self._connection = _opened(self.path)
                sound, left = kept(*rows_of(self.set_aside), str(error))
                self.left_out = left
                self.include(sound)
        except (OSError, sqlite3.Error) as error:
            raise ValueError(
                f"{self.path}: cannot be used to keep progress ({error})"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def memories(self) -> dict[str, Memory]:
        """Return the memory of every card reviewed so far, by id."""
        return _memories(self._connection)

    def progress(self) -> Progress:
        """Return all that is kept."""
        return _progress(self._connection)

    def review(self, card: str, rating: int, at: datetime) -> Memory:
        """Add a review and return the card's memory after it; both are on disk when
        this returns.

        Raises: ValueError as `schedule.after_review`, or if the file cannot be written.
        """
        with self._changing():
            memory = after_review(self.memories().get(card), rating, at)
            self._put({card: memory}, (Review(to_millisecond(at), card, rating),))
        return memory

    def undo(self, given: Given) -> bool:
        """Take a review back, and say whether it was: not if the card was rated since.

        Raises: ValueError if the file cannot be written.
        """
        with self._changing():
            if self.memories().get(given.card) != given.after:
                return False
            at = time_text(given.after.last_review)
            found = given.card, at
            self._connection.execute("DELETE FROM cards WHERE card = ?", found[:1])
            self._connection.execute("DELETE FROM log WHERE card = ? AND at = ?", found)
            if given.before is not None:
                self._put({given.card: given.before}, ())
        return True

    def suspend(self, card: str, on: bool, at: datetime) -> None:
        """Suspend a card, or bring it back.

        Raises: ValueError if the file cannot be written.
        """
        with self._changing():
            self._put({}, (), {card: Suspension(to_millisecond(at), on)})

    def include(self, progress: Progress) -> Progress:
        """Merge other progress into what is kept, and return both together.

        Raises: ValueError if the file cannot be written; what was kept then stays.
        """
        with self._changing():
            together = merge(self.progress(), progress)
            self._put(together.cards, together.log, together.suspended)
        return together

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Read and write as one: another process waits, and an error undoes what was
        written.
        """
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: cannot be written ({error})") from error

    def _put(
        self,
        cards: Mapping[str, Memory],
        log: tuple[Review, ...],
        suspended: Mapping[str, Suspension] | None = None,
    ) -> None:
        places = ", ".join("?" * (1 + len(MEMORY)))
        self._connection.executemany(
            f"INSERT OR REPLACE INTO cards VALUES ({places})",
            [
                (card, *(_stored(getattr(memory, name)) for name in MEMORY))
                for card, memory in cards.items()
            ],
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO log VALUES (?, ?, ?)",
            [(time_text(one.at), one.card, one.rating) for one in log],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO suspended VALUES (?, ?, ?)",
            [
                (card, time_text(one.at), int(one.on))
                for card, one in (suspended or {}).items()
            ],
        )


def _opened(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that has been looked through, with its tables made
    if it is new.
    """
    connection = sqlite3.connect(path)
    try:
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the file is damaged")
        version, application = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("user_version", "application_id")
        )
        tables = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
        }
        if version == application == 0 and not tables:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in (*TABLES, *SECOND):
                    connection.execute(statement)
        elif application != APPLICATION:
            raise ValueError(
                f"{path}: a database of another program; allowed is a file made by "
                "`course quiz`"
            )
        elif version > SCHEMA:
            what = f"its schema is {version}, this course knows {SCHEMA}"
            raise ValueError(
                f"{path}: made by a newer version of the course "
                f"({what}); update the course"
            )
        elif not {"cards", "log"} <= tables:
            raise sqlite3.DatabaseError("tables are missing")
        elif version < SCHEMA:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in SECOND if "suspended" not in tables else SECOND[1:]:
                    connection.execute(statement)
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Read every row, so that what makes no sense is found now and not in the middle of
    a quiz.
    """
    try:
        read_progress(write_progress(_progress(connection), datetime.now(UTC)))
    except (ValueError, TypeError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a row makes no sense: {error}") from error


def _progress(connection: sqlite3.Connection) -> Progress:
    rows = connection.execute(
        "SELECT at, card, rating FROM log ORDER BY at, card, rating"
    )
    log = tuple(Review(read_time(at), card, rating) for at, card, rating in rows)
    rows = connection.execute("SELECT card, at, is_on FROM suspended ORDER BY card")
    suspended = {
        card: Suspension(read_time(at), bool(is_on)) for card, at, is_on in rows
    }
    return Progress(_memories(connection), log, suspended)


def _memories(connection: sqlite3.Connection) -> dict[str, Memory]:
    rows = connection.execute(
        f"SELECT card, {', '.join(MEMORY)} FROM cards ORDER BY card"
    )
    found = {card: dict(zip(MEMORY, values, strict=True)) for card, *values in rows}
    times = {
        card: {name: read_time(row[name]) for name in ("due", "last_review")}
        for card, row in found.items()
    }
    return {card: Memory(**row | times[card]) for card, row in found.items()}


def _stored(value: object) -> object:
    return time_text(value) if isinstance(value, datetime) else value
