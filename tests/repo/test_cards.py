"""Every deck: topics covered, sections there, answers computed anew, no question that answers itself."""

import math
import re

import pytest
import yaml

from course_lib.course.cards.form import FIELDS, problems
from course_lib.course.cards.pages import labels
from course_lib.course.cards.quiz import shown_order
from course_lib.course.cards.reader import read_cards
from course_lib.course.cards.schema import Choice, Computed, Match, Order, Predict, Recall
from course_lib.course.cards.units import UNITS, read_number
from course_lib.course.cards.variants import variants

from .repository import ROOT, data, matching, text

CURRICULUM = data("book/curriculum.yml")
CARDS = read_cards(ROOT / "book" / "cards", CURRICULUM)
CHAPTERS = [path.stem for path in matching(r"book/cards/\w+\.yml")]
VARIANTS = {card.id: variants(card, ROOT) for card in CARDS}
every_card = pytest.mark.parametrize("card", CARDS, ids=[card.id for card in CARDS])


def texts(card):
    """Return all that a reader of the card may see."""
    found = [part for one in VARIANTS[card.id] for part in (one.question, one.explanation)]
    match card:
        case Choice():
            found += [part for option in card.options for part in (option.text, option.because)]
        case Order():
            found += card.items
        case Match():
            found += [side for pair in card.pairs for side in pair]
    return found


def numbers(question):
    """Return the numbers that a question names, with the unit that follows each."""
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?)(?: ([A-Za-z%/]+))?", question)
    return [(float(number.replace(",", "")), unit) for number, unit in found]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_deck_covers_every_topic_of_its_chapter(chapter):
    covered = {topic for card in CARDS if card.chapter == chapter for topic in card.topics}
    assert sorted(set(CURRICULUM[chapter]["topics"]) - covered) == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_deck_has_25_cards_of_several_kinds(chapter):
    deck = [card for card in CARDS if card.chapter == chapter]
    assert len(deck) >= 25
    assert {"recall", "choice", "computed"} <= {card.kind for card in deck}


@every_card
def test_the_sections_are_on_a_page_of_the_chapter(card):
    named = {card.section} | {option.section for option in getattr(card, "options", ()) if not option.correct}
    assert sorted(named - set(labels(str(ROOT), card.chapter))) == []


@every_card
def test_dollars_and_braces_balance(card):
    for part in texts(card):
        plain = part.replace(r"\$", "").replace(r"\{", "").replace(r"\}", "")
        assert plain.count("$") % 2 == 0, part
        for formula in plain.split("$")[1::2]:
            assert formula.strip() and formula.count("{") == formula.count("}"), part
        assert not re.search(r"[{}]", "".join(plain.split("$")[0::2])), f"a parameter was not put in: {part}"


@every_card
def test_answers_are_finite_and_can_be_typed(card):
    for one in VARIANTS[card.id]:
        if isinstance(card, Computed | Predict):
            assert math.isfinite(one.answer)
            assert one.accepts(one.answer)
            assert one.accepts(read_number(one.answer_text, one.unit)), "as shown, it must be right"
            assert not one.accepts(one.answer * (1 + 2 * one.tolerance) + 1)
            assert one.tolerance or float(one.answer).is_integer(), "tolerance 0 is for whole numbers"
            assert isinstance(card, Predict) or one.unit in UNITS
        else:
            assert one.answer is None


@every_card
def test_a_question_does_not_contain_its_answer(card):
    """A number with its unit, the right option, a whole answer, a pair: none may stand in the question."""
    for one in VARIANTS[card.id]:
        asked = one.question.casefold()
        if one.answer is not None:
            same = [unit for number, unit in numbers(one.question) if one.accepts(number)]
            assert one.unit not in same, f"{one.answer_text} stands in: {one.question}"
            assert one.unit or not same, f"{one.answer_text} stands in: {one.question}"
        if isinstance(card, Choice):
            assert card.answer.text.casefold() not in asked
        if isinstance(card, Recall):
            assert card.answer.casefold() not in asked
        if isinstance(card, Match):
            assert not any(
                left.casefold() in asked and right.casefold() in asked for left, right in card.pairs
            )
        if isinstance(card, Order):
            stand = [asked.find(item.casefold()) for item in card.items]
            assert -1 in stand or stand != sorted(stand)


@pytest.mark.parametrize(
    "card", [card for card in CARDS if isinstance(card, Match)], ids=lambda card: card.id
)
def test_a_match_cannot_be_made_by_common_words(card):
    """A word of five letters that a left side shares with its own right side alone gives the pair away."""
    words = [[set(re.findall(r"[a-z]{5,}", side.casefold())) for side in pair] for pair in card.pairs]
    for index, (left, right) in enumerate(words):
        elsewhere = set().union(*(other[1] for number, other in enumerate(words) if number != index))
        assert not (left & right) - elsewhere, card.pairs[index]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_longest_option_is_not_the_right_one(chapter):
    """Of many choices the right option is the longest in at most 60 %: chance is a third or a fourth."""
    choices = [card for card in CARDS if card.chapter == chapter and isinstance(card, Choice)]
    longest = [card for card in choices if len(card.answer.text) == max(len(o.text) for o in card.options)]
    assert len(longest) <= max(2, 0.6 * len(choices)), [card.id for card in longest]


def test_the_place_of_the_right_option_says_nothing():
    """Over all choices every place that is shown holds the right option at times, none in most."""
    places = []
    for card in CARDS:
        if isinstance(card, Choice):
            shown = shown_order(len(card.options), card.id)
            places.append([card.options[number].correct for number in shown].index(True))
    assert {0, 1, 2} <= set(places)
    assert max(places.count(place) for place in set(places)) <= max(3, 0.6 * len(places))


def test_a_misconception_is_named_for_what_it_is():
    """One name is one wrong idea: it stands in no other chapter, and not twice in one card."""
    seen = {}
    for card in CARDS:
        names = [option.misconception for option in getattr(card, "options", ()) if not option.correct]
        assert len(names) == len(set(names)), card.where
        for name in names:
            assert seen.setdefault(name, card.chapter) == card.chapter, f"{name}: also in {seen[name]}"


def test_the_form_that_is_documented_is_the_form_that_is_read():
    """The examples of CONTRIBUTING.md, with the common fields added where they leave them out."""
    block = text("CONTRIBUTING.md").split("## The cards")[1].split("```yaml\n")[1].split("```")[0]
    common = {"id": "x", "topics": ["t"], "section": "s", "question": "Why?"}
    examples = [common | entry for entry in yaml.safe_load(block)]
    assert [entry["kind"] for entry in examples] == list(FIELDS)
    left_out = {
        "choice": ["options: 2 are given; allowed are 3 or more"],
        "match": ["pairs: 2 are given; allowed are 3 or more"],
    }
    for entry in examples:
        found = [what for what in problems(entry) if "'...'" not in what]
        assert found == left_out.get(entry["kind"], []), entry
