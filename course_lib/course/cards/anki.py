r"""Cards as an Anki package: an update of the course updates a learner's notes and
leaves the schedule alone.

Anki knows a note by its GUID, a note type and a deck by their numbers. All are hashes
of fixed texts and card
ids, so a later export has the same ones: on import Anki replaces the fields of the
notes it knows, and their cards keep their due dates.
"""

import hashlib
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import genanki

from course_lib.course.cards.pages import page_of
from course_lib.course.cards.schema import Card
from course_lib.course.cards.sheets import sheets, to_html

NAME = "Architecture, Measured"
FIELDS = ("Id", "Question", "Answer", "Read")
CSS = """.card { font-family: sans-serif; font-size: 20px; line-height: 1.5; max-width:
40em; margin: 0 auto; text-align: left; } code { font-size: 0.9em; } .read { color:
#767676; font-size: 0.8em; }"""
TEMPLATE = {
    "name": "Card",
    "qfmt": "{{Question}}",
    "afmt": '{{FrontSide}}<hr id="answer">{{Answer}}<p class="read">{{Read}}</p>',
}


def write_anki(
    cards: Iterable[Card],
    root: str | Path,
    path: str | Path,
    timestamp: float | None = None,
) -> int:
    """Write a package with a deck for each chapter, and return how many notes it has.

    Args:
        cards, root: as `sheets`.
        path: the .apkg file.
        timestamp: seconds since 1970, kept as the time of the notes; now, if None. Anki
            updates a note only from a package that is newer.
    Raises:
        ValueError as `variants` and `page_of`; OSError if the file cannot be written.
    """
    model = genanki.Model(
        number("model"),
        f"{NAME} (card)",
        [{"name": name} for name in FIELDS],
        [TEMPLATE],
        css=CSS,
    )
    decks, notes = [], 0
    for chapter, group in groupby(
        sheets(cards, root), key=lambda sheet: sheet.card.chapter
    ):
        deck = genanki.Deck(number(f"deck/{chapter}"), f"{NAME}::{chapter}")
        for sheet in group:
            section = sheet.card.section
            read = f"{page_of(root, chapter, section)}#{section}"
            content = [sheet.id, to_html(sheet.question), to_html(sheet.answer), read]
            tags = [chapter, sheet.card.kind, *sheet.card.topics]
            deck.add_note(genanki.Note(model, content, guid=guid(sheet.id), tags=tags))
            notes += 1
        decks.append(deck)
    genanki.Package(decks).write_to_file(str(path), timestamp=timestamp)
    return notes


def number(what: str) -> int:
    """Return a number of 31 bits for a note type or a deck, the same for ever.

    >>> number("model")
    1212085838
    """
    return (1 << 30) | int.from_bytes(_hash(what)[:4], "big") >> 2


def guid(sheet_id: str) -> str:
    """Return a note's GUID from its sheet's id."""
    return _hash(f"note/{sheet_id}").hex()[:20]


def _hash(what: str) -> bytes:
    return hashlib.sha256(f"architecture-measured/{what}".encode()).digest()
