"""The claims ledger in a browser: filtered by keyboard alone, and whole without a script."""

import pytest

from course_lib.course.ledger.claims import VERDICTS

from .conftest import SITE

LEDGER = "book/ledger.html"
CLAIM = "article.ledger-claim"
SHOWN = f"{CLAIM}:visible"


@pytest.fixture(params=["http", "file"])
def ledger(browse, request):
    """Open the ledger anew, for a filter has a state."""
    opened = browse(LEDGER, over=request.param)
    yield opened
    opened.close()


def focus(opened, selector: str) -> None:
    """Go to a control with the Tab key."""
    for _ in range(400):
        opened.tab.keyboard.press("Tab")
        if opened.tab.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def status(opened) -> str:
    return opened.tab.locator("form.ledger-filter [role=status]").inner_text()


def count(opened, verdict: str = "") -> int:
    """Return how many claims the page holds, shown or not, with a verdict."""
    return opened.count(f'{CLAIM}[data-verdict="{verdict}"]' if verdict else CLAIM)


def test_the_filter_works_by_keyboard_and_says_the_count(ledger):
    everything = count(ledger)
    focus(ledger, "#ledger-by-verdict")
    for verdict in VERDICTS:
        ledger.tab.keyboard.press("ArrowDown")
        ledger.tab.wait_for_function(
            "value => document.querySelector('#ledger-by-verdict').value === value", arg=verdict
        )
        assert ledger.count(SHOWN) == count(ledger, verdict)
        assert status(ledger) == f"{count(ledger, verdict)} of {everything} claims"
    focus(ledger, "form.ledger-filter button")
    ledger.tab.keyboard.press("Enter")
    ledger.tab.wait_for_function("!document.querySelector('article.ledger-claim[hidden]')")
    assert (ledger.count(SHOWN), status(ledger)) == (everything, f"{everything} of {everything} claims")
    assert ledger.problems() == {}


def test_a_chapter_without_a_claim_shown_is_not_shown(ledger):
    shown = ledger.tab.locator("section.ledger-chapter:visible")
    assert shown.count() == ledger.count("section.ledger-chapter") > 0
    ledger.tab.select_option("#ledger-by-chapter", index=1)
    assert shown.count() == 1
    rare = next((verdict for verdict in VERDICTS if count(ledger, verdict) == 0), None)
    if rare:
        ledger.tab.select_option("#ledger-by-verdict", rare)
        assert (shown.count(), ledger.count(SHOWN)) == (0, 0)


def test_a_link_to_a_claim_that_the_filter_hides_shows_it(ledger):
    first = ledger.tab.locator(CLAIM).first
    other = next(verdict for verdict in VERDICTS if verdict != first.get_attribute("data-verdict"))
    ledger.tab.select_option("#ledger-by-verdict", other)
    assert not first.is_visible()
    ledger.tab.evaluate("id => { location.hash = id; }", first.get_attribute("id"))
    first.wait_for(state="visible")
    assert ledger.count(SHOWN) == count(ledger)


def test_without_a_script_every_claim_is_shown_and_no_filter(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{LEDGER}")
    shown, forms = tab.locator(SHOWN).count(), tab.locator("form.ledger-filter:visible").count()
    everything = tab.locator(CLAIM).count()
    context.close()
    assert (shown, forms) == (everything, 0)
    assert everything > 0


def test_every_control_has_its_label_and_the_count_is_announced(ledger):
    names = ledger.tab.locator("form.ledger-filter").aria_snapshot()
    assert all(part in names for part in ('combobox "Chapter"', 'combobox "Verdict"', 'button "Show all"'))
    assert ledger.count("form.ledger-filter [role=status][aria-live=polite]") == 1


def test_a_verdict_is_told_by_its_name_and_its_shape(ledger):
    badges = ledger.tab.locator(".ledger-meta .ledger-verdict")
    assert badges.count() == count(ledger)
    assert set(badges.all_inner_texts()) <= set(VERDICTS.values())
    assert ledger.count(".ledger-meta .ledger-verdict svg") == count(ledger)


def test_the_chapter_links_each_of_its_claims_to_the_ledger(browse):
    opened = browse("book/03_kv_cache.html")
    links = opened.tab.eval_on_selector_all(".ledger-short a", "links => links.map(link => link.hash)")
    opened.close()
    ledger = browse(LEDGER)
    claims = ledger.tab.eval_on_selector_all(
        f'{CLAIM}[data-chapter="03_kv_cache"]', "claims => claims.map(claim => `#${claim.id}`)"
    )
    ledger.close()
    assert links == claims != []


def test_a_link_to_a_cell_ends_at_the_cell_that_is_tagged(browse):
    ledger = browse(LEDGER)
    target = ledger.tab.locator(".ledger-evidence a[href*='notebooks/']").first.get_attribute("href")
    ledger.close()
    path, anchor = target.removeprefix("../").split("#")
    notebook = browse(f"{path}#{anchor}")
    classes = notebook.tab.locator(f"#{anchor}").get_attribute("class").split()
    notebook.close()
    assert {"cell", f"tag_{anchor}"} <= set(classes)
