"""Every page of the built site, in a real browser: alone on the network, silent on the console, readable."""

from pathlib import Path

import pytest

from .conftest import SITE
from .visit import DESK, PHONE

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
# docutils gives the bibliography's list children that are no list items.
NOT_OURS = [".citation-list"]
# The pages a reader can come to, as paths from the site's root.
PAGES = sorted(
    page.relative_to(SITE).as_posix()
    for part in ("book", "notebooks", "labs")
    for page in SITE.glob(f"{part}/**/*.html")
)
WITH_INDEXES = [*PAGES, "index.html", "search.html", "genindex.html"]

each_page = pytest.mark.parametrize("opened", PAGES, indirect=True)


@pytest.mark.parametrize("opened", WITH_INDEXES, indirect=True)
def test_a_served_page_needs_nobody_and_says_nothing(opened):
    opened.show("dark")
    opened.show("light")
    assert opened.problems() == {}


@pytest.mark.parametrize("page", WITH_INDEXES)
def test_a_page_opened_from_disk_needs_nobody_and_says_nothing(browse, page):
    opened = browse(page, over="file", scheme="dark")
    opened.show("dark")
    opened.show("light")
    opened.close()
    assert opened.problems() == {}


@each_page
def test_every_formula_and_widget_is_drawn(opened):
    formulas = opened.count(".bd-article .math")
    widgets = opened.count('script[type="application/vnd.jupyter.widget-view+json"]')
    assert opened.count("mjx-merror, [data-mjx-error]") == 0
    assert opened.count(".bd-article .math mjx-container") >= formulas
    assert opened.count(".widget-subarea > .jupyter-widgets") >= widgets


@each_page
def test_a_phone_shows_the_page_without_sideways_scrolling(opened):
    opened.show(width=PHONE)
    wide = opened.tab.evaluate(
        """width => {
            const clipped = e => e && !e.matches('.bd-article')
                && (getComputedStyle(e).overflowX !== 'visible' || clipped(e.parentElement));
            return [...document.querySelectorAll('.bd-article *')]
                .filter(e => e.getBoundingClientRect().right > width + 1 && !clipped(e))
                .slice(0, 5).map(e => e.outerHTML.slice(0, 120)); }""",
        PHONE,
    )
    scrolls = opened.tab.evaluate("document.documentElement.scrollWidth")
    assert (scrolls, wide) == (PHONE, [])


@each_page
def test_a_desk_shows_every_listing_without_sideways_scrolling(opened):
    """Of modules and cells, folded ones too. What a cell printed may scroll: it stands in columns."""
    opened.show(width=DESK)
    cut = opened.tab.evaluate(
        """() => {
            const folded = [...document.querySelectorAll('.bd-article details:not([open])')];
            for (const one of folded) one.open = true;
            const cut = [...document.querySelectorAll('.bd-article div.highlight pre')]
                .filter(e => !e.closest('.cell_output') && e.scrollWidth > e.clientWidth)
                .map(e => e.textContent.split('\\n').sort((a, b) => b.length - a.length)[0]);
            for (const one of folded) one.open = false;
            return cut; }"""
    )
    assert cut == []


@each_page
@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_a_page_is_accessible(opened, scheme, rules):
    opened.show(scheme)
    opened.tab.wait_for_timeout(700)  # the theme sets tab stops 300 ms after the size has changed
    opened.tab.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = opened.tab.evaluate(
        "([exclude, options]) => axe.run({include: ['.bd-article'], exclude}, options)", [NOT_OURS, options]
    )
    serious = [
        (broken["id"], node["html"][:160], node["failureSummary"][:300])
        for broken in found["violations"]
        if broken["impact"] in ("serious", "critical")
        for node in broken["nodes"][:3]
    ]
    assert serious == []


def test_search_finds_a_page_from_disk(browse):
    opened = browse("search.html?q=notation", over="file")
    opened.tab.wait_for_selector("#search-results li a", timeout=10_000)
    found = opened.tab.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    opened.close()
    assert any("notation" in link for link in found)
