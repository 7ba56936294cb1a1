"""A quiz for a class in the terminal: cards, numbers and orders fixed by a seed, the
same as on the page; a score at the end, and nothing kept. `course quiz check` reads the
result that a learner hands in from the page.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cards.quiz import pick
from course_lib.course.cards.result import check_cards, read_result
from course_lib.course.cards.schema import Card
from course_lib.course.cli.asking import Ended, Screen, asked
from course_lib.course.cli.console import INTERRUPTED, JSON, answer, say
from course_lib.course.cli.decks import find_cards
from course_lib.kit.units import plural

COUNT = 10


def class_quiz(
    cards: Sequence[Card], seed: str, count: int | None, screen: Screen, as_json: bool
) -> None:
    chosen = pick(cards, min(COUNT, len(cards)) if count is None else count, seed)
    screen.say(f"Quiz {seed}: {plural(len(chosen), 'card')}. Nothing is kept. q ends.")
    results: list[dict[str, Any]] = []
    interrupted = False
    try:
        for number, card in enumerate(chosen, start=1):
            screen.say(f"\n[{number} of {len(chosen)}] {card.chapter}: {card.id}")
            right = asked(card, f"{seed}:{card.id}", screen)
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


def check(
    file: Annotated[
        Path, typer.Argument(help="A result that the page of quizzes saved.")
    ],
    as_json: JSON = False,
) -> None:
    """Check the result of a class quiz: its checksum, its score, and that the questions
    are those of its seed.
    """
    try:
        result = read_result(file.read_text(encoding="utf-8"))
        check_cards(result, find_cards(result.chapters))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    facts = {
        "name": result.name,
        "seed": result.seed,
        "finished": result.finished,
        "right_cards": result.right,
        "cards": len(result.answers),
        "answers": dict(result.answers),
    }
    answer(facts, as_json, show_checked)


def show_checked(facts: Mapping[str, Any]) -> None:
    """Say whose result it is."""
    say(
        f"{facts['name'] or 'no name'}: {facts['right_cards']} of "
        f"{plural(facts['cards'], 'card')} right, quiz {facts['seed']}, "
        f"{facts['finished']}"
    )
