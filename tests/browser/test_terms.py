"""The index of terms in a browser: found by typing; a synonym leads to its entry; whole without a script."""

import pytest

from course_lib.course.terms.headers import read_terms, slug

from .conftest import ROOT, SITE

INDEX = "book/index_of_terms.html"
ENTRY = "article.term"
SHOWN = f"{ENTRY}:visible"
TERMS = read_terms(ROOT)


@pytest.fixture(params=["http", "file"])
def index(browse, request):
    """Open the index anew, for a filter has a state."""
    opened = browse(INDEX, over=request.param)
    yield opened
    opened.close()


def status(opened) -> str:
    return opened.tab.locator("form.terms-filter [role=status]").inner_text()


def test_typing_finds_a_term_by_any_of_its_names(index):
    assert index.count(SHOWN) == len(TERMS)
    index.tab.fill("#terms-find", "grouped-query")
    shown = index.tab.locator(SHOWN)
    assert "term-gqa" in shown.evaluate_all("entries => entries.map(entry => entry.id)")
    assert status(index) == f"{shown.count()} of {len(TERMS)} terms"
    assert index.count(".term-see:visible") == 0
    letters = index.tab.locator("section.terms-letter:visible").evaluate_all("all => all.map(one => one.id)")
    assert "terms-g" in letters and "terms-z" not in letters and len(letters) <= shown.count()
    index.tab.click("form.terms-filter button")
    index.tab.wait_for_function("!document.querySelector('article.term[hidden]')")
    assert status(index) == f"{len(TERMS)} of {len(TERMS)} terms"
    assert index.problems() == {}


def test_one_part_of_the_library_can_be_chosen(index):
    index.tab.select_option("#terms-by-floor", "simulate")
    ours = [term for term in TERMS if term.path.startswith("course_lib/simulate/")]
    assert index.count(SHOWN) == len(ours) > 0


def test_a_link_to_a_synonym_shows_its_entry_though_the_filter_hides_it(index):
    index.tab.fill("#terms-find", "bm25")
    entry = index.tab.locator("#term-gqa")
    assert not entry.is_visible()
    index.tab.evaluate("() => { location.hash = 'term-grouped-query-attention'; }")
    entry.wait_for(state="visible")


def test_every_name_has_its_anchor_once(index):
    found = index.tab.eval_on_selector_all("[id^=term-]", "all => all.map(one => one.id)")
    assert sorted(found) == sorted(f"term-{slug(name)}" for term in TERMS for name in term.names)


def test_every_link_of_the_index_leads_to_a_place(index):
    links = index.tab.eval_on_selector_all(f"{ENTRY} a", "all => all.map(one => one.getAttribute('href'))")
    text = {}
    missing = set()
    for link in set(links):
        page, _, anchor = link.partition("#")
        path = (SITE / "book" / (page or "index_of_terms.html")).resolve()
        if path not in text:
            text[path] = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not text[path] or (anchor and f'id="{anchor}"' not in text[path]):
            missing.add(link)
    assert missing == set()
    assert len(links) > len(TERMS)


def test_without_a_script_every_term_is_shown_and_no_filter(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{INDEX}")
    shown, forms = tab.locator(SHOWN).count(), tab.locator("form.terms-filter:visible").count()
    context.close()
    assert (shown, forms) == (len(TERMS), 0)
