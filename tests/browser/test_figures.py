"""Figures of the chapters as a reader sees them: words large enough, apart and inside, one form at a time."""

import re

import pytest

from .conftest import ROOT, SITE
from .visit import DESK, PHONE

PAGES = sorted(
    page.relative_to(ROOT).with_suffix(".html").as_posix()
    for page in ROOT.glob("book/[0-9][0-9]_*.md")
    if "{output}" in page.read_text(encoding="utf-8")
)
SMALLEST_PX = 9
FIGURES = [page for page in PAGES if ":fig_" in (ROOT / page).with_suffix(".md").read_text(encoding="utf-8")]
each_page = pytest.mark.parametrize("opened", PAGES, indirect=True)
each_page_with_figures = pytest.mark.parametrize("opened", FIGURES, indirect=True)
each_width = pytest.mark.parametrize("width", [DESK, PHONE])
# Of each drawing that is shown: its words with size and box. Words set aslant have no box of their own.
WORDS = """() => [...document.querySelectorAll('.plot-figure svg')].filter(e => e.clientWidth).map(svg => {
    const whole = svg.getBoundingClientRect(), scale = whole.width / svg.viewBox.baseVal.width;
    const aslant = text => /rotate\\((?!-?90)/.test(text.getAttribute('transform') || '');
    const words = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim()).map(text => {
        const {left, right, top, bottom} = text.getBoundingClientRect();
        const sizes = [text, ...text.querySelectorAll('tspan')].filter(e => e.style.fontSize)
            .map(e => parseFloat(e.style.fontSize) * scale);
        const box = [left, right, top, bottom];
        return {text: text.textContent, size: Math.max(...sizes), box, aslant: aslant(text)};
    });
    const {left, right, top, bottom} = whole;
    return {name: svg.closest('figure.plot-figure').id, box: [left, right, top, bottom], words};
})"""


def figures(opened, width: int) -> list[dict]:
    return opened.show(width=width).tab.evaluate(WORDS)


def overlap(a: list[float], b: list[float]) -> bool:
    """Say whether two boxes share more than the blank above and beside their letters."""
    across = min(a[1], b[1]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[2], b[2])
    return across > 1.5 and down > 3.5


@each_page_with_figures
@each_width
def test_each_figure_shows_one_form_and_stays_inside_the_page(opened, width):
    found = figures(opened, width)
    names = [figure["name"] for figure in found]
    told = re.findall(r'<figure class="plot-figure[^>]* id="([^"]+)"', (SITE / opened.page).read_text())
    assert names == told and names
    assert [f["name"] for f in found if f["box"][0] < 0 or f["box"][1] > width] == []


@each_page_with_figures
@each_width
def test_no_word_is_small_or_outside_its_figure(opened, width):
    bad = []
    for figure in figures(opened, width):
        left, right, top, bottom = figure["box"]
        for word in figure["words"]:
            a, b, c, d = word["box"]
            inside = a > left - 1.5 and b < right + 1.5 and c > top - 1.5 and d < bottom + 1.5
            if word["size"] < SMALLEST_PX or not inside:
                bad.append((figure["name"], word["text"], round(word["size"], 1), inside))
    assert bad == []


@each_page_with_figures
@each_width
def test_no_word_lies_on_another(opened, width):
    bad = []
    for figure in figures(opened, width):
        words = [word for word in figure["words"] if not word["aslant"]]
        bad += [
            (figure["name"], one["text"], other["text"])
            for place, one in enumerate(words)
            for other in words[place + 1 :]
            if overlap(one["box"], other["box"])
        ]
    assert bad == []


@each_page_with_figures
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_has_no_paper_of_its_own(opened, scheme):
    opened.show(scheme)
    papers = opened.tab.eval_on_selector_all(
        ".plot-figure svg", "all => [...new Set(all.map(e => getComputedStyle(e).backgroundColor))]"
    )
    assert papers == ["rgba(0, 0, 0, 0)"]


@each_page_with_figures
def test_a_screen_reader_is_told_what_a_figure_shows(opened):
    told = opened.tab.eval_on_selector_all(
        ".plot-figure svg",
        """all => all.map(e => e.getAttribute('aria-labelledby').split(' ')
            .map(id => document.getElementById(id).textContent).join(' '))""",
    )
    assert min(map(len, told)) > 40


@each_page_with_figures
def test_ids_in_figures_are_unique(opened):
    ids = opened.tab.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    inside = opened.tab.eval_on_selector_all(".plot-figure [id]", "all => all.map(e => e.id)")
    assert inside and [name for name in inside if ids.count(name) > 1] == []


@each_page
def test_a_table_s_caption_does_not_scroll_with_its_table(opened):
    opened.show(width=PHONE)
    wide = opened.tab.eval_on_selector_all(
        ".table-captioned > .table-caption",
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length",
    )
    assert (wide, opened.count(".bd-article caption")) == (0, 0)
    assert opened.count(".table-captioned > .table-caption") == captioned_tables(opened.page)


def captioned_tables(page: str) -> int:
    """Count a page's tables with a caption, as its source has them."""
    source = (ROOT / page).with_suffix(".md").read_text(encoding="utf-8")
    return len(re.findall(r"^`{3,}\{(?:table\} +\S|output\} +\S+:table_)", source, re.MULTILINE))


@each_page
def test_a_formula_that_scrolls_says_so(opened):
    opened.show(width=PHONE)
    silent = opened.tab.eval_on_selector_all(
        ".bd-article div.math",
        """all => all.filter(e => e.scrollWidth > e.clientWidth + 1)
            .filter(e => !getComputedStyle(e).backgroundImage.includes('gradient'))
            .map(e => e.textContent.slice(0, 60))""",
    )
    assert silent == []
