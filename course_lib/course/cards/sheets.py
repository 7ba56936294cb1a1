"""Cards as sheets with two sides, for programs that show text: Anki, a table.

A sheet's id is the card's. A computed card makes `MOST` sheets, for as many of its
variants: the same ones in every export, with ids id, id.2, id.3. An edit of the card
changes what its sheets say and not which they are.
"""

import csv
import html
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from course_lib.course.cards.plain import plain
from course_lib.course.cards.quiz import shown_order, shuffled
from course_lib.course.cards.schema import Card, Choice, Match, Order
from course_lib.course.cards.variants import Variant, variants

MOST = 3
LETTERS = "abcdefghijklmnopqrstuvwxyz"
COLUMNS = ("id", "chapter", "kind", "topics", "section", "question", "answer")


@dataclass(frozen=True)
class Sheet:
    """One question with its answer. Both sides are Markdown with $math$, a line break
    between parts.
    """

    id: str
    card: Card
    variant: Variant
    question: str
    answer: str


def sheets(cards: Iterable[Card], root: str | Path) -> tuple[Sheet, ...]:
    """Return the sheets of the cards, in order.

    Raises: ValueError as `variants`.
    """
    found = []
    for card in cards:
        shown = variants(card, root)
        places = sorted(shuffled(range(len(shown)), card.id)[:MOST])
        for number, place in enumerate(places, start=1):
            name = card.id if number == 1 else f"{card.id}.{number}"
            found.append(Sheet(name, card, shown[place], *_sides(card, shown[place])))
    return tuple(found)


def _sides(card: Card, variant: Variant) -> tuple[str, str]:
    """Return question and answer. Letters name options, items and right sides, in an
    order the id fixes.
    """
    asked, told = [variant.question], [variant.explanation]
    match card:
        case Choice():
            options = [
                card.options[place] for place in shown_order(len(card.options), card.id)
            ]
            asked += _lettered([option.text for option in options])
            told = [
                f"{LETTERS[options.index(card.answer)]}) {card.answer.text}. "
                f"{card.answer.because}"
            ]
            told += [
                f"Not {letter}: {one.because}"
                for letter, one in zip(LETTERS, options, strict=False)
                if not one.correct
            ]
        case Order():
            shown = shown_order(len(card.items), card.id)
            asked += _lettered([card.items[place] for place in shown])
            told = [
                f"{number}. {item}" for number, item in enumerate(card.items, start=1)
            ] + told
        case Match():
            shown = shown_order(len(card.pairs), card.id)
            asked += [
                f"{number}. {left}"
                for number, (left, _) in enumerate(card.pairs, start=1)
            ]
            asked += _lettered([card.pairs[place][1] for place in shown])
            told = [
                f"{number}. {left}: {right}"
                for number, (left, right) in enumerate(card.pairs, start=1)
            ] + told
    if variant.answer is not None:
        asked[0] += f" ({variant.unit})" if variant.unit else ""
        told = [f"**{variant.answer_text}**", *told]
    return "\n".join(asked), "\n".join(told)


def _lettered(texts: list[str]) -> list[str]:
    return [f"{letter}) {text}" for letter, text in zip(LETTERS, texts, strict=False)]


def to_html(markdown: str) -> str:
    r"""Return Markdown with $math$ as HTML whose formulas stand in \( \), as Anki and
    Moodle typeset them.

    >>> to_html("**At most** $n < 2$ of `G`\nor *less*")
    '<b>At most</b> \\(n &lt; 2\\) of <code>G</code><br>or <i>less</i>'
    """
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"\0{len(kept) - 1}\0"

    text = html.escape(markdown.replace("\0", ""), quote=False)
    text = re.sub(r"`([^`]+)`", lambda m: keep(f"<code>{m[1]}</code>"), text)
    text = re.sub(r"(?<!\\)\$([^$]+)\$", lambda m: keep(rf"\({m[1]}\)"), text).replace(
        r"\$", "$"
    )
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<![\w*])\*([^*\s][^*\n]*)\*(?!\w)", r"<i>\1</i>", text)
    text = text.replace("\n", "<br>")
    while "\0" in text:
        text = re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], text)
    return text


def csv_text(cards: Iterable[Card], root: str | Path) -> str:
    """Return a table of the sheets as plain text: a header, then a row for each (RFC
    4180).

    Raises: ValueError as `variants`.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for sheet in sheets(cards, root):
        card = sheet.card
        facts = (sheet.id, card.chapter, card.kind, " ".join(card.topics), card.section)
        writer.writerow((*facts, plain(sheet.question), plain(sheet.answer)))
    return out.getvalue()
