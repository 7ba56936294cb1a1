"""The file of a learner's progress as SQLite sees it: its tables, and what is done with
a damaged one.
"""

import sqlite3
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from course_lib.course.cards.schedule import Memory

APPLICATION, SCHEMA = 0x41724D65, 2  # "ArMe": says that the file is ours
MEMORY = tuple(field.name for field in fields(Memory))
TABLES = (
    """
    CREATE TABLE cards (
        card TEXT PRIMARY KEY, due TEXT NOT NULL, stability REAL NOT NULL, difficulty
        REAL NOT NULL, state INTEGER NOT NULL, step INTEGER, last_review TEXT NOT NULL,
        reps INTEGER NOT NULL, lapses INTEGER NOT NULL)
    """,
    """
    CREATE TABLE log (
        at TEXT NOT NULL, card TEXT NOT NULL, rating INTEGER NOT NULL, UNIQUE (at, card,
        rating))
    """,
    f"PRAGMA application_id = {APPLICATION}",
)
SECOND = (  # what schema 2 adds
    """
    CREATE TABLE suspended (
        card TEXT PRIMARY KEY, at TEXT NOT NULL, is_on INTEGER NOT NULL)
    """,
    f"PRAGMA user_version = {SCHEMA}",
)


def rows_of(path: Path) -> tuple[dict, list, dict]:
    """Return what can be read of a damaged file, as a progress file would have it. The
    file is not changed.
    """
    columns = {
        "cards": ("card", *MEMORY),
        "log": ("card", "rating", "at"),
        "suspended": ("card", "at", "is_on"),
    }
    found: dict[str, list[dict]] = {name: [] for name in columns}
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        for table, names in columns.items():
            with suppress(sqlite3.Error):  # what comes before the damage is kept
                for row in connection.execute(
                    f"SELECT {', '.join(names)} FROM {table}"
                ):
                    found[table].append(dict(zip(names, row, strict=True)))
    finally:
        connection.close()
    suspended = {
        row["card"]: {"at": row["at"], "on": row["is_on"] == 1}
        for row in found["suspended"]
    }
    cards = {str(row.pop("card")): row for row in found["cards"]}
    return cards, found["log"], suspended


def put_aside(path: Path, now: datetime) -> Path:
    """Rename an unreadable file to a dated name that is free, its journal with it, and
    return that name.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    endings = ("", *(f"-{number}" for number in range(2, 1000)))
    names = (
        path.with_name(f"{path.name}.unreadable-{stamp}{ending}") for ending in endings
    )
    target = next(name for name in names if not name.exists())
    path.rename(target)
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        journal.rename(target.with_name(f"{target.name}-journal"))
    return target
