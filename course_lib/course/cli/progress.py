"""`course quiz due`, `export` and `import`: what is kept of a learner, counted, written
out and merged in.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cards.progress import read_progress, write_progress
from course_lib.course.cards.schedule import Memory
from course_lib.course.cards.schema import Card
from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.decks import Chapters, State, find_cards, open_store
from course_lib.kit.units import plural


def due_counts(cards: Sequence[Card], memories: Mapping[str, Memory]) -> dict[str, int]:
    """Return how many of the cards are due now, wait for later, and are new."""
    now = datetime.now(UTC)
    seen = [memories[card.id] for card in cards if card.id in memories]
    due = sum(memory.due <= now for memory in seen)
    return {"due": due, "later": len(seen) - due, "new": len(cards) - len(seen)}


def due(chapter: Chapters = None, state: State = None, as_json: JSON = False) -> None:
    """Count the cards of each chapter that are due, wait for later, or are new."""
    with open_store(state) as store:
        memories = store.memories()
    cards = find_cards(chapter)
    chapters = {
        name: [card for card in cards if card.chapter == name]
        for name in dict.fromkeys(c.chapter for c in cards)
    }
    rows = [
        {
            "chapter": name,
            **{f"{key}_cards": n for key, n in due_counts(deck, memories).items()},
        }
        for name, deck in chapters.items()
    ]
    answer({"chapters": rows}, as_json, show_due)


def show_due(facts: Mapping[str, Any]) -> None:
    """Print the counts of each chapter."""
    table(
        ("chapter", "#due", "#later", "#new"),
        [tuple(row.values()) for row in facts["chapters"]],
    )


def export(
    file: Annotated[Path, typer.Argument(help="Where to write.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there.")
    ] = False,
    state: State = None,
    as_json: JSON = False,
) -> None:
    """Write your progress to a file that the page's "import" and `course quiz import`
    read.
    """
    if file.exists() and not force:
        raise ValueError(f"{file} is there already; --force replaces it")
    with open_store(state) as store:
        progress = store.progress()
    try:
        file.write_text(write_progress(progress, datetime.now(UTC)), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be written ({error.strerror})") from error
    facts = {
        "path": str(file),
        "cards": len(progress.cards),
        "reviews": len(progress.log),
    }
    answer(facts, as_json, show_kept)


def import_(
    file: Annotated[
        Path, typer.Argument(help="A file that the page or `course quiz export` wrote.")
    ],
    state: State = None,
    as_json: JSON = False,
) -> None:
    """Merge the progress of a file into yours: every review once, each card as if made
    in one place.
    """
    try:
        theirs = read_progress(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    with open_store(state) as store:
        before = len(store.progress().log)
        progress = store.include(theirs)
    facts = {
        "path": str(file),
        "cards": len(progress.cards),
        "reviews": len(progress.log),
    }
    facts["added_reviews"] = facts["reviews"] - before
    answer(facts, as_json, show_kept)


def show_kept(facts: Mapping[str, Any]) -> None:
    """Say how much the file holds now."""
    added = (
        f"{plural(facts['added_reviews'], 'review')} added; "
        if "added_reviews" in facts
        else ""
    )
    say(
        f"{added}{plural(facts['reviews'], 'review')} of "
        f"{plural(facts['cards'], 'card')}: {facts['path']}"
    )
