"""Cards over days and tabs: a daily limit, a day from 4:00, two tabs, undo, damage, suspension, numbers."""

import json
from datetime import datetime, timedelta

import pytest

from .conftest import SITE
from .decks import KEY, Deck, violations
from .test_cards import CARDS
from .visit import PHONE

STATISTICS = "book/card_statistics.html"
EVENING = datetime(2026, 11, 24, 21, 15)
ENTRY = {
    "stability": 9.0, "difficulty": 5.0, "state": 2, "step": None, "reps": 1, "lapses": 0,
    "due": "2026-11-25T04:00:00.000Z", "last_review": "2026-11-16T12:00:00.000Z",
}  # fmt: skip


def file(cards=None, log=(), **fields):
    data = {"format": "architecture-measured-progress", "version": 1, "exported": "2026-11-24T09:00:00.000Z"}
    return data | {"cards": cards or {}, "log": list(log)} | fields


def ids(deck):
    return deck.tab.evaluate("courseCards.chapters.flatMap(({cards}) => cards)")


def store(deck, data):
    text = data if isinstance(data, str) else json.dumps(data)
    deck.tab.evaluate("([key, text]) => localStorage.setItem(key, text)", [KEY, text])


def rate(deck, key="3"):
    """Answer the card shown and rate it."""
    deck.answer(right=True)
    deck.tab.keyboard.press(key)
    deck.tab.wait_for_selector(".ask-explained[hidden]", state="attached")


def focus_event(deck):
    deck.tab.evaluate("window.dispatchEvent(new Event('focus'))")


@pytest.fixture
def deck(browse):
    opened = browse(CARDS)
    yield Deck(opened, SITE / CARDS)
    assert opened.problems() == {}
    opened.close()


def at(deck, when):
    """Set the page's clock, and open the page at that time."""
    deck.tab.clock.set_fixed_time(when)
    deck.reload()


def test_twenty_new_cards_a_day_the_reader_may_change_it_and_it_is_kept(deck):
    total = len(ids(deck))
    assert deck.status() == f"0 due, 20 new today of {total}, 0 on later days"
    deck.tab.locator(".deck-tools summary").click()
    limit = deck.tab.get_by_label("New cards a day")
    limit.fill("2")
    limit.press("Enter")
    assert deck.status().startswith("0 due, 2 new today")
    rate(deck, "3")
    rate(deck, "3")
    deck.reload()
    assert deck.status() == f"0 due, 0 new today of {total - 2}, 2 in minutes, 0 on later days"
    deck.tab.get_by_label("Chapter").select_option(label="3. The KV cache")
    deck.reload()
    assert deck.tab.get_by_label("Chapter").input_value() == "03_kv_cache"
    assert "more wait for the days to come" in deck.tab.locator(".deck-done").inner_text()
    deck.tab.get_by_role("button", name="more new cards today").click()
    assert deck.status().startswith("0 due, 10 new today")


def test_what_was_rated_in_the_evening_is_due_from_four_on(deck):
    at(deck, EVENING)
    card = deck.card()["id"]
    deck.answer(right=True)
    easy = deck.tab.locator(".deck-ratings button").last
    days = int(easy.inner_text().split()[-2])
    easy.click()
    due = datetime.fromisoformat(deck.stored()["cards"][card]["due"]).astimezone().replace(tzinfo=None)
    assert due == datetime.combine(EVENING.date(), datetime.min.time()) + timedelta(days=days, hours=4)
    for minutes, said in ((-1, "0 due"), (0, "1 due")):
        deck.tab.clock.set_fixed_time(due + timedelta(minutes=minutes))
        focus_event(deck)
        assert deck.status().startswith(said)
        assert deck.tab.locator("[data-count=due]").first.inner_text() == said[0]


def test_a_page_left_open_counts_again_when_the_reader_returns(deck):
    at(deck, EVENING)
    rate(deck, "3")
    assert "1 in minutes" in deck.status()
    deck.tab.clock.set_fixed_time(EVENING + timedelta(minutes=30))
    focus_event(deck)
    assert deck.status().startswith("1 due")


