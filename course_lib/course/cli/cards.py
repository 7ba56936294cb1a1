"""`course cards list`, `course cards export`: what is asked, and decks for Anki, Moodle
and a table.
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cards.gift import gift_text
from course_lib.course.cards.plain import plain
from course_lib.course.cards.sheets import csv_text, sheets
from course_lib.course.cards.variants import variants
from course_lib.course.cli.console import JSON, answer, plainly, say, table
from course_lib.course.cli.decks import ROOT, Chapters, find_cards
from course_lib.kit.units import plural

app = typer.Typer(
    no_args_is_help=True, help="The course's cards: list them, or export a deck."
)


class Format(StrEnum):
    """What a deck can be written as."""

    anki = "anki"
    csv = "csv"
    gift = "gift"


def list_(chapter: Chapters = None, as_json: JSON = False) -> None:
    """List the cards with their kind and topics."""
    rows = [
        {
            "card": card.id,
            "chapter": card.chapter,
            "kind": card.kind,
            "topics": list(card.topics),
            "variants": len(shown),
            "question": plain(shown[0].question),
        }
        for card in find_cards(chapter)
        for shown in [variants(card, ROOT)]
    ]
    answer({"cards": rows}, as_json, show_list)


def show_list(facts: Mapping[str, Any]) -> None:
    """Print the cards as a table."""
    rows = [
        (one["card"], one["kind"], one["variants"], one["question"])
        for one in facts["cards"]
    ]
    table(("card", "kind", "#variants", "question"), rows)
    kinds = Counter(one["kind"] for one in facts["cards"])
    say(
        f"{plural(len(rows), 'card')}: "
        + ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    )


def export(
    file: Annotated[Path, typer.Argument(help="Where to write.")],
    to: Annotated[
        Format,
        typer.Option(help="anki: .apkg; csv: a table; gift: Moodle's text format."),
    ],
    chapter: Chapters = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Write a deck for another program. An export of a later edition updates an Anki
    deck in place.
    """
    if file.exists() and not force:
        raise ValueError(f"{file} is there already; --force replaces it")
    cards = find_cards(chapter)
    try:
        if to is Format.anki:
            from course_lib.course.cards.anki import write_anki

            write_anki(cards, ROOT, file)
        else:
            text = csv_text(cards, ROOT) if to is Format.csv else gift_text(cards, ROOT)
            file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror})") from error
    facts = {
        "path": str(file),
        "format": to.value,
        "cards": len(cards),
        "questions": len(sheets(cards, ROOT)),
    }
    answer(facts, as_json, show_export)


def show_export(facts: Mapping[str, Any]) -> None:
    """Say what was written."""
    say(
        f"{plural(facts['questions'], 'question')} of "
        f"{plural(facts['cards'], 'card')}: {facts['path']}"
    )


app.command("list")(plainly(list_))
app.command("export")(plainly(export))
