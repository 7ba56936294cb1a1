"""`course quiz due`, `export`, `import`, `stats` and `suspend`: what is kept of a
learner, counted, written out, merged in, and left alone for a while.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cards.day import day_text
from course_lib.course.cards.progress import Progress, write_progress
from course_lib.course.cards.schema import Card
from course_lib.course.cards.sound import left_text, sound_progress
from course_lib.course.cards.statistics import statistics
from course_lib.course.cards.today import groups
from course_lib.course.cli import decks
from course_lib.course.cli.console import ERR, JSON, answer, say, table
from course_lib.course.cli.decks import Chapters, State, find_cards, open_store
from course_lib.kit.units import plural, share_text


def due_counts(cards: Sequence[Card], progress: Progress) -> dict[str, int]:
    """Return how many of the cards are due, come in minutes, wait for later days, are
    new, and are suspended.
    """
    ids, suspended = [card.id for card in cards], progress.suspended_cards
    found = groups(ids, progress.cards, suspended, decks.now())
    found["new"] = found.pop("fresh")
    return {
        name: len(found[name]) for name in ("due", "soon", "later", "new", "suspended")
    }


def due(chapter: Chapters = None, state: State = None, as_json: JSON = False) -> None:
    """Count the cards of each chapter that are due, wait for later, or are new."""
    with open_store(state) as store:
        progress = store.progress()
    cards = find_cards(chapter)
    chapters = {
        name: [card for card in cards if card.chapter == name]
        for name in dict.fromkeys(c.chapter for c in cards)
    }
    rows = [
        {
            "chapter": name,
            **{f"{key}_cards": n for key, n in due_counts(deck, progress).items()},
        }
        for name, deck in chapters.items()
    ]
    answer({"chapters": rows}, as_json, show_due)


def show_due(facts: Mapping[str, Any]) -> None:
    """Print the counts of each chapter."""
    table(
        ("chapter", "#due", "#in minutes", "#later", "#new", "#suspended"),
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
        file.write_text(write_progress(progress, decks.now()), encoding="utf-8")
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
    in one place. What makes no sense in the file is left out and said.
    """
    try:
        text = file.read_bytes().decode("utf-8", "replace")
        theirs, left = sound_progress(text)
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
    facts["left_out"] = list(left)
    if left:
        ERR.print(f"{file}: left out: {left_text(left)}.", soft_wrap=True)
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


def suspend(
    card: Annotated[str, typer.Argument(help="The card's id, as `course cards list`.")],
    back: Annotated[
        bool, typer.Option("--back", help="Bring it back instead.")
    ] = False,
    state: State = None,
    as_json: JSON = False,
) -> None:
    """Suspend a card: it is not asked until you bring it back."""
    if card not in {one.id for one in find_cards(None)}:
        raise ValueError(f"card={card!r}: allowed is an id of `course cards list`")
    with open_store(state) as store:
        store.suspend(card, not back, decks.now())
        suspended = sorted(store.progress().suspended_cards)
    answer({"card": card, "suspended": suspended}, as_json, show_suspended)


def show_suspended(facts: Mapping[str, Any]) -> None:
    """Say which cards are suspended now."""
    on = facts["card"] in facts["suspended"]
    say(f"{facts['card']}: {'suspended' if on else 'asked again'}.")


def stats(chapter: Chapters = None, state: State = None, as_json: JSON = False) -> None:
    """Count reviews, what was remembered, and what will be due, from your log."""
    with open_store(state) as store:
        progress = store.progress()
    ids = [card.id for card in find_cards(chapter)]
    found = statistics(progress, ids, decks.now())
    days = [*found["a_day"], *found["forecast"]]
    for row in days:
        row["day"] = day_text(row["day"])
    answer(found, as_json, show_stats)


def show_stats(facts: Mapping[str, Any]) -> None:
    """Print the statistics: a few numbers, then the days on which something is."""
    for name, counted in (("last 30 days", facts["lately"]), ("ever", facts["ever"])):
        share = (
            counted["remembered"] / counted["reviews"] if counted["reviews"] else None
        )
        said = "nothing yet" if share is None else share_text(share)
        say(f"Remembered, {name}: {said} of {plural(counted['reviews'], 'review')}.")
    say(f"{plural(facts['reviews'], 'review')} on {plural(facts['studied'], 'day')}.")
    where = facts["stands"] | {"new": facts["stands"]["fresh"]}
    names = ("new", "learning", "young", "mature", "suspended")
    say(f"Cards: {', '.join(f'{where[name]} {name}' for name in names)}.")
    made = [row for row in facts["a_day"] if row["again"] or row["remembered"]]
    table(("day", "#again", "#remembered"), [tuple(row.values()) for row in made])
    waits = [row for row in facts["forecast"] if row["cards"]]
    table(("day", "#due"), [tuple(row.values()) for row in waits])