def test_two_tabs_log_one_card_once(deck):
    other = Deck(deck.visit, SITE / CARDS)
    other.tab = deck.visit.context.new_page()
    other.tab.goto(deck.tab.url)
    other.tab.wait_for_selector(".deck-stage .ask-question")
    first = deck.card()["id"]
    assert other.card()["id"] == first
    other.answer(right=True)
    rate(deck, "3")
    other.tab.wait_for_function("document.querySelector('.ask-explained[hidden]')")
    assert other.card()["id"] != first
    log = deck.stored()["log"]
    assert [entry["card"] for entry in log] == [first]
    # And if no event comes between: the rating is not added, and said.
    shown = deck.card()["id"]
    deck.answer(right=True)
    deck.tab.evaluate(
        "([key, id]) => { const data = JSON.parse(localStorage.getItem(key));"
        " data.cards[id] = {...Object.values(data.cards)[0], last_review: '2026-11-24T09:00:00.000Z'};"
        " localStorage.setItem(key, JSON.stringify(data)); }",
        [KEY, shown],
    )
    deck.tab.keyboard.press("3")
    assert "rated in another tab" in deck.tab.locator(".deck-notice").inner_text()
    assert len(deck.stored()["log"]) == 1
    other.tab.close()


def test_the_last_rating_is_taken_back_by_button_and_by_key(deck):
    undo = deck.tab.get_by_role("button", name="Undo the last rating")
    assert undo.is_disabled()
    first = deck.card()["id"]
    rate(deck, "4")
    undo.click()
    assert deck.card()["id"] == first
    assert (deck.stored()["cards"], deck.stored()["log"]) == ({}, [])
    rate(deck, "4")
    second = deck.card()["id"]
    rate(deck, "3")
    deck.tab.locator(".deck-stage .ask-question").focus()
    deck.tab.keyboard.press("u")
    assert deck.card()["id"] == second
    assert [entry["card"] for entry in deck.stored()["log"]] == [first]


def test_a_reset_is_taken_back_also_after_a_reload(deck):
    rate(deck, "3")
    before = deck.stored()
    deck.tab.locator(".deck-tools summary").click()
    deck.tab.get_by_role("button", name="Reset …").click()
    deck.tab.get_by_role("button", name="Delete it").click()
    assert deck.stored()["log"] == []
    deck.reload()
    deck.tab.locator(".deck-tools summary").click()
    deck.tab.get_by_role("button", name="Undo the reset").click()
    after = deck.stored()
    assert (after["cards"], after["log"]) == (before["cards"], before["log"])
    assert deck.tab.get_by_role("button", name="Undo the reset").count() == 0


def test_one_damaged_field_costs_one_field(deck, tmp_path):
    names = ids(deck)[:3]
    cards = {name: dict(ENTRY) for name in names}
    cards[names[0]]["stability"] = "much"
    log = [
        {"card": names[0], "rating": 3, "at": ENTRY["last_review"]},
        {"card": names[1], "rating": 7, "at": "x"},
    ]
    text = json.dumps(file(cards, log))
    store(deck, text)
    deck.reload()
    stored = deck.stored()
    assert set(stored["cards"]) == set(names)  # the first one is computed again from its review
    assert (stored["cards"][names[1]], len(stored["log"])) == (ENTRY, 1)
    notice = deck.tab.locator(".deck-notice").inner_text()
    assert names[0] in notice and "stability" in notice and "log 2" in notice
    with deck.tab.expect_download() as download:
        deck.tab.get_by_role("button", name="Save the damaged text").click()
    download.value.save_as(tmp_path / "damaged.txt")
    assert (tmp_path / "damaged.txt").read_text() == text


def test_a_damaged_import_brings_what_is_sound(deck, tmp_path):
    names = ids(deck)[:2]
    path = tmp_path / "progress.json"
    whole = json.dumps(file({names[0]: ENTRY, names[1]: ENTRY | {"due": "soon"}}), indent=1)
    for text, count in ((whole, 1), (whole[: whole.index('"log"')], 1)):
        path.write_text(text)
        deck.tab.locator("#deck-import").set_input_files(path)
        deck.tab.wait_for_function("document.querySelector('.deck-notice').textContent.includes('Left out')")
        notice = deck.tab.locator(".deck-notice").inner_text()
        assert notice.startswith(f"Imported: {count} card")
        assert deck.stored()["cards"][names[0]] == ENTRY
        deck.tab.evaluate("document.querySelector('.deck-notice').textContent = ''")


