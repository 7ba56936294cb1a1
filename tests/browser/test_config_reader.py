"""The reader of a pasted config.json in a browser: the library's numbers, its refusals, and only text."""

import json

import pytest

from course_lib.costs.summary import summary
from course_lib.course.calculators.config import published
from course_lib.kit.units import bytes_text, count_text, share_text
from course_lib.specs.from_hf import spec_from_fields

from .conftest import SITE
from .test_pages import AXE
from .visit import PHONE

PAGE = "book/calculators.html"
MODELS = (
    "llama-3.1-8b",
    "gpt2",
    "gemma-2-9b",
    "mixtral-8x7b",
    "deepseek-v3",
    "bert-base",
    "t5-base",
    "vit-l-16",
)


@pytest.fixture(params=["http", "file"])
def page(browse, request):
    """Open the page anew, for the reader has a state."""
    opened = browse(PAGE, over=request.param)
    yield opened
    opened.close()


def says(page) -> str:
    return page.tab.locator("#config").inner_text()


@pytest.mark.parametrize("chosen", [True, False], ids=["chosen", "pasted"])
def test_a_published_config_chosen_or_pasted_is_counted_as_the_library_counts_it(page, chosen):
    for name in MODELS:
        config = published()[name]
        if chosen:
            page.tab.select_option("#config-model", name)
            assert json.loads(page.tab.input_value("#config-json")) == config
        else:
            page.tab.locator("#config-json").fill(json.dumps(config))
            assert page.tab.input_value("#config-model") == ""
        found, text = summary(spec_from_fields(config), 8192), says(page)
        assert f"{count_text(found.total)} parameters in {found.layers} layers" in text
        assert share_text(found.embedding_share) in text
        for count in found.by_part.values():
            assert count_text(count) in text
        cache = found.cache_bytes_per_token
        assert ("it writes no text" if cache is None else bytes_text(cache)) in text
        assert f"{bytes_text(found.weight_bytes)}, 16 bits a weight: the config names no quantisation" in text
    assert page.problems() == {}


@pytest.mark.parametrize(
    ("pasted", "message"),
    [
        ('{"model_type": "llama",}', "No answer. Not JSON at line 1, column 24: a field's name"),
        ('{"model_type": "phi9"}', "No answer. model_type='phi9' is not supported;"),
        ('{"model_type": "gpt2", "n_embd": "768"}', "No answer. config field 'n_embd': '768' is not a whole"),
    ],
)
def test_what_cannot_be_read_is_answered_by_why(page, pasted, message):
    box = page.tab.locator("#config-json")
    box.fill(pasted)
    assert message in says(page)
    assert box.get_attribute("aria-invalid") == "true"
    assert page.count("#config dl:visible") == 0
    page.tab.locator("#config button", has_text="Start again").click()
    assert "8,030,261,248 parameters" in says(page)
    page.tab.locator("#config-tokens").fill("0")
    assert "No answer. Context: a whole number from 1 to 10,000,000 tokens is allowed." in says(page)
    assert page.problems() == {}


def test_what_is_pasted_stays_text(page):
    mark = "<img src=x onerror=document.title=1><b>bold</b>"
    config = published()["llama-3.1-8b"] | {mark: mark, "hidden_act": mark}
    page.tab.locator("#config-json").fill(json.dumps(config))
    page.tab.locator("#config details").first.evaluate("one => { one.open = true; }")
    assert mark in says(page)
    page.tab.locator("#config-json").fill(json.dumps(config | {"hidden_size": mark}))
    assert mark in says(page)
    assert page.count("#config img, #config b") == 0
    assert page.problems() == {}


def test_the_reader_works_by_keyboard_alone(page):
    page.tab.locator("#config-tokens").focus()
    page.tab.keyboard.press("ControlOrMeta+a")
    page.tab.keyboard.type("1M")
    assert "1,048,576 tokens are more than the model's own 131,072." in says(page)
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.id") == "config-json"
    page.tab.keyboard.press("ControlOrMeta+a")
    page.tab.keyboard.type("[")
    assert "Not JSON at line 1, column 2" in says(page)
    assert page.tab.evaluate("document.activeElement.id") == "config-json"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_reader_is_accessible_answering_and_refusing(page, scheme, width):
    page.show(scheme, width)
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    for pasted in (json.dumps(published()["mixtral-8x7b"]), "{"):
        page.tab.locator("#config-json").fill(pasted)
        page.tab.evaluate("document.querySelectorAll('#config details').forEach(d => { d.open = true; })")
        page.tab.wait_for_timeout(700)  # the theme sets tab stops 300 ms after the size has changed
        found = page.tab.evaluate(
            """rules => axe.run({include: ['course-config']},
                {resultTypes: ['violations'], runOnly: rules})""",
            rules,
        )
        assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]] == []
        assert page.tab.evaluate("document.documentElement.scrollWidth") == width


def test_without_a_script_the_formula_and_worked_values_stand(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{PAGE}")
    text, forms = tab.locator("#config").text_content(), tab.locator("#config form").count()
    context.close()
    assert forms == 0
    assert r"\text{cache} &= 2 \, L \, G \, d_k \, b" in text
    for name in ("llama-3.1-8b", "deepseek-v3"):
        assert count_text(summary(spec_from_fields(published()[name]), 8192).total) in text


def test_the_reader_stands_on_chapter_1_too(browse):
    opened = browse("book/01_families_and_blocks.html")
    assert "8,030,261,248 parameters" in says(opened)
    assert opened.problems() == {}
    opened.close()
