"""Cards in a browser: answered by keyboard alone or by mouse, remembered, taken along, lost by nothing."""

import json
import re

import pytest

from .conftest import SITE
from .decks import KEY, KINDS, Deck, violations
from .visit import PHONE

CARDS, CHAPTER = "book/cards.html", "book/03_kv_cache.html"
MARKED = tuple(kind for kind in KINDS if kind != "recall")


@pytest.fixture(params=["http", "file"])
def deck(browse, request):
    """Open the page of all cards anew: nothing is remembered."""
    opened = browse(CARDS, over=request.param)
    yield Deck(opened, SITE / CARDS)
    assert opened.problems() == {}
    opened.close()


@pytest.fixture
def served_deck(browse):
    opened = browse(CARDS)
    yield Deck(opened, SITE / CARDS)
    assert opened.problems() == {}
    opened.close()


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("kind", MARKED)
def test_a_card_is_answered_by_keyboard_and_explained(served_deck, kind, right):
    deck = served_deck
    deck.only(kind)
    card = deck.card()["id"]
    deck.answer(right)
    assert deck.verdict() == ("Right." if right else "Not right.")
    explained = deck.tab.locator(".ask-explained")
    assert len(explained.inner_text()) > 40
    assert explained.locator(".ask-source a").count() == 1
    assert deck.tab.evaluate("document.activeElement.matches('.ask-explained')")
    names = [text.split()[1] for text in deck.tab.locator(".deck-ratings button").all_inner_texts()]
    assert names == (["Hard", "Good", "Easy"] if right else ["Again"])
    deck.tab.keyboard.press("Enter")
    deck.tab.wait_for_selector(".ask-explained[hidden]", state="attached")
    assert deck.stored()["log"][-1] | {"at": ""} == {"card": card, "rating": 3 if right else 1, "at": ""}


def test_a_recalled_card_is_rated_with_a_number_key(deck):
    deck.only("recall")
    before = deck.card()["id"]
    deck.answer(right=True)
    buttons = deck.tab.locator(".deck-ratings button").all_inner_texts()
    assert [re.sub(r"\s+", " ", text) for text in buttons] == [
        "1 Again 1 min",
        "2 Hard 6 min",
        "3 Good 10 min",
        "4 Easy 8 days",
    ]
    deck.tab.keyboard.press("4")
    deck.tab.wait_for_selector(".ask-explained[hidden]", state="attached")
    entry = deck.stored()["cards"][before]
    assert (entry["state"], entry["reps"], round(entry["stability"], 4)) == (2, 1, 8.2956)
    assert deck.card()["id"] != before


def test_the_mouse_does_it_too(served_deck):
    deck = served_deck
    deck.only("choice")
    card = deck.card()["id"]
    deck.tab.locator(".ask-option").nth(deck.place(card, right=True)).click()
    deck.tab.get_by_role("button", name="Check").click()
    assert deck.verdict() == "Right."
    deck.tab.get_by_role("button", name="Easy").click()
    assert deck.stored()["log"][-1]["rating"] == 4


def test_order_moves_by_its_buttons_and_says_where(served_deck):
    deck = served_deck
    deck.only("order")
    second = deck.tab.locator(".ask-movable > li").nth(1).get_attribute("data-place")
    deck.tab.locator(".ask-movable > li").nth(1).get_by_role("button", name="Move up").click()
    assert deck.tab.locator(".ask-movable > li").first.get_attribute("data-place") == second
    assert deck.verdict().startswith("Now 1 of ")
    assert deck.tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Move up"


@pytest.mark.parametrize(("kind", "typed", "said"), [
    ("computed", "", "Type a number first"),
    ("computed", "about <b>ten</b>", "is not a number"),
    ("choice", None, "Choose an option first"),
    ("match", None, "Choose a letter for every line first"),
])  # fmt: skip
def test_an_answer_that_cannot_be_marked_is_refused_and_can_be_changed(served_deck, kind, typed, said):
    deck = served_deck
    deck.only(kind)
    if typed:
        deck.tab.locator(".ask-number-input").fill(typed)
    deck.tab.get_by_role("button", name="Check").click()
    assert said in deck.verdict()
    assert deck.tab.locator(".ask-verdict b").count() == 0
    deck.answer(right=True) if kind != "computed" else None
    assert deck.tab.get_by_role("button", name="Check").count() == (1 if kind == "computed" else 0)


