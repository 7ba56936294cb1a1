"""One card asked on a terminal, or over a pipe, line by line: question, answer, why.

A line is an answer. `q` ends the quiz at any question, and so does the end of the
input; `u` takes back the last rating of a review. What cannot be read is asked again
and counts for nothing.
"""

import re
import sys
import textwrap
from collections.abc import Callable
from typing import TextIO

from course_lib.course.cards.pages import page_of
from course_lib.course.cards.plain import plain
from course_lib.course.cards.quiz import choose, shown_order
from course_lib.course.cards.schedule import AGAIN, EASY, GOOD, HARD
from course_lib.course.cards.schema import Card, Choice, Computed, Match, Order, Predict
from course_lib.course.cards.units import read_number
from course_lib.course.cards.variants import Variant, variants
from course_lib.course.cli.decks import ROOT

WIDTH = 88
LETTERS = "abcdefghijklmnopqrstuvwxyz"
RATINGS = {
    "1": AGAIN,
    "2": HARD,
    "3": GOOD,
    "4": EASY,
    "a": AGAIN,
    "h": HARD,
    "g": GOOD,
    "e": EASY,
}


class Ended(Exception):
    """The learner said q, or the input ended."""


class TakenBack(Exception):
    """The learner said u: the last rating does not count."""


class Screen:
    """Where questions are written and answers read. Answers come from stdin when it is
    asked, not before. `takes_back`: u takes the last rating back.
    """

    def __init__(self, out: TextIO) -> None:
        self.out, self.takes_back = out, False
        for stream in (out, sys.stdin):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(
                    errors="replace"
                )  # a sign that the terminal lacks ends no quiz

    def say(self, text: str = "", indent: str = "") -> None:
        """Write a paragraph, wrapped; `indent` stands before every line but the first's
        hanging part.
        """
        blocks = [
            textwrap.fill(
                block, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent)
            )
            for block in text.split("\n")
        ]
        self.out.write("\n".join(blocks) + "\n")

    def ask(self, prompt: str, read: Callable[[str], object]) -> object:
        """Return what `read` makes of a line; it is asked for again while `read` raises
        ValueError.

        Raises: Ended at `q` or the end of the input; TakenBack at `u`, where a rating
            can be taken back.
        """
        while True:
            self.out.write(prompt)
            self.out.flush()
            line = sys.stdin.readline()
            if not line or line.strip().casefold() == "q":
                if not line:
                    self.out.write("\n")
                raise Ended
            if self.takes_back and line.strip().casefold() == "u":
                raise TakenBack
            try:
                return read(line.strip())
            except ValueError as error:
                self.say(f"{error}; q ends.")


def ask(card: Card, variant: Variant, seed: str, screen: Screen) -> bool | None:
    """Ask a card, say whether the answer is right and why; None where only the learner
    can judge.

    `seed` fixes the order in which options, items and right sides are shown.

    Raises: Ended at `q` or the end of the input.
    """
    screen.say(plain(variant.question))
    match card:
        case Choice():
            return _choice(card, seed, screen)
        case Computed() | Predict():
            return _number(card, variant, screen)
        case Order():
            return _order(card, variant, seed, screen)
        case Match():
            return _match(card, variant, seed, screen)
    screen.ask("Enter shows the answer: ", str)
    screen.say(plain(variant.explanation), indent="  ")
    return None


def asked(card: Card, seed: str, screen: Screen) -> bool | None:
    """Ask the variant of a card that the seed draws, as `ask` does."""
    shown = variants(card, ROOT)
    return ask(card, shown[choose(len(shown), seed)], seed, screen)


def rate(right: bool | None, screen: Screen) -> int:
    """Return the rating of a review: Again for what was wrong; the learner says it for
    what was not.

    Raises: Ended at `q` or the end of the input.
    """
    if right is False:
        return AGAIN
    if right:
        return screen.ask(
            "Enter: good. h: hard, e: easy: ",
            lambda line: _rating(line or "g", "ghe234"),
        )
    prompt = "How well did you know it? 1 again, 2 hard, 3 good, 4 easy: "
    return screen.ask(prompt, lambda line: _rating(line, "1234ahge"))


