"""`course quiz`: the cards that are due, then new ones, with what was learnt kept in a
file of the learner's.

Each review is on disk before the next question. With `--seed` or `--count` it is a quiz
for a class instead: cards, numbers and orders fixed by the seed, the same as on the
page; a score at the end, and nothing kept.
"""

import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from course_lib.course.cards.day import day_of
from course_lib.course.cards.entries import time_text
from course_lib.course.cards.schedule import GOOD, RATINGS, REVIEW, Memory
from course_lib.course.cards.schema import Card
from course_lib.course.cards.store import Store
from course_lib.course.cards.today import NEW_A_DAY, introduced, next_card
from course_lib.course.cli import decks
from course_lib.course.cli.asking import Ended, Screen, asked, rate
from course_lib.course.cli.class_quiz import COUNT, check, class_quiz
from course_lib.course.cli.console import (
    INTERRUPTED,
    JSON,
    OUT,
    answer,
    plainly,
    say,
)
from course_lib.course.cli.decks import Chapters, State, find_cards, open_store
from course_lib.course.cli.progress import (
    due,
    due_counts,
    export,
    import_,
    stats,
    suspend,
)
from course_lib.kit.units import plural

app = typer.Typer(help="Review the cards that are due, then new ones.")


def quiz(
    context: typer.Context,
    chapter: Chapters = None,
    new: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"At most so many new cards (what is left of {NEW_A_DAY} a day).",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            help="A quiz for a class: the same cards for everybody who has it."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help=f"Cards of such a quiz ({COUNT}).")
    ] = None,
    state: State = None,
    as_json: JSON = False,
) -> None:
    """Review the cards that are due, then new ones.

    q, Ctrl-D or Ctrl-C ends at any question; every review given before it is kept. With
    --seed or --count: a scored quiz, of which nothing is kept. With --json the
    questions go to stderr and the result to stdout.
    """
    if context.invoked_subcommand:
        return
    cards, screen = find_cards(chapter), Screen(sys.stderr if as_json else OUT.file)
    if seed is not None or count is not None:
        class_quiz(cards, seed or secrets.token_hex(3), count, screen, as_json)
    else:
        with open_store(state) as store:
            _reviews(cards, store, new, screen, as_json)


def _reviews(
    cards: Sequence[Card], store: Store, new: int | None, screen: Screen, as_json: bool
) -> None:
    done: list[dict[str, Any]] = []
    by_id = {card.id: card for card in cards}
    progress = store.progress()
    if new is None:
        new = max(0, NEW_A_DAY - introduced(progress, decks.now()))
    counts = due_counts(cards, progress)
    screen.say(
        f"{counts['due']} due, {min(new, counts['new'])} new of {counts['new']}. "
        "q ends; every review is kept at once."
    )
    suspended = progress.suspended_cards
    interrupted, last = False, None
    try:
        while card := by_id.get(
            last := next_card(
                list(by_id), store.memories(), suspended, decks.now(), new, last
            )
        ):
            memory = store.memories().get(card.id)
            screen.say(
                f"\n[{len(done) + 1}] {card.chapter}, "
                f"{'due' if memory else 'new'}: {card.id}"
            )
            seed = f"{card.id}:{memory.reps if memory else 0}"
            kept, rating = _reviewed(card, seed, store, screen)
            new -= memory is None
            screen.say(f"Again {again_text(kept)}.")
            done.append(
                {"card": card.id, "rating": RATINGS[rating], "due": time_text(kept.due)}
            )
    except (Ended, KeyboardInterrupt) as end:
        interrupted = isinstance(end, KeyboardInterrupt)
        screen.say()
    progress = store.progress()
    memories = progress.cards
    facts = {
        "state_file": str(store.path),
        "reviewed_cards": len(done),
        "again_cards": sum(one["rating"] == "again" for one in done),
        "reviews": done,
        **{
            f"{name}_cards": number
            for name, number in due_counts(cards, progress).items()
        },
        "next_due": min(
            (
                time_text(m.due)
                for id, m in memories.items()
                if id in {c.id for c in cards}
            ),
            default=None,
        ),
    }
    answer(facts, as_json, show_reviews)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _reviewed(
    card: Card, seed: str, store: Store, screen: Screen
) -> tuple[Memory, int]:
    """Ask, rate and keep; a right answer whose rating is cut off is kept as Good."""
    right = asked(card, seed, screen)
    try:
        rating = rate(right, screen)
    except (Ended, KeyboardInterrupt):
        if right:
            store.review(card.id, GOOD, decks.now())
        raise
    return store.review(card.id, rating, decks.now()), rating


def again_text(memory: Memory) -> str:
    """Say when a card is asked again: in minutes, or on another day."""
    if memory.state != REVIEW:
        return f"in {wait_text((memory.due - memory.last_review).total_seconds())}"
    days = day_of(memory.due) - day_of(memory.last_review)
    return f"in {wait_text(86400 * max(1, days))}"


def wait_text(seconds: float) -> str:
    """A waiting time as one says it.

    >>> wait_text(60), wait_text(330), wait_text(86400), wait_text(8 * 86400)
    ('1 minute', '6 minutes', '1 day', '8 days')
    """
    if seconds < 3600:
        return plural(max(1, int(seconds / 60 + 0.5)), "minute")
    return (
        plural(round(seconds / 3600), "hour")
        if seconds < 86400
        else plural(round(seconds / 86400), "day")
    )


def show_reviews(facts: Mapping[str, Any]) -> None:
    """Say what was done and what waits."""
    again = f", {facts['again_cards']} of them again" if facts["again_cards"] else ""
    say(
        f"{plural(facts['reviewed_cards'], 'review')}{again}; kept in "
        f"{facts['state_file']}"
    )
    say(
        f"{facts['due_cards']} due, {facts['soon_cards']} in minutes, "
        f"{facts['later_cards']} on later days, {facts['new_cards']} new."
    )


app.callback(invoke_without_command=True)(plainly(quiz))
app.command("due")(plainly(due))
app.command("export")(plainly(export))
app.command("import")(plainly(import_))
app.command("stats")(plainly(stats))
app.command("suspend")(plainly(suspend))
app.command("check")(plainly(check))