def test_keys_do_nothing_while_a_reader_types_or_is_elsewhere(served_deck):
    deck = served_deck
    deck.only("computed")
    field = deck.tab.locator(".ask-number-input")
    field.focus()
    deck.tab.keyboard.type("1234")
    assert field.input_value() == "1234"
    assert deck.tab.locator(".ask-explained:not([hidden])").count() == 0
    deck.only("choice")
    deck.tab.locator(".bd-article h1").click()
    deck.tab.keyboard.press("1")
    deck.tab.keyboard.press("Enter")
    assert deck.tab.locator(".deck-stage input:checked").count() == 0


def test_another_review_shows_other_numbers(served_deck):
    """Of a computed card with several variants, some of ten reviews differ."""
    deck = served_deck
    seen = deck.tab.evaluate(
        "() => [...Array(10).keys()].map(reps => courseCards.chance.choose(24, `kv-bytes-80-layers:${reps}`))"
    )
    assert len(set(seen)) > 3


def test_progress_is_kept_over_a_reload(deck):
    deck.answer(right=True)
    deck.tab.keyboard.press("3")
    deck.tab.wait_for_selector(".ask-explained[hidden]", state="attached")
    before = deck.status(), deck.stored()
    assert before[0].startswith("0 due")
    assert "1 in minutes" in before[0]
    deck.reload()
    assert (deck.status(), deck.stored()) == before


def test_export_reset_and_import_bring_everything_back(served_deck, tmp_path):
    deck = served_deck
    for _ in range(3):
        deck.answer(right=True)
        deck.tab.keyboard.press("3")
        deck.tab.wait_for_selector(".ask-explained[hidden]", state="attached")
    before = deck.stored()
    deck.tab.locator(".deck-tools summary").click()
    with deck.tab.expect_download() as download:
        deck.tab.get_by_role("button", name="Export").click()
    file = tmp_path / "progress.json"
    download.value.save_as(file)
    deck.tab.get_by_role("button", name="Reset …").click()
    deck.tab.get_by_role("button", name="Keep it").click()
    assert deck.stored()["log"] == before["log"]
    deck.tab.get_by_role("button", name="Reset …").click()
    deck.tab.get_by_role("button", name="Delete it").click()
    assert deck.stored()["log"] == []
    deck.tab.locator("#deck-import").set_input_files(file)
    deck.tab.wait_for_function("document.querySelector('.deck-notice').textContent.includes('Imported: 3')")
    after = deck.stored()
    assert (after["cards"], after["log"]) == (before["cards"], before["log"])


def test_a_hostile_file_changes_nothing_and_runs_nothing(served_deck, tmp_path):
    deck = served_deck
    deck.answer(right=True)
    deck.tab.keyboard.press("3")
    before = deck.stored()
    evil = '<img src=x onerror="globalThis.broken=1">'
    deck.tab.locator(".deck-tools summary").click()
    entry = before["cards"][next(iter(before["cards"]))]
    file = tmp_path / 'a"><img src=x onerror=broken=1>.json'
    for cards in ({evil: {}}, {evil: entry | {"due": evil}}, {"__proto__": entry, evil: entry}):
        file.write_text(json.dumps(before | {"cards": cards, "log": []}))
        deck.tab.evaluate("document.querySelector('.deck-notice').textContent = ''")
        deck.tab.locator("#deck-import").set_input_files(file)
        deck.tab.wait_for_function("document.querySelector('.deck-notice').textContent !== ''")
        assert deck.tab.locator(".cards-deck img").count() == 0
    assert deck.tab.evaluate("globalThis.broken ?? null") is None
    assert deck.stored()["log"] == before["log"]