def _rating(line: str, allowed: str) -> int:
    if len(line) != 1 or line.casefold() not in allowed:
        raise ValueError(f"{line!r}: allowed is one of {', '.join(allowed)}")
    return RATINGS[line.casefold()]


def letters(line: str, count: int, wanted: int) -> list[int]:
    """Return the places that letters name: `wanted` different ones of the first
    `count`.

    >>> letters("c, a b", 3, 3), letters("B", 4, 1)
    ([2, 0, 1], [1])
    """
    found = [LETTERS.find(letter) for letter in re.sub(r"[\s,;)]", "", line.casefold())]
    if (
        len(found) != wanted
        or len(set(found)) != wanted
        or not all(0 <= place < count for place in found)
    ):
        kind = (
            "one letter"
            if wanted == 1
            else f"{wanted} different letters, such as {' '.join(LETTERS[:wanted])},"
        )
        raise ValueError(f"{line!r}: allowed is {kind} from a to {LETTERS[count - 1]}")
    return found


def _choice(card: Choice, seed: str, screen: Screen) -> bool:
    options = [card.options[place] for place in shown_order(len(card.options), seed)]
    for letter, option in zip(LETTERS, options, strict=False):
        screen.say(plain(option.text), indent=f"  {letter}) ")
    (place,) = screen.ask("Which? ", lambda line: letters(line, len(options), 1))
    chosen = options[place]
    if not chosen.correct:
        screen.say(f"No. {plain(chosen.because)}")
        screen.say(
            f"Right is {LETTERS[options.index(card.answer)]}: "
            f"{plain(card.answer.text)}."
        )
        screen.say(plain(card.answer.because), indent="  ")
        _point(card, chosen.section, screen)
    else:
        screen.say(f"Right. {plain(chosen.because)}")
    return chosen.correct


def _number(card: Card, variant: Variant, screen: Screen) -> bool:
    unit = f" ({variant.unit})" if variant.unit else ""
    number = screen.ask(
        f"Your number{unit}: ", lambda line: read_number(line, variant.unit)
    )
    right = variant.accepts(number)
    margin = f", within {variant.tolerance:.0%}" if variant.tolerance else ""
    screen.say(f"{'Right' if right else 'No'}: {variant.answer_text}{margin}.")
    return _told(card, variant, right, screen)


def _order(card: Order, variant: Variant, seed: str, screen: Screen) -> bool:
    shown = shown_order(len(card.items), seed)
    for letter, place in zip(LETTERS, shown, strict=False):
        screen.say(plain(card.items[place]), indent=f"  {letter}) ")
    given = screen.ask(
        "In order, first to last: ", lambda line: letters(line, len(shown), len(shown))
    )
    right = [shown[place] for place in given] == sorted(shown)
    solution = " ".join(LETTERS[shown.index(place)] for place in range(len(shown)))
    screen.say("Right." if right else f"No. The order is {solution}.")
    return _told(card, variant, right, screen)


def _match(card: Match, variant: Variant, seed: str, screen: Screen) -> bool:
    shown = shown_order(len(card.pairs), seed)
    for number, (left, _) in enumerate(card.pairs, start=1):
        screen.say(plain(left), indent=f"  {number}. ")
    for letter, place in zip(LETTERS, shown, strict=False):
        screen.say(plain(card.pairs[place][1]), indent=f"  {letter}) ")
    count = len(shown)
    given = screen.ask(
        f"Letters for 1 to {count}: ", lambda line: letters(line, count, count)
    )
    right = [shown[place] for place in given] == list(range(count))
    solution = ", ".join(
        f"{number} {LETTERS[shown.index(number - 1)]}" for number in range(1, count + 1)
    )
    screen.say("Right." if right else f"No. It is {solution}.")
    return _told(card, variant, right, screen)


def _told(card: Card, variant: Variant, right: bool, screen: Screen) -> bool:
    screen.say(plain(variant.explanation), indent="  ")
    if not right:
        _point(card, card.section, screen)
    return right


def _point(card: Card, section: str, screen: Screen) -> None:
    page = page_of(ROOT, card.chapter, section)
    screen.say(f"Read: {page}, section {section}.")
