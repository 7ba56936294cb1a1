"""The gallery in a browser: every picture readable, any two side by side, links, filters, a pasted config."""

import json
from itertools import pairwise

import pytest

from course_lib.course.gallery.catalogue import MECHANISMS, entries
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import differences
from course_lib.specs.loader import list_specs, load_release, load_spec, read_entry

from .conftest import SITE
from .test_pages import AXE
from .visit import DESK, PHONE

PAGE = "book/gallery.html"
NAMES = list_specs()
PAIRS = [
    ("mixtral-8x7b", "deepseek-v3"),
    ("llama-3.1-8b", "qwen3-8b"),
    ("t5-base", "gpt2"),
    ("gemma-2-9b", "gemma-3-27b"),
    ("qwen3.5-35b-a3b", "jamba-v0.1"),
    ("clip-vit-l-14", "bert-base"),
]
# What a reader would see wrong in pictures: text under 9 px, outside its picture, on other text.
FAULTS = """(pictures) => [...document.querySelectorAll(pictures)].flatMap(svg => {
    const frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width, found = [];
    const boxes = [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
    for (const [text, box] of boxes) {
        const size = parseFloat(getComputedStyle(text).fontSize) * scale;
        if (size < 9) found.push(`${size.toFixed(1)} px: ${text.textContent}`);
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
            found.push(`outside: ${text.textContent}`);
        for (const [other, its] of boxes) {
            const over = Math.min(box.right, its.right) - Math.max(box.left, its.left);
            const tall = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
            if (other !== text && over > 1 && tall > 4 * scale)
                found.push(`${text.textContent} on ${other.textContent}`);
        }
    }
    return found; })"""


@pytest.fixture(params=["http", "file"])
def page(browse, request):
    """Open the page anew, for it has a state."""
    opened = browse(PAGE, over=request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def unfolded(browse):
    """The page with every model opened, and every picture come."""
    opened = browse(PAGE)
    opened.tab.evaluate("document.querySelectorAll('.gallery-model').forEach(one => { one.open = true; })")
    for name in NAMES:
        holder = opened.tab.locator(f"[id='{name}'] .gallery-picture")
        holder.scroll_into_view_if_needed()
        holder.locator("svg").first.wait_for()
    yield opened
    opened.close()


def goto(page, address: str) -> None:
    """Follow a link to a model or a pair, and wait for what it shows."""
    page.tab.evaluate("address => { location.hash = address; }", address)
    names = address.split(",")
    if len(names) == 2:
        page.tab.locator(".gallery-said").wait_for()
    else:
        page.tab.locator(f"[id='{names[0]}'] .gallery-picture svg").first.wait_for()


def answer(page) -> str:
    return page.tab.locator("#gallery-answer").inner_text()


def choose(page, name: str, value: str) -> None:
    page.tab.locator(f"#gallery-{name}").select_option(value)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_every_picture_is_readable_at_both_widths(unfolded, width):
    unfolded.show(width=width)
    unfolded.tab.wait_for_timeout(300)
    assert unfolded.tab.evaluate(FAULTS, ".gallery-picture svg") == []
    assert unfolded.tab.evaluate("document.documentElement.scrollWidth") == width


def test_with_every_picture_on_the_page_ids_are_unique_and_nothing_failed(unfolded):
    ids = unfolded.tab.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids)) > 2 * len(NAMES)
    assert unfolded.count(".gallery-picture svg[role=img] > title") >= len(NAMES)
    assert unfolded.problems() == {}