@pytest.mark.parametrize(
    "text", ["{", '{"format": "other"}', '{"format": "architecture-measured-progress", "version": 9}']
)
def test_what_cannot_be_read_is_set_aside_and_said(served_deck, text):
    deck = served_deck
    deck.tab.evaluate("([key, text]) => localStorage.setItem(key, text)", [KEY, text])
    deck.reload()
    notice = deck.tab.locator(".deck-notice").inner_text()
    assert "could not be read" in notice
    name = re.search(r"“(\S*unreadable\S*)”", notice)[1]
    assert deck.tab.evaluate("name => localStorage.getItem(name)", name) == text
    deck.answer(right=True)
    deck.tab.keyboard.press("3")
    assert len(deck.stored()["log"]) == 1


def test_without_storage_it_works_and_says_so(browse):
    opened = browse(CARDS)
    opened.tab.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } });"
    )
    deck = Deck(opened, SITE / CARDS)
    deck.reload()
    assert "does not let the page store" in deck.tab.locator(".deck-notice").inner_text()
    deck.answer(right=True)
    deck.tab.keyboard.press("3")
    deck.tab.wait_for_function("document.querySelector('.deck-status').textContent.includes('1 in minutes')")
    # The theme itself complains when it cannot store its colours; nothing of ours does.
    assert [error for error in opened.seen.errors if "cards/" in error] == []
    opened.close()


def test_due_cards_are_counted_in_the_table_and_in_the_sidebar(served_deck):
    deck = served_deck
    assert deck.tab.locator(".cards-due").count() == 0
    deck.only("recall")
    stored = deck.stored()
    for name in list(stored["cards"])[:3]:
        stored["cards"][name]["due"] = "2026-01-01T00:00:00.000Z"
    deck.tab.evaluate("([key, text]) => localStorage.setItem(key, text)", [KEY, json.dumps(stored)])
    deck.tab.goto(f"{deck.visit.base}/book/notation.html")
    badge = deck.tab.locator(".bd-sidebar-primary .cards-due")
    assert (badge.inner_text(), badge.get_attribute("aria-label")) == ("3", "3 cards due")
    deck.tab.goto(f"{deck.visit.base}/{CARDS}")
    deck.visit.settle()
    assert deck.tab.locator("[data-count=due]").first.inner_text() == "3"
    assert deck.status().startswith("3 due")


def test_without_a_script_every_card_is_a_question_with_a_folded_answer(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{CHAPTER}")
    cards = tab.locator("article.ask-item:visible")
    answers, open_ones = tab.locator(".ask-answer:visible"), tab.locator(".ask-answer[open]")
    counts = cards.count(), answers.count(), open_ones.count()
    answers.first.locator("summary").click()
    link = answers.first.locator(".ask-source a").get_attribute("href")
    shown = answers.first.locator(".ask-explanation").inner_text()
    context.close()
    assert counts[0] == counts[1] >= 25
    assert counts[2] == 0
    assert link.startswith("#kv-")
    assert len(shown) > 20


def test_the_list_shows_all_cards_with_their_formulas_set(served_deck):
    deck = served_deck
    deck.tab.get_by_role("button", name="Show all as a list").click()
    deck.tab.wait_for_function(
        "[...document.querySelectorAll('.ask-item .math')].every(one => one.querySelector('mjx-container'))"
    )
    assert deck.tab.locator("article.ask-item").count() >= 25
    assert deck.tab.locator("mjx-merror").count() == 0
    assert violations(deck.tab, ["light"]) == []
    deck.tab.get_by_role("button", name="One at a time").click()
    assert deck.tab.locator("article.ask-item").count() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_is_accessible_and_fits_a_phone_asked_and_answered(served_deck, kind):
    deck = served_deck
    deck.only(kind)
    found = violations(deck.tab)
    deck.answer(right=kind == "recall")
    deck.tab.wait_for_function(
        "document.querySelectorAll('.ask-form .math:not(:has(mjx-container))').length === 0"
    )
    found += violations(deck.tab)
    deck.tab.set_viewport_size({"width": PHONE, "height": 900})
    assert deck.tab.evaluate("document.documentElement.scrollWidth") == PHONE
    assert found == []
