"""What the commands on cards share: the cards of the chapters that are named, the file
of progress.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml

from course_lib.course.cards.reader import read_cards
from course_lib.course.cards.schema import Card
from course_lib.course.cards.sound import left_text
from course_lib.course.cards.store import Store, default_path
from course_lib.course.cli.console import ERR
from course_lib.kit.units import plural

ROOT = Path(__file__).resolve().parents[3]
BOOK = ROOT / "book"

Chapters = Annotated[
    list[str] | None,
    typer.Option(
        "--chapter",
        metavar="N",
        help="Only this chapter, by number or name; give it again for more.",
        autocompletion=lambda: [
            path.stem for path in sorted((BOOK / "cards").glob("*.yml"))
        ],
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="File that keeps your progress; COURSE_STATE names it too.",
        show_default=False,
    ),
]


def find_cards(chapters: Sequence[str] | None) -> tuple[Card, ...]:
    """Return the cards of the chapters, all of them if none is named.

    Raises: ValueError if there are no cards, or a name or number is no chapter that has
        some.
    """
    if not (BOOK / "curriculum.yml").is_file():
        raise ValueError(
            "no cards: they come with the course's "
            "repository, not with the library alone"
        )
    curriculum = yaml.safe_load((BOOK / "curriculum.yml").read_text(encoding="utf-8"))
    cards = read_cards(BOOK / "cards", curriculum)
    there = list(dict.fromkeys(card.chapter for card in cards))
    wanted = [_chapter(text, there) for text in chapters or there]
    return tuple(card for card in cards if card.chapter in wanted)


def _chapter(text: str, there: Sequence[str]) -> str:
    for name in there:
        if text == name or (text.isdecimal() and int(text) == int(name.split("_")[0])):
            return name
    raise ValueError(
        f"chapter={text!r}: allowed are {', '.join(there)}, or their numbers"
    )


def now() -> datetime:
    """Return the time by which cards are due; tests set another."""
    return datetime.now(UTC)


def open_store(state: Path | None) -> Store:
    """Open the file of progress; say so when an unreadable one was set aside."""
    store = Store(state or default_path())
    if store.set_aside:
        progress = store.progress()
        rest = (
            f" with {plural(len(progress.cards), 'card')} and "
            f"{plural(len(progress.log), 'review')} that are sound"
            if progress.log or progress.cards
            else ""
        )
        ERR.print(
            f"{store.path} could not be read as a whole: {left_text(store.left_out)}. "
            f"It is kept as {store.set_aside}; a new file was begun{rest}.",
            soft_wrap=True,
        )
    return store
