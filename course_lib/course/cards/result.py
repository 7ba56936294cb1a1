"""The result of a class quiz as the page writes it, read and checked.

Lines of text: a head, `Name`, `Quiz`, `Finished`, `Score`, a line for each question,
and `Check`, the FNV-1a hash of the lines before it. The checksum finds a slip of
copying; it is no seal. `book/_static/cards/quiz-result.js` writes them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from course_lib.course.cards.quiz import fnv1a, pick
from course_lib.course.cards.schema import Card

HEAD = "Architecture, Measured: result of a quiz"
FIELDS = ("Name", "Quiz", "Finished", "Score")
LINE = re.compile(r"(\d+)\. ([\w-]+): (.*)")


@dataclass(frozen=True)
class Result:
    """A quiz that was finished: who, which, when, and what became of each question."""

    name: str
    chapters: tuple[str, ...]
    seed: str
    finished: str
    score: str
    answers: Mapping[str, str]
    right: int


def read_result(text: str) -> Result:
    """Return the result in a text.

    Raises: ValueError if it is no such text, its checksum is not that of its lines, or
        its score is not that of its answers.
    """
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if not lines or lines[0] != HEAD or not lines[-1].startswith("Check: "):
        raise ValueError(f"no result: allowed is a text from {HEAD!r} to 'Check: ...'")
    if lines[-1] != f"Check: {checksum(lines[:-1])}":
        raise ValueError(
            f"{lines[-1]!r}: allowed is Check: {checksum(lines[:-1])}; a line was "
            "changed, or is missing"
        )
    told = {}
    for name, line in zip(FIELDS, lines[1:], strict=False):
        if not line.startswith(f"{name}:"):
            raise ValueError(f"{line!r}: allowed is a line that begins with {name}:")
        told[name] = line.partition(":")[2].strip()
    answers = {}
    for line in lines[1 + len(FIELDS) : -1]:
        if not (found := LINE.fullmatch(line)):
            raise ValueError(f"{line!r}: allowed is '1. card: right (...)'")
        answers[found[2]] = found[3]
    right = sum(answer.startswith("right") for answer in answers.values())
    if told["Score"] != f"{right} of {len(answers)} right":
        raise ValueError(
            f"score={told['Score']!r}: allowed is {right} of {len(answers)} right, "
            "what the answers say"
        )
    query = parse_qs(told["Quiz"])
    chapters = tuple(query.get("chapters", [""])[0].split(","))
    seed = query.get("seed", [""])[0]
    return Result(
        told["Name"], chapters, seed, told["Finished"], told["Score"], answers, right
    )


def checksum(lines: Sequence[str]) -> str:
    """Return the checksum of lines: FNV-1a, 32 bits, as eight hexadecimal digits."""
    return f"{fnv1a(chr(10).join(lines)):08x}"


def check_cards(result: Result, cards: Sequence[Card]) -> None:
    """Check that the questions are those that the seed draws from these cards.

    Raises: ValueError if they are not: another edition of the cards, or another quiz.
    """
    expected = [card.id for card in pick(cards, len(result.answers), result.seed)]
    if list(result.answers) != expected:
        raise ValueError(
            f"seed={result.seed!r}: allowed are the cards that it draws here, "
            f"{', '.join(expected)}; the result has {', '.join(result.answers)}"
        )
