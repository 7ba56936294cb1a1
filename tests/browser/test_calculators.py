"""The calculators in a browser: the answers are Python's, by keyboard, from a link, and without a script."""

import pytest

from course_lib.course.calculators.emit import CALCULATORS, variants
from course_lib.course.calculators.presets import answer_text, setting

from .conftest import SITE
from .test_pages import AXE
from .visit import PHONE

PAGE = "book/calculators.html"
PRESETS = ("model", "machine", "split", "arithmetic")
WORKED = [(name, worked) for name, calculator in CALCULATORS.items() for worked in calculator.worked]


@pytest.fixture(params=["http", "file"])
def page(browse, request):
    """Open the page anew, for a calculator has a state."""
    opened = browse(PAGE, over=request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def once(browse):
    """Open the page once for tests that enter everything they need."""
    opened = browse(PAGE)
    yield opened
    opened.close()


def by_python(name: str, changed: dict) -> str:
    """Return the answer of the library, in words."""
    return answer_text(CALCULATORS[name], setting(CALCULATORS[name], changed))


def enter(opened, name: str, changed: dict) -> None:
    """Enter a setting: presets first, then numbers."""
    opened.tab.locator(f"#{name} button", has_text="Start again").click()
    for kind in PRESETS:
        if kind in changed:
            opened.tab.select_option(f"#{name}-{kind}", changed[kind])
    for key, value in changed.items():
        if key not in PRESETS:
            box = opened.tab.locator(f"#{name}-{key}")
            box.evaluate("box => box.closest('details')?.setAttribute('open', '')")
            box.fill(str(value))


def answer(opened, name: str) -> str:
    return opened.tab.locator(f"#{name} .calculator-number").inner_text()


def formula(opened, name: str) -> str:
    """Return the formula as MathJax has set it, waiting until it has."""
    opened.tab.evaluate("name => document.getElementById(name).typesetting ?? true", name)
    opened.tab.wait_for_selector(f"#{name} .calculator-formula mjx-container")
    return opened.tab.locator(f"#{name} .calculator-formula").inner_html()


@pytest.mark.parametrize(
    ("name", "worked"), WORKED, ids=[f"{name}-{i}" for i, (name, _) in enumerate(WORKED)]
)
def test_the_answer_is_the_librarys(once, name, worked):
    enter(once, name, worked)
    assert answer(once, name) == by_python(name, worked)
    worked_text = once.tab.locator(f"#{name} .calculator-worked").text_content()
    assert by_python(name, worked) in worked_text


@pytest.mark.parametrize("name", CALCULATORS)
def test_every_structure_answers_and_shows_its_own_formula(once, name):
    seen = set()
    for variant in variants(name):
        changed = {"model": variant.models[0], "split": variant.split, "devices": 1}
        known = {entry.name for entry in variant.inputs} | {"model", "split"}
        changed = {key: value for key, value in changed.items() if value and key in known}
        enter(once, name, changed)
        assert answer(once, name) == by_python(name, changed)
        seen.add(formula(once, name))
    assert len(seen) == len({variant.formula for variant in variants(name)})
    assert once.problems() == {}


def test_what_is_not_allowed_is_answered_by_what_is(page):
    name = "concurrency"
    enter(page, name, {})
    tokens = page.tab.locator(f"#{name}-tokens")
    for typed in ("", "0", "-4", "1.5", "abc", "1e999", "NaN", "20000000"):
        tokens.fill(typed)
        shown = page.tab.locator(f"#{name}").inner_text()
        assert "No answer. Context: a whole number from 1 to 10,000,000 tokens is allowed." in shown
        assert not any(word in shown for word in ("NaN", "Infinity", "undefined", "null"))
        assert tokens.get_attribute("aria-invalid") == "true"
        assert page.count(f"#{name} svg:visible") == 0
    tokens.fill("128K")
    assert (answer(page, name), tokens.get_attribute("aria-invalid")) == ("10", "false")
    enter(page, name, {"kv_heads": 7})
    assert "a multiple of KV heads (7) is allowed" in page.tab.locator(f"#{name}").inner_text()
    assert page.problems() == {}


def test_heads_that_devices_cannot_split_are_refused_and_requests_are_split(page):
    name = "concurrency"
    enter(page, name, {"devices": 3})
    shown = page.tab.locator(f"#{name}").inner_text()
    assert "No answer. Devices: a divisor or a multiple of KV heads (8) is allowed." in shown
    page.tab.select_option(f"#{name}-split", "requests")
    assert answer(page, name) == by_python(name, {"devices": 3, "split": "requests"})
    node = {"model": "deepseek-v3", "machine": "H200-SXM", "bytes_per_weight": 8}
    for split, fit, copies in (("heads", "18", "8 copies"), ("requests", "112", "1 copy")):
        enter(page, name, {**node, "split": split})
        assert answer(page, name) == by_python(name, {**node, "split": split}) == fit
        assert f"all devices hold {copies} of each cache" in page.tab.locator(f"#{name}").inner_text()
    assert page.problems() == {}


def test_the_peak_follows_the_bits_and_its_arithmetic_is_named(page):
    name = "decode-step"
    node = {"machine": "B200", "devices": 1, "batch": 4096, "tokens": 128}
    for bits, arithmetic in ((16, "16-bit"), (8, "FP8"), (4.5, "FP4")):
        changed = {**node, "bytes_per_weight": bits}
        enter(page, name, changed)
        assert answer(page, name) == by_python(name, changed)
        assert f"in {arithmetic} arithmetic" in page.tab.locator(f"#{name} .calculator-answer").inner_text()
    page.tab.select_option(f"#{name}-arithmetic", "16-bit")
    chosen = {**changed, "arithmetic": "16-bit"}
    assert answer(page, name) == by_python(name, chosen) != by_python(name, changed)
    page.tab.select_option(f"#{name}-machine", "H100-SXM")
    assert page.tab.locator(f"#{name}-arithmetic option").all_inner_texts()[1:] == ["16-bit", "FP8", "INT8"]
    enter(page, name, {"peak_flops": 500})
    assert "at the peak entered" in page.tab.locator(f"#{name} .calculator-answer").inner_text()
    assert page.problems() == {}


def test_it_works_by_keyboard_alone(page):
    page.tab.locator("#kv-budget-batch").focus()
    page.tab.keyboard.press("Tab")
    focused = page.tab.evaluate("document.activeElement.id")
    assert focused == "kv-budget-tokens"
    page.tab.keyboard.press("ControlOrMeta+a")
    page.tab.keyboard.type("131072")
    assert answer(page, "kv-budget") == by_python("kv-budget", {"tokens": 131072})
    page.tab.locator("#kv-budget-model").focus()
    before = page.tab.locator("#kv-budget-model").input_value()
    page.tab.keyboard.press("ArrowDown")
    page.tab.wait_for_function(
        "before => document.querySelector('#kv-budget-model').value !== before", arg=before
    )
    model = page.tab.locator("#kv-budget-model").input_value()
    assert answer(page, "kv-budget") == by_python("kv-budget", {"model": model, "tokens": 131072})
    assert page.tab.evaluate("document.activeElement.id") == "kv-budget-model"


def test_a_link_brings_the_numbers_of_each_calculator_back(page, browse):
    wanted = {"model": "gemma-3-27b", "machine": "L40S", "tokens": 100000, "kv_heads": 8, "split": "requests"}
    enter(page, "kv-budget", wanted)
    enter(page, "decode-step", {"batch": 64})
    for name in ("kv-budget", "decode-step"):
        page.tab.locator(f"#{name} button", has_text="Copy link").click()
        page.tab.wait_for_function(
            "name => document.querySelector(`#${name} .calculator-shared`).textContent", arg=name
        )
    link = page.tab.evaluate("location.href")
    assert link.endswith("#decode-step")
    over = "http" if link.startswith("http") else "file"
    again = browse(PAGE + "?" + link.split("?")[1], over=over)
    assert answer(again, "kv-budget") == by_python("kv-budget", wanted)
    assert answer(again, "decode-step") == by_python("decode-step", {"batch": 64})
    assert answer(again, "concurrency") == by_python("concurrency", {})
    assert again.problems() == {}
    again.close()
    broken = browse(PAGE + "?kv-budget.tokens=lots&kv-budget.model=none&kv-budget.nothing=1", over=over)
    assert "No answer. Context" in broken.tab.locator("#kv-budget").inner_text()
    assert broken.problems() == {}
    broken.close()


@pytest.mark.parametrize("name", CALCULATORS)
def test_the_plot_says_its_finding_and_follows_the_numbers(once, name):
    enter(once, name, {})
    plot = once.tab.locator(f"#{name} svg[role=img]")
    first = plot.get_attribute("aria-label")
    assert once.tab.locator(f"#{name} .calculator-caption").inner_text() in first
    assert plot.locator("circle.point").count() == 1
    lines = plot.locator("path.line").evaluate_all("lines => lines.map(line => line.getAttribute('d'))")
    assert len(lines) == len(CALCULATORS[name].plot.series)
    once.tab.locator(f"#{name}-axes").check()
    drawn = once.tab.locator(f"#{name} svg[role=img] path.line").evaluate_all(
        "all => all.map(p => p.getAttribute('d'))"
    )
    assert drawn != lines
    assert not any("NaN" in path for path in [*drawn, *lines])
    axis = CALCULATORS[name].plot
    changed = {axis.x: min(1000, axis.high)} | ({"latency_limit": 1} if name == "objective-j" else {})
    enter(once, name, changed)
    assert once.tab.locator(f"#{name} svg[role=img]").get_attribute("aria-label") != first


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_calculators_are_accessible_open_and_refusing(page, scheme, width):
    page.show(scheme, width)
    page.tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.tab.locator("#concurrency-tokens").fill("none")
    page.tab.wait_for_timeout(700)  # the theme sets tab stops 300 ms after the size has changed
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.tab.evaluate(
        """rules => axe.run({include: ['course-calculator']},
            {resultTypes: ['violations'], runOnly: rules})""",
        rules,
    )
    broken = [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
    assert broken == []
    assert page.tab.evaluate("document.documentElement.scrollWidth") == width


def test_without_a_script_the_formula_and_worked_values_stand(chromium):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{SITE.resolve().as_uri()}/{PAGE}")
    shown = {name: tab.locator(f"#{name}").text_content() for name in CALCULATORS}
    forms = tab.locator("course-calculator form").count()
    context.close()
    assert forms == 0
    for name, text in shown.items():
        assert variants(name)[0].formula in text
        assert all(by_python(name, worked) in text for worked in CALCULATORS[name].worked)


def test_the_winner_changes_with_the_price_and_the_limit_and_its_marks_are_drawn(page):
    name = "objective-j"
    enter(page, name, {})
    box = page.tab.locator(f"#{name}")
    assert "encoder, one pass wins: a request costs 0.00605 USD" in box.inner_text()
    assert box.locator("svg line.limit").count() == 2
    assert "ties with the winner at 0.335 USD" in box.locator(".calculator-facts").inner_text()
    enter(page, name, {"usd_per_error": 2, "latency_limit": 0.25})
    assert "8B, one pass wins" in box.inner_text()
    assert box.locator(".calculator-facts").inner_text().count("too slow") == 2
    enter(page, name, {"latency_limit": 0.001})
    assert box.locator(".calculator-number").inner_text() == "none"
    assert "No candidate answers within 1 ms." in box.inner_text()
    enter(page, name, {"error_3": "0.2"})
    assert "encoder, one pass wins up to" in box.locator(".calculator-caption").inner_text()
    assert page.problems() == {}


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("book/00_why_architecture.html", ["objective-j"]),
        ("book/02_attention_math.html", ["attention-share", "score-matrix"]),
        ("book/03_kv_cache.html", ["kv-budget", "concurrency", "decode-step", "request-latency"]),
    ],
)
def test_each_calculator_stands_on_a_chapters_page_too(browse, address, names):
    opened = browse(address)
    there = opened.tab.eval_on_selector_all("course-calculator", "all => all.map(one => one.id)")
    answered = opened.count("course-calculator[data-answered]")
    assert there == names
    assert answered == len(there)
    assert opened.problems() == {}
    opened.close()
