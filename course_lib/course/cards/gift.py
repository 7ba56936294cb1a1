r"""Cards as GIFT, the text format in which Moodle imports questions.

choice is multiple choice with a feedback for each option; computed and predict are
numerical, with an absolute tolerance and their unit in the question; match is matching;
order is matching to places, for GIFT has no order; recall is an essay whose answer is
the feedback. Text is HTML with \( \) for Moodle's MathJax.

Source: Moodle's importer, question/format/gift/format.php: ~ = # { } : and the
backslash are escaped by a backslash, a line end is \n, an empty line ends a question.
Read 2026-11-24.
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from course_lib.course.cards.plain import plain
from course_lib.course.cards.schema import Card, Choice, Match, Order, Recall
from course_lib.course.cards.sheets import Sheet, sheets, to_html

CATEGORY = "$course$/Architecture, Measured"
SPECIAL = "\\~=#{}:"


def gift_text(cards: Iterable[Card], root: str | Path) -> str:
    """Return the cards as GIFT, a category for each chapter.

    Raises: ValueError as `variants`.
    """
    parts = []
    for chapter, group in groupby(
        sheets(cards, root), key=lambda sheet: sheet.card.chapter
    ):
        parts += [f"$CATEGORY: {CATEGORY}/{chapter}", *map(_question, group)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Return text in which no character means anything to GIFT.

    >>> escaped("f: {a=1} \\(x\\)")
    'f\\: \\{a\\=1\\} \\\\(x\\\\)'
    """
    found = "".join(f"\\{sign}" if sign in SPECIAL else sign for sign in text)
    return found.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")


def _question(sheet: Sheet) -> str:
    card, variant = sheet.card, sheet.variant
    unit = f" ({variant.unit})" if variant.unit else ""
    head = f"::{sheet.id}::[html]{_html(variant.question + unit)}"
    why = f"####{_html(variant.explanation)}"
    match card:
        case Recall():
            answer = why
        case Choice():
            lines = (
                f"{'=' if one.correct else '~'}{_html(one.text)}#{_html(one.because)}"
                for one in card.options
            )
            answer = "\n".join(lines)
        case Match():
            answer = _pairs(card.pairs) + why
        case Order():
            answer = (
                _pairs(
                    (item, str(place)) for place, item in enumerate(card.items, start=1)
                )
                + why
            )
        case _:
            margin = abs(variant.answer) * variant.tolerance
            answer = f"#{variant.answer!r}:{margin:.10g}{why}"
    return f"{head} {{\n{answer}\n}}"


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Return matching lines. Moodle shows right sides in a menu, as plain text; an
    arrow would split them.
    """
    return "".join(
        f"={_html(left)} -> {escaped(plain(right).replace('->', '→'))}\n"
        for left, right in pairs
    )


def _html(markdown: str) -> str:
    return escaped(to_html(markdown))
