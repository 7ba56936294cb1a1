"""Every page of the built site, in a real browser: alone on the network, silent on the console, readable."""

from pathlib import Path

import pytest

from .conftest import SITE

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
PHONE = 390


# The pages a reader can come to, as paths from the site's root.
PAGES = sorted(
    page.relative_to(SITE).as_posix()
    for part in ("book", "notebooks", "labs")
    for page in SITE.glob(f"{part}/**/*.html")
)
WITH_INDEXES = [*PAGES, "index.html", "search.html", "genindex.html"]


@pytest.mark.parametrize("page", WITH_INDEXES)
@pytest.mark.parametrize(("over", "first", "then"), [("http", "light", "dark"), ("file", "dark", "light")])
def test_a_page_needs_nobody_and_says_nothing(visit, page, over, first, then):
    opened = visit(page, over=over, scheme=first)
    assert opened.theme() == first
    opened.tab.emulate_media(color_scheme=then)
    opened.tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=then)
    opened.settle()
    assert opened.problems() == {}


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_shows_the_page_without_sideways_scrolling(visit, page):
    opened = visit(page, width=PHONE)
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


@pytest.mark.parametrize("page", PAGES)
def test_every_formula_and_widget_is_drawn(visit, page):
    opened = visit(page, over="file")
    formulas = opened.count(".bd-article .math")
    widgets = opened.count('script[type="application/vnd.jupyter.widget-view+json"]')
    assert opened.count("mjx-merror, [data-mjx-error]") == 0
    assert opened.count(".bd-article .math mjx-container") >= formulas
    assert opened.count(".widget-subarea > .jupyter-widgets") >= widgets


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_accessible(visit, page, scheme):
    opened = visit(page, scheme=scheme)
    opened.tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = opened.tab.evaluate("axe.run('.bd-article', {resultTypes: ['violations']})")
    serious = [
        (broken["id"], node["html"][:160], node["failureSummary"][:300])
        for broken in found["violations"]
        if broken["impact"] in ("serious", "critical")
        for node in broken["nodes"][:3]
    ]
    assert serious == []


def test_search_finds_a_page_from_disk(visit):
    opened = visit("search.html?q=notation", over="file")
    opened.tab.wait_for_selector("#search-results li a", timeout=10_000)
    found = opened.tab.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    assert any("notation" in link for link in found)