def test_a_picture_is_asked_for_when_it_is_seen(page):
    """A reader who opens one model loads one."""
    loaded = "[...document.scripts].filter(one => one.src.includes('/gallery/')).map(one => one.src)"
    assert page.tab.evaluate(loaded) == []
    goto(page, "llama-3.1-8b")
    assert [one.rpartition("/")[2] for one in page.tab.evaluate(loaded)] == ["llama-3.1-8b.js"]
    assert "8 KV heads of 128" in page.tab.locator("[id='llama-3.1-8b'] .gallery-picture").text_content()
    assert page.problems() == {}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_link_to_two_models_shows_their_differences_in_words_and_marks(page, pair):
    goto(page, ",".join(pair))
    found = differences(*(describe(load_spec(name)) for name in pair))
    names = [load_release(name).name for name in pair]
    assert f"{names[0]} and {names[1]}: {len(found)} facts differ." in answer(page)
    rows = page.tab.locator("#gallery-answer tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    assert rows == [[one.label, one.left, one.right, ", ".join(one.where)] for one in found]
    marks = page.tab.locator("#gallery-answer .gallery-marked").all_text_contents()
    assert len(marks) >= len(found) and all(text[:2] in ("≠ ", "+ ") for text in marks)
    for width in (DESK, PHONE):
        page.show(width=width)
        assert page.tab.evaluate(FAULTS, "#gallery-answer svg") == []
        assert page.tab.evaluate("document.documentElement.scrollWidth") == width
    assert page.problems() == {}


def test_two_models_that_are_built_alike_are_said_to_be(page):
    goto(page, "qwen2-7b,qwen2.5-7b")
    assert "Qwen2 7B and Qwen2.5 7B have the same architecture." in answer(page)
    assert page.count("#gallery-answer .gallery-marked") == 0


def test_choosing_two_models_makes_a_link(page):
    choose(page, "left", "gpt2")
    assert answer(page) == ""
    choose(page, "right", "gpt2-xl")
    page.tab.locator(".gallery-said").wait_for()
    assert page.tab.evaluate("location.hash") == "#gpt2,gpt2-xl"
    page.tab.locator("[id='bert-base'] > summary").click()
    page.tab.get_by_role("button", name="Compare BERT base").click()
    page.tab.wait_for_function("location.hash === '#gpt2,bert-base'")
    page.tab.wait_for_function(
        "document.querySelector('.gallery-said')?.textContent.startsWith('GPT-2 and BERT')"
    )
    assert page.problems() == {}


def shown(page) -> list[str]:
    return page.tab.locator(".gallery-model:not([hidden])").evaluate_all("all => all.map(one => one.id)")


def test_filters_show_what_the_rows_say(page):
    everything = [one.name for one in entries()]
    assert shown(page) == everything
    for name in ("latent attention (MLA)", "recurrent state", "sandwich norm"):
        choose(page, "has", name)
        assert shown(page) == [one.name for one in entries() if name in one.mechanisms]
    choose(page, "has", "")
    choose(page, "series", "Qwen")
    choose(page, "year", "2025")
    wanted = [one.name for one in entries() if one.release.series == "Qwen" and one.release.year == "2025"]
    assert shown(page) == wanted
    assert (
        page.tab.locator(".gallery-filter [role=status]").inner_text()
        == f"{len(wanted)} of {len(NAMES)} models"
    )
    assert page.tab.locator("#gallery-has option").count() == len(MECHANISMS) + 1


def test_the_list_is_ordered_by_time_size_and_name(page):
    totals = {one.name: one.view.amounts[0].value for one in entries()}
    choose(page, "sort", "largest")
    assert [totals[name] for name in shown(page)] == sorted(totals.values(), reverse=True)
    choose(page, "sort", "oldest")
    dates = [load_release(name).date for name in shown(page)]
    known = [date for date in dates if date]
    assert known == sorted(known) and dates[: len(dates) - len(known)] == [None] * (len(dates) - len(known))
    choose(page, "sort", "newest")
    assert shown(page) == [one.name for one in entries()]


def test_a_link_to_a_model_that_a_filter_hides_shows_it(page):
    choose(page, "series", "Qwen")
    goto(page, "gpt2")
    assert page.tab.locator("[id='gpt2']").get_attribute("open") is not None
    assert len(shown(page)) == len(NAMES)


def test_a_pasted_config_gets_its_facts_and_differences(page):
    choose(page, "left", "llama-3.1-8b")
    choose(page, "right", "config.json")
    config = read_entry("llama-3.1-8b")["config"] | {"num_key_value_heads": 4}
    page.tab.locator("#gallery-config").fill(json.dumps(config))
    page.tab.locator(".gallery-said").wait_for()
    said = answer(page)
    assert "Llama 3.1 8B and your config.json: 1 fact differs." in said
    assert "4 KV heads of 128" in said and "course draw config.json" in said and "64 KiB per token" in said
    assert page.count("#gallery-answer svg") == 1
    assert page.problems() == {}


WRONG = {
    '{"model_type": "phi9"}': "model_type='phi9' is not supported;",
    "{": "Not JSON at line 1, column 2",
    '{"model_type": "<img src=x onerror=alert(1)>"}': "model_type='<img src=x onerror=alert(1)>' is",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_read_is_answered_by_why_and_stays_text(page, text):
    choose(page, "left", "gpt2")
    choose(page, "right", "config.json")
    page.tab.locator("#gallery-config").fill(text)
    page.tab.locator(".gallery-wrong").wait_for()
    assert answer(page).startswith(f"No answer. {WRONG[text]}")
    assert page.count("#gallery img, #gallery-answer svg") == 0
    assert page.problems() == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_gallery_is_accessible_with_a_pair_and_a_model_open(page, scheme, width):
    page.show(scheme, width)
    goto(page, "gemma-2-9b")
    goto(page, "mixtral-8x7b,deepseek-v3")
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    page.tab.wait_for_timeout(700)  # the theme sets tab stops 300 ms after the size has changed
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.tab.evaluate(
        "rules => axe.run({include: ['#gallery']}, {resultTypes: ['violations'], runOnly: rules})", rules
    )
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]] == []


def test_without_a_script_every_model_is_a_picture_with_its_facts(chromium):
    context = chromium.new_context(java_script_enabled=False, viewport={"width": DESK, "height": 900})
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{PAGE}#gpt2")
    assert tab.locator(".gallery-model img").count() == len(NAMES)
    assert tab.locator("#gallery form:visible").count() == 0
    tab.locator("[id='gpt2'] > summary").click()
    image = tab.locator("[id='gpt2'] img")
    image.scroll_into_view_if_needed()
    tab.wait_for_timeout(500)
    assert image.bounding_box()["height"] > 300
    assert "12 query heads of 64" in image.get_attribute("alt")
    assert "124 M" in tab.locator("[id='gpt2'] dl").inner_text()
    context.close()


def test_the_years_stand_in_order():
    years = [one.release.year for one in entries() if one.release.year]
    assert all(newer >= older for newer, older in pairwise(years))