def test_three_megabytes_of_damage_end_in_no_error(deck):
    """There is no room for a second copy: the sound part is kept, and the text offered."""
    name = ids(deck)[0]
    head = json.dumps(file({name: ENTRY}))[:-5]
    deck.tab.evaluate("([key, head]) => localStorage.setItem(key, head + '#'.repeat(3_000_000))", [KEY, head])
    deck.reload()
    assert deck.stored()["cards"] == {name: ENTRY}
    assert deck.tab.get_by_role("button", name="Save the damaged text").count() == 1
    rate(deck, "3")


def test_a_suspended_card_is_not_asked_and_comes_back_from_the_list(deck):
    first = deck.card()["id"]
    deck.tab.get_by_role("button", name="Suspend this card").click()
    assert deck.card()["id"] != first
    assert deck.status().endswith("1 suspended")
    assert deck.stored()["suspended"][first]["on"] is True
    deck.tab.get_by_role("button", name="Show all as a list").click()
    deck.tab.get_by_label("Which", exact=True).select_option("suspended")
    assert deck.tab.locator(".deck-found").inner_text().startswith("1 of ")
    deck.tab.get_by_role("button", name="Bring back").click()
    deck.tab.get_by_role("button", name="One at a time").click()
    assert "suspended" not in deck.status()
    deck.reload()
    assert deck.card()["id"] == first


def test_cards_are_found_by_words(deck):
    deck.tab.get_by_role("button", name="Show all as a list").click()
    deck.tab.get_by_label("Find", exact=True).fill("ring buffer")
    shown = deck.tab.locator(".deck-items article")
    assert 0 < shown.count() < 20
    texts = shown.evaluate_all("all => all.map(one => one.textContent.toLowerCase() + one.dataset.card)")
    assert all("ring" in text and "buffer" in text for text in texts)
    assert violations(deck.tab) == []
    deck.tab.set_viewport_size({"width": PHONE, "height": 900})
    assert deck.tab.evaluate("document.documentElement.scrollWidth") == PHONE


def reviewed(names):
    """Return a month of reviews: each card in review is remembered nine times of ten."""
    now, log, cards = datetime(2026, 11, 30, 12), [], {}
    for number, name in enumerate(names):
        for step in range(4):
            when = now - timedelta(days=28 - 7 * step, minutes=number)
            log.append({"card": name, "rating": 4 if step == 0 else 1 if number % 10 == step else 3,
                        "at": when.strftime("%Y-%m-%dT%H:%M:%S.000Z")})  # fmt: skip
        due = now + timedelta(days=number % 25)
        cards[name] = ENTRY | {"reps": 4, "due": due.strftime("%Y-%m-%dT04:00:00.000Z")}
        cards[name]["last_review"] = log[-1]["at"]
    return file(cards, sorted(log, key=lambda one: one["at"]))


def test_the_statistics_come_from_the_log_and_are_those_of_the_terminal(deck):
    from course_lib.course.cards.progress import read_progress
    from course_lib.course.cards.statistics import statistics

    names = ids(deck)
    deck.tab.clock.set_fixed_time(datetime(2026, 11, 30, 20))
    data = reviewed(names[:60])
    store(deck, data)
    deck.tab.goto(f"{deck.visit.base}/{STATISTICS}")
    deck.visit.settle()
    told = statistics(read_progress(json.dumps(data)), names, datetime(2026, 11, 30, 20).astimezone())
    said = deck.tab.locator(".stats-facts").inner_text()
    share = round(100 * told["lately"]["remembered"] / told["lately"]["reviews"])
    assert f"{share} %" in said and f"of {told['lately']['reviews']} reviews" in said
    assert f"{told['stands']['fresh']} new" in said
    assert "240 reviews in the last 30 days" in deck.tab.locator("figcaption").first.inner_text()
    deck.tab.locator(".stats-figure summary").first.click()
    rows = deck.tab.locator(".stats-figure").first.locator("tbody tr")
    assert rows.count() == 30
    cells = [row.split("\t")[1:] for row in rows.all_inner_texts()]
    assert [[int(cell) for cell in row] for row in cells] == [
        [day["remembered"], day["again"]] for day in told["a_day"]
    ]
    assert violations(deck.tab) == []
    deck.tab.set_viewport_size({"width": PHONE, "height": 900})
    deck.tab.wait_for_timeout(100)
    assert deck.tab.evaluate("document.documentElement.scrollWidth") == PHONE


def test_without_a_review_the_statistics_say_so(browse):
    opened = browse(STATISTICS, over="file")
    assert "no review yet" in opened.tab.locator(".cards-statistics").inner_text()
    assert opened.problems() == {}
    opened.close()
