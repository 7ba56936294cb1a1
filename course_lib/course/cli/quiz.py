"""`course quiz`: the cards that are due, then new ones, with what was learnt kept in a
file of the learner's.

Each review is on disk before the next question. With `--seed` or `--count` it is a quiz
for a class instead: cards, numbers and orders fixed by the seed, the same as on the
page; a score at the end, and nothing kept.
"""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from course_lib.course.cards.day import day_of
from course_lib.course.cards.entries import time_text
from course_lib.course.cards.schedule import GOOD, RATINGS, Memory
from course_lib.course.cards.schema import Card
from course_lib.course.cards.store import Given, Store
from course_lib.course.cards.today import NEW_A_DAY, introduced, next_card
from course_lib.course.cli import decks
from course_lib.course.cli.asking import Ended, Screen, TakenBack, asked, rate
from course_lib.course.cli.class_quiz import COUNT, check, class_quiz
from course_lib.course.cli.console import (
    INTERRUPTED,
    JSON,
    OUT,
    answer,
    plainly,
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
from course_lib.course.cli.reviewed import again_text, show_reviews

app = typer.Typer(help="Review the cards that are due, then new ones.")


def quiz(
    context: typer.Context,
    chapter: Chapters = None,
    new: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"New cards a day ({NEW_A_DAY}); those met today count.",
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

    q, Ctrl-D or Ctrl-C ends at any question; every review given before it is kept. u
    takes back the last rating of this sitting, and asks its card again. With
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


@dataclass
class _Sitting:
    """One sitting: what is asked next, how many new cards are left of the day, and what
    can be taken back.
    """

    cards: Sequence[Card]
    store: Store
    limit: int
    done: list[dict[str, Any]] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    again: str | None = None
    last: str | None = None

    def __post_init__(self) -> None:
        self.by_id = {card.id: card for card in self.cards}
        self.suspended = self.store.progress().suspended_cards
        self.count_day()

    def count_day(self) -> None:
        """Count what the day has left: `limit` less the cards met today."""
        self.day = day_of(decks.now())
        met = introduced(self.store.progress(), decks.now())
        self.left = max(0, self.limit - met)

    def next(self) -> Card | None:
        """The card to ask: one whose rating was taken back, or that of the day."""
        if day_of(decks.now()) != self.day:
            self.count_day()
        if self.again is None:
            stands = self.store.memories(), self.suspended, decks.now(), self.left
            self.last = next_card(list(self.by_id), *stands, self.last)
        else:
            self.again, self.last = None, self.again
        return self.by_id.get(self.last)

    def keep(self, card: Card, rating: int) -> Memory:
        """Keep a rating; a new card is one less of the day's."""
        before = self.store.memories().get(card.id)
        kept = self.store.review(card.id, rating, decks.now())
        self.given.append(Given(card.id, before, kept))
        self.left -= before is None
        shown = {"rating": RATINGS[rating], "due": time_text(kept.due)}
        self.done.append({"card": card.id, **shown})
        return kept

    def take_back(self) -> str:
        """Take back the last rating of this sitting, and say so."""
        if not self.given:
            self.again = self.last
            return "There is no rating to take back in this sitting."
        last = self.given.pop()
        self.done.pop()
        if not self.store.undo(last):
            return f"{last.card} was rated elsewhere since: nothing was taken back."
        self.count_day()
        self.again = last.card
        return f"The rating of {last.card} was taken back."


def _reviews(
    cards: Sequence[Card], store: Store, new: int | None, screen: Screen, as_json: bool
) -> None:
    sitting = _Sitting(cards, store, NEW_A_DAY if new is None else new)
    screen.takes_back = True
    counts = due_counts(cards, store.progress())
    screen.say(
        f"{counts['due']} due, {min(sitting.left, counts['new'])} new of "
        f"{counts['new']}. u takes the last rating back, q ends; every review is kept "
        "at once."
    )
    interrupted = False
    try:
        while card := sitting.next():
            try:
                _ask_and_keep(card, sitting, screen)
            except TakenBack:
                screen.say(sitting.take_back())
    except (Ended, KeyboardInterrupt) as end:
        interrupted = isinstance(end, KeyboardInterrupt)
        screen.say()
    progress = store.progress()
    facts = {
        "state_file": str(store.path),
        "reviewed_cards": len(sitting.done),
        "again_cards": sum(one["rating"] == "again" for one in sitting.done),
        "reviews": sitting.done,
        **{
            f"{name}_cards": number
            for name, number in due_counts(cards, progress).items()
        },
        "next_due": min(
            (
                time_text(memory.due)
                for id, memory in progress.cards.items()
                if id in sitting.by_id
            ),
            default=None,
        ),
    }
    answer(facts, as_json, show_reviews)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _ask_and_keep(card: Card, sitting: _Sitting, screen: Screen) -> None:
    """Ask, rate and keep; a right answer whose rating is cut off is kept as Good."""
    memory = sitting.store.memories().get(card.id)
    screen.say(
        f"\n[{len(sitting.done) + 1}] {card.chapter}, "
        f"{'due' if memory else 'new'}: {card.id}"
    )
    right = asked(card, f"{card.id}:{memory.reps if memory else 0}", screen)
    try:
        rating = rate(right, screen)
    except (Ended, KeyboardInterrupt):
        if right:
            sitting.store.review(card.id, GOOD, decks.now())
        raise
    screen.say(f"Again {again_text(sitting.keep(card, rating))}.")


app.callback(invoke_without_command=True)(plainly(quiz))
app.command("due")(plainly(due))
app.command("export")(plainly(export))
app.command("import")(plainly(import_))
app.command("stats")(plainly(stats))
app.command("suspend")(plainly(suspend))
app.command("check")(plainly(check))
