"""Search in a browser: the page that teaches comes first, hits are marked and shown, from a folder too."""

from urllib.parse import quote

import pytest

from .decks import violations
from .visit import PHONE

SEARCH = "search.html"
CHAPTER_1, FAMILIES = "book/01_prototypes", "book/01_families_and_blocks"
CHAPTER_2, CHAPTER_3 = "book/02_attention_math", "book/03_kv_cache"
# Twenty terms, the page that teaches each, and a word of the heading under which it does.
TERMS = [
    ("MLA", CHAPTER_3, "MLA"),
    ("multi-head latent attention", CHAPTER_3, "MLA"),
    ("tied embeddings", FAMILIES, "Embeddings"),
    ("paged attention", CHAPTER_3, "paged attention"),
    ("kv cache size formula", CHAPTER_3, "KV cache size"),
    ("GQA", CHAPTER_3, "GQA"),
    ("grouped query attention", CHAPTER_3, "GQA"),
    ("sliding window", CHAPTER_3, "windows"),
    ("quantized cache", CHAPTER_3, "quantised"),
    ("copy-on-write", "notebooks/03_kv_cache/07_serving", "Copy on write"),
    ("roofline", CHAPTER_3, "decode step"),
    ("RoPE", CHAPTER_2, "RoPE"),
    ("online softmax", CHAPTER_2, "Tiles"),
    ("FlashAttention", CHAPTER_2, "Tiles"),
    ("causal mask", CHAPTER_2, "causal mask"),
    ("SwiGLU", CHAPTER_2, "SwiGLU"),
    ("split-KV decoding", CHAPTER_2, "split the keys"),
    ("cross-attention", CHAPTER_1, "Cross-attention"),
    ("prefix LM", CHAPTER_1, "PrefixLM"),
    ("YOCO", FAMILIES, "half the depth"),
]
FIRST = """queries => { const { rank, index } = courseSearch; const prepared = rank.prepare(index);
    return queries.map(query => { const { entry } = rank.find(query, prepared)[0];
        return [entry.docname, entry.heading]; }); }"""


@pytest.fixture
def search(browse):
    """Return a function that searches; what was opened is closed, and had nothing to complain about."""
    opened = []

    def open_results(query, **how):
        opened.append(browse(f"{SEARCH}?q={quote(query)}", **how))
        return opened[-1]

    yield open_results
    for visit in opened:
        assert visit.problems() == {}
        visit.close()


def test_twenty_terms_find_the_page_that_teaches_them(search):
    found = search("GQA").tab.evaluate(FIRST, [query for query, *_ in TERMS])
    wrong = [
        (query, page, heading)
        for (query, expected, word), (page, heading) in zip(TERMS, found, strict=True)
        if page != expected or word.lower() not in heading.lower()
    ]
    assert wrong == []


@pytest.mark.parametrize("over", ["http", "file"])
def test_a_hit_has_an_excerpt_and_opens_where_it_stands_with_its_words_marked(search, over):
    visit = search("paged attention", over=over)
    first = visit.tab.locator(".search-hits > li").first
    assert first.locator("p mark").count() > 0
    assert len(first.locator("p").inner_text()) > 80
    first.locator("a").click()
    visit.tab.wait_for_selector("mark.search-mark.current")
    visit.settle()
    marked = visit.tab.locator("mark.search-mark.current")
    assert "page" in marked.inner_text().lower()
    where = marked.evaluate("one => [one.closest('section').id, one.getBoundingClientRect().top, scrollY]")
    assert "#" in visit.tab.url
    assert 0 < where[1] < 900 and where[2] > 300
    visit.tab.get_by_role("button", name="Next").click()
    assert visit.count("mark.search-mark.current") == 1
    visit.tab.keyboard.press("Escape")
    assert visit.count("mark.search-mark") == visit.count(".search-bar") == 0


def test_cards_and_quiz_are_no_hits(search):
    pages = search("kv cache").tab.evaluate("courseSearch.index.pages.map(([page]) => page)")
    assert {"book/cards", "book/quiz"}.isdisjoint(pages)
    assert CHAPTER_3 in pages


def test_what_is_not_there_is_said_and_a_hostile_query_is_only_text(search):
    assert "Nothing was found" in search("zyzzyva").tab.locator(".search-status").inner_text()
    evil = '"><img src=x onerror="globalThis.broken=1">'
    visit = search(evil)
    assert evil in visit.tab.locator(".search-status").inner_text()
    assert visit.count(".course-search img") == 0
    visit.tab.goto(f"{visit.base}/{CHAPTER_3}.html?find={quote(evil)}")
    assert visit.tab.evaluate("globalThis.broken ?? null") is None


def test_results_and_marks_are_accessible_and_fit_a_phone(search):
    visit = search("kv cache")
    found = violations(visit.tab)
    visit.tab.set_viewport_size({"width": PHONE, "height": 900})
    assert visit.tab.evaluate("document.documentElement.scrollWidth") == PHONE
    visit.tab.goto(f"{visit.base}/{CHAPTER_3}.html?find=kv+cache#kv-bytes")
    visit.settle()
    assert visit.tab.evaluate("document.documentElement.scrollWidth") == PHONE
    assert found == []
    bar = visit.tab.locator(".search-bar").bounding_box()
    assert bar["x"] >= 0 and bar["x"] + bar["width"] <= PHONE
