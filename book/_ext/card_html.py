"""One card as HTML: its question, its folded answer, and each further variant in a
<template>.

What is chosen from, put in order or matched stands under the question in an order that
gives nothing away, and in the answer as it is right. Numbers are computed, and measured
values read, while the page is made.
"""

import json

from coursepage import CourseDirective
from docutils import nodes
from elements import element, html
from sphinx.errors import ExtensionError

from course_lib.course.cards.quiz import shown_order
from course_lib.course.cards.schema import Card, Choice, Match, Option, Order, Predict
from course_lib.course.cards.units import SPELLINGS, UNITS
from course_lib.course.cards.variants import Variant, variants

ASK = {
    "recall": "Recall",
    "choice": "Choose",
    "computed": "Compute",
    "order": "Put in order",
    "match": "Match",
    "predict": "Predict, then compare",
}


class CardDirective(CourseDirective):
    """A directive that writes cards."""

    def article(self, card: Card) -> element:
        """Return a card: its question, its folded answer, its further variants."""
        try:
            first, *others = variants(card, self.root)
        except ValueError as error:
            raise ExtensionError(f"the cards are not in order:\n{error}") from error
        shown = shown_order(len(parts), card.id) if (parts := self.parts(card)) else []
        answer = html(
            "details",
            html("summary", "Answer"),
            *self.solution(card, parts, shown),
            self.explanation(card, first),
            html("p", "Taught in ", *self.section(card.section), class_="ask-source"),
            class_="ask-answer",
        )
        return html(
            "article",
            html("p", ASK[card.kind], class_="ask-kind"),
            self.block(first.question, "ask-question"),
            *self.offered(card, parts, shown),
            answer,
            *(self.template(card, other) for other in others),
            id=f"card-{card.id}",
            class_="ask-item",
            data_card=card.id,
            data_chapter=card.chapter,
            data_kind=card.kind,
            **self.number(first),
        )

    def parts(self, card: Card) -> list[Option | str | tuple[str, str]]:
        """Return what is chosen from, put in order or matched, as the file has it."""
        match card:
            case Choice():
                return list(card.options)
            case Order():
                return list(card.items)
            case Match():
                return list(card.pairs)
        return []

    def offered(self, card: Card, parts: list, shown: list[int]) -> list[element]:
        """Return what stands under the question, in an order that gives nothing
        away.
        """
        match card:
            case Choice():
                texts = {"ask-options": [parts[place].text for place in shown]}
            case Order():
                texts = {"ask-options": [parts[place] for place in shown]}
            case Match():
                texts = {
                    "ask-lefts": [left for left, _ in parts],
                    "ask-rights": [parts[place][1] for place in shown],
                }
            case _:
                return []
        return [
            html(
                "ul", *(html("li", *self.markdown(text)) for text in lines), class_=name
            )
            for name, lines in texts.items()
        ]

    def solution(self, card: Card, parts: list, shown: list[int]) -> list[element]:
        """Return what is right: the reasons of each option, the order, the pairs."""
        match card:
            case Choice():
                return [
                    html(
                        "ul",
                        *(self.reason(parts[place]) for place in shown),
                        class_="ask-reasons",
                    )
                ]
            case Order():
                items = (html("li", *self.markdown(item)) for item in parts)
                return [html("ol", *items, class_="ask-order")]
            case Match():
                rows = [
                    (self.phrase(left), self.phrase(right)) for left, right in parts
                ]
                body = [
                    html("tr", html("th", left, scope="row"), html("td", right))
                    for left, right in rows
                ]
                return [html("table", html("tbody", *body), class_="ask-pairs table")]
        return []

    def reason(self, option: Option) -> element:
        """Return why an option is right or wrong, and where that is cleared."""
        cleared = (
            [" See ", *self.section(option.section), "."] if option.section else []
        )
        return html(
            "li",
            html("strong", "Right: " if option.correct else "Not: "),
            html("span", *self.markdown(option.text), class_="ask-text"),
            html(
                "span", "" if option.text[-1] in ".?!" else ".", " ", class_="ask-stop"
            ),
            html(
                "span", *self.markdown(option.because), *cleared, class_="ask-because"
            ),
            class_="right" if option.correct else "wrong",
        )

    def explanation(self, card: Card, variant: Variant) -> element:
        if isinstance(card, Choice):  # each option has its own
            return html("div", class_="ask-explanation")
        block = self.block(variant.explanation, "ask-explanation")
        if variant.answer is not None:
            near = (
                f"within {100 * variant.tolerance:g} % of it"
                if variant.tolerance
                else "exactly this"
            )
            said = "Measured: " if isinstance(card, Predict) else "Answer: "
            number = html("strong", self.value(card, variant))
            block.insert(
                0, html("p", said, number, f". Right is {near}.", class_="ask-number")
            )
        return block

    def value(self, card: Card, variant: Variant) -> nodes.Node:
        """Return the number with its unit; a measured one is linked to its notebook."""
        if not isinstance(card, Predict):
            return nodes.Text(variant.answer_text)
        link = self.link(
            f"notebooks/{card.value.partition(':')[0]}", variant.answer_text
        )
        link["classes"] = ["measured"]
        return link

    def template(self, card: Card, variant: Variant) -> element:
        question = self.block(variant.question, "ask-question")
        explanation = self.explanation(card, variant)
        return html(
            "template",
            question,
            explanation,
            class_="ask-variant",
            **self.number(variant),
        )

    def number(self, variant: Variant) -> dict[str, str]:
        if variant.answer is None:
            return {}
        number = {
            "answer": repr(variant.answer),
            "unit": variant.unit,
            "tolerance": repr(variant.tolerance),
        }
        return {f"data_{name}": value for name, value in number.items()}

    def block(self, text: str, class_: str) -> element:
        return html("div", *self.parse_text_to_nodes(text), class_=class_)

    def phrase(self, text: str) -> element:
        return html("span", *self.markdown(text))

    def section(self, label: str) -> list[nodes.Node]:
        return self.markdown(f"{{ref}}`{label}`")

    def units(self) -> element:
        """Return the units that a number may be typed in, for the script that reads
        it.
        """
        data = json.dumps(
            {"units": UNITS, "spellings": SPELLINGS}, separators=(",", ":")
        )
        return html(
            "script",
            nodes.raw("", data, format="html"),
            type="application/json",
            class_="ask-units",
        )
