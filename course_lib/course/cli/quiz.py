"""`course quiz`: the cards that are due, then new ones, with what was learnt kept in a
file of the learner's.

Each review is on disk before the next question. With `--seed` or `--count` it is a quiz
for a class instead: cards, numbers and orders fixed by the seed, the same as on the
page; a score at the end, and nothing kept.
"""

import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from course_lib.course.cards.progress import time_text
from course_lib.course.cards.quiz import choose, pick
from course_lib.course.cards.schedule import GOOD, RATINGS, Memory
from course_lib.course.cards.schema import Card
from course_lib.course.cards.store import Store
from course_lib.course.cards.variants import variants
from course_lib.course.cli.asking import Ended, Screen, ask, rate
from course_lib.course.cli.console import JSON, OUT, answer, plainly, say
from course_lib.course.cli.decks import ROOT, Chapters, State, find_cards, open_store
from course_lib.course.cli.progress import due, due_counts, export, import_
from course_lib.kit.units import plural

COUNT = 10
INTERRUPTED = 128 + signal.SIGINT

app = typer.Typer(help="Review the cards that are due, then new ones.")


def quiz(
    context: typer.Context,
    chapter: Chapters = None,
    new: Annotated[int, typer.Option(min=0, help="At most so many new cards.")] = COUNT,
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
        _class_quiz(cards, seed or secrets.token_hex(3), count, screen, as_json)
    else:
        with open_store(state) as store:
            _reviews(cards, store, new, screen, as_json)


def _reviews(
    cards: Sequence[Card], store: Store, new: int, screen: Screen, as_json: bool
) -> None:
    done: list[dict[str, Any]] = []
    waiting = [card for card in cards if card.id not in store.memories()][:new]
    counts = due_counts(cards, store.memories())
    screen.say(
        f"{counts['due']} due, {len(waiting)} new of {counts['new']}. q ends; every "
        "review is kept at once."
    )
    interrupted = False
    try:
        while card := _next(cards, store.memories(), waiting):
            memory = store.memories().get(card.id)
            screen.say(
                f"\n[{len(done) + 1}] {card.chapter}, "
                f"{'due' if memory else 'new'}: {card.id}"
            )
            seed = f"{card.id}:{memory.reps if memory else 0}"
            kept, rating = _reviewed(card, seed, store, screen)
            wait_s = (kept.due - kept.last_review).total_seconds()
            screen.say(f"Again in {wait_text(wait_s)}.")
            done.append(
                {"card": card.id, "rating": RATINGS[rating], "due": time_text(kept.due)}
            )
    except (Ended, KeyboardInterrupt) as end:
        interrupted = isinstance(end, KeyboardInterrupt)
        screen.say()
    memories = store.memories()
    facts = {
        "state_file": str(store.path),
        "reviewed_cards": len(done),
        "again_cards": sum(one["rating"] == "again" for one in done),
        "reviews": done,
        **{
            f"{name}_cards": number
            for name, number in due_counts(cards, memories).items()
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
    right = _asked(card, seed, screen)
    try:
        rating = rate(right, screen)
    except (Ended, KeyboardInterrupt):
        if right:
            store.review(card.id, GOOD, datetime.now(UTC))
        raise
    return store.review(card.id, rating, datetime.now(UTC)), rating


def _asked(card: Card, seed: str, screen: Screen) -> bool | None:
    """Ask the variant that the seed draws."""
    shown = variants(card, ROOT)
    return ask(card, shown[choose(len(shown), seed)], seed, screen)


def _next(
    cards: Sequence[Card], memories: Mapping[str, Memory], waiting: list[Card]
) -> Card | None:
    """Return the card that has been due longest, else the next new one, else None."""
    now = datetime.now(UTC)
    due = [
        card for card in cards if card.id in memories and memories[card.id].due <= now
    ]
    if due:
        return min(due, key=lambda card: memories[card.id].due)
    return waiting.pop(0) if waiting else None


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
        f"{facts['due_cards']} due, {facts['later_cards']} later, "
        f"{facts['new_cards']} new."
    )


def _class_quiz(
    cards: Sequence[Card], seed: str, count: int | None, screen: Screen, as_json: bool
) -> None:
    chosen = pick(cards, min(COUNT, len(cards)) if count is None else count, seed)
    screen.say(f"Quiz {seed}: {plural(len(chosen), 'card')}. Nothing is kept. q ends.")
    results: list[dict[str, Any]] = []
    interrupted = False
    try:
        for number, card in enumerate(chosen, start=1):
            screen.say(f"\n[{number} of {len(chosen)}] {card.chapter}: {card.id}")
            right = _asked(card, f"{seed}:{card.id}", screen)
            if right is None:
                right = screen.ask("Did you know it? y or n: ", _yes)
            results.append({"card": card.id, "right": right})
    except (Ended, KeyboardInterrupt) as end:
        interrupted = isinstance(end, KeyboardInterrupt)
        screen.say()
    right = sum(one["right"] for one in results)
    facts = {
        "seed": seed,
        "cards": len(chosen),
        "answered_cards": len(results),
        "right_cards": right,
    }
    answer(facts | {"results": results}, as_json, show_score)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _yes(line: str) -> bool:
    if line.casefold() not in ("y", "yes", "n", "no"):
        raise ValueError(f"{line!r}: allowed are y and n")
    return line.casefold().startswith("y")


def show_score(facts: Mapping[str, Any]) -> None:
    """Say the score."""
    answered = f"{facts['answered_cards']} answered"
    say(
        f"{facts['right_cards']} of {plural(facts['cards'], 'card')} right; {answered}."
    )


app.callback(invoke_without_command=True)(plainly(quiz))
app.command("due")(plainly(due))
app.command("export")(plainly(export))
app.command("import")(plainly(import_))
