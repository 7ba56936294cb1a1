"""The model on the page of chapter 2: its numbers are the notebook's, by keyboard and from a folder too."""

from pathlib import Path

import pytest
import torch

from course_lib.course.live_model.kept import LIMIT, WINDOW, live_model, next_bytes
from course_lib.course.live_model.texts import FIRST, LONG, TEXTS
from course_lib.kit.values import read_values

from .test_pages import AXE
from .visit import PHONE

PAGE = "book/02_attention_math.html"
NOTEBOOK = Path(__file__).parents[2] / "notebooks/02_attention_math/10_live_model.ipynb"
SMALLEST_PX = 9


def open_model(browse, over="http", scheme="light"):
    """Open the page and wait until the model, which comes when it is near, has answered."""
    opened = browse(PAGE, over=over, scheme=scheme)
    opened.tab.locator("course-live-model").scroll_into_view_if_needed()
    opened.tab.wait_for_selector("course-live-model[data-first-answer-ms]")
    return opened


@pytest.fixture(params=["http", "file"])
def page(browse, request):
    opened = open_model(browse, request.param)
    yield opened
    opened.close()


@pytest.fixture
def once(browse):
    opened = open_model(browse)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def recorded():
    """What the notebook measured, by name, as numbers."""
    return {name: value.value for name, value in read_values(NOTEBOOK).items()}


def said(opened) -> str:
    return opened.tab.locator("course-live-model .live-text").inner_text()


@torch.no_grad()
def last_row(text: str, block: int, head: int) -> torch.Tensor:
    """The library's weights of the last byte of a text in one head."""
    model, tokens = live_model(WINDOW), torch.tensor([list(text.encode())])
    at, caught = torch.arange(len(text))[None], []
    norm = model.blocks[block].mixer_norm
    hook = norm.register_forward_hook(lambda part, given, normed: caught.append(normed))
    model(tokens)
    hook.remove()
    return model.blocks[block].mixer.weights(caught[0], at)[0, head, -1]


def start_from(opened, name: str) -> None:
    opened.tab.select_option("#live-example", name)


def test_the_first_experiment_is_the_notebooks(page, recorded):
    assert f"Loss of this text: {recorded['short_loss']:.2f} nats per byte" in said(page)
    assert "Every part is in the model." in said(page)
    page.tab.locator('[data-part="0.ffn"]').uncheck()
    assert f"Loss of this text: {recorded['short_without_ffn']:.2f} nats per byte" in said(page)
    more = recorded["short_without_ffn"] - recorded["short_loss"]
    assert f"Without the FFN of block 1: {more:.2f} more" in said(page)
    page.tab.locator("text=Put every part back").click()
    assert f"Loss of this text: {recorded['short_loss']:.2f} nats per byte" in said(page)
    stream = page.tab.locator(".live-stream tbody").inner_text()
    assert f"{recorded['stream_start']:.2f}" in stream and f"{recorded['stream_block_1']:.2f}" in stream
    assert page.problems() == {}


def test_the_head_before_can_be_chosen_read_and_taken_out(once):
    once.tab.locator('[aria-label="Enlarge head 2 of block 3"]').check()
    text = TEXTS[FIRST]
    row = last_row(text, block=2, head=1)
    place, weight = row.argmax().item(), row.max().item()
    words = once.tab.locator(".live-large .live-said").inner_text()
    assert (
        words
        == f"From byte {len(text)}, “{text[-1]}” to byte {place + 1}, “{text[place]}”: weight {weight:.3f}"
    )
    assert "Block 3, keys" in once.tab.locator(".live-cache").inner_text()
    once.tab.locator('[data-part="2.1"]').uncheck()
    assert "Without head 2 of block 3:" in said(once)
    assert once.tab.locator('td:has([data-part="2.1"])').inner_text().strip() == "out"


def test_the_window_experiment_is_the_notebooks(once, recorded):
    start_from(once, LONG)
    assert f"Loss of this text: {recorded['long_loss']:.2f} nats per byte" in said(once)
    once.tab.locator("#live-window").uncheck()
    assert f"Loss of this text: {recorded['long_without_window']:.2f} nats per byte" in said(once)
    assert f"Keys and values of {len(TEXTS[LONG])} bytes" in once.tab.locator(".live-cache").inner_text()
    once.tab.locator("#live-window").check()
    assert f"Keys and values of {WINDOW} bytes" in once.tab.locator(".live-cache").inner_text()


def test_the_next_byte_is_the_librarys(once):
    for name, text in TEXTS.items():
        start_from(once, name)
        shown = once.tab.locator(".live-next tbody tr").first.inner_text()
        (byte, share), *_ = next_bytes(text, 1)
        assert f"{100 * share:.0f} %" in shown or f"{100 * share:.1f} %" in shown
        assert {32: "space", 10: "\\n"}.get(byte, chr(byte)) in shown


def test_what_is_typed_is_answered_with_one_step_and_by_keyboard(page):
    page.tab.locator("#live-box").focus()
    page.tab.keyboard.press("ControlOrMeta+End")
    page.tab.keyboard.type('"')
    cache = page.tab.locator(".live-cache").inner_text()
    assert "1 byte computed with" in cache
    assert f"{len(TEXTS[FIRST])} taken from the cache" in cache
    reached = []
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        reached.append(page.tab.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    order = [
        "live-example",
        "live-temperature",
        "live-window",
        "live-at",
        "Keep head 1 of block 1",
        "live-key",
    ]
    places = [reached.index(name) for name in order]
    assert places == sorted(places)
    page.tab.locator('[aria-label="Enlarge head 1 of block 1"]').focus()
    page.tab.keyboard.press("ArrowRight")
    assert "Head 2 of block 1" in page.tab.locator(".live-large").inner_text()
    page.tab.locator("#live-at").focus()
    page.tab.keyboard.press("Home")
    assert "After byte 1, space" in page.tab.locator(".live-next").inner_text()
    assert page.problems() == {}


def test_generation_stops_when_told_and_at_the_end(once):
    once.tab.emulate_media(reduced_motion="no-preference")
    button = once.tab.locator("button", has_text="Generate")
    button.click()
    stop = once.tab.locator("button", has_text="Stop")
    once.tab.wait_for_function(
        "least => document.querySelector('#live-box').value.length > least", arg=len(TEXTS[FIRST])
    )
    stop.click()
    length = len(once.tab.locator("#live-box").input_value())
    once.tab.wait_for_timeout(300)
    assert len(once.tab.locator("#live-box").input_value()) == length < LIMIT
    once.tab.emulate_media(reduced_motion="reduce")
    once.tab.locator("#live-temperature").fill("0")
    assert "0: greedy" in said(once)
    button.click()
    assert f"of {LIMIT}," in said(once)
    assert once.tab.locator("button", has_text="Stop").count() == 0
    assert once.problems() == {}


def test_the_pointer_reads_a_cell_of_the_map(once):
    frame = once.tab.locator(".live-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    n = len(TEXTS[FIRST])
    once.tab.mouse.move(box["x"] + box["width"] * 4.5 / n, box["y"] + box["height"] * 5.5 / n)
    assert "From byte 6, “f” to byte 5, “i”" in once.tab.locator(".live-large .live-said").inner_text()


def test_an_empty_text_and_bytes_that_are_no_ascii_are_answered(once):
    for text in ("", "a", "größe = '😀'\t"):
        once.tab.locator("#live-box").fill(text)
        shown = once.tab.locator("course-live-model").inner_text()
        assert not any(word in shown for word in ("NaN", "undefined", "Infinity", "null"))
    assert "“" in said(once) or "\\t" in said(once)
    assert once.problems() == {}


def test_a_change_is_announced(once):
    status = once.tab.locator("course-live-model [role=status]")
    once.tab.locator('[data-part="0.ffn"]').uncheck()
    once.tab.wait_for_function(
        """() => document.querySelector('course-live-model [role=status]').textContent
            .includes('FFN of block 1')"""
    )
    assert "Likeliest after byte" in status.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 1280])
def test_it_is_readable_and_fits(once, scheme, width):
    start_from(once, LONG)
    once.show(scheme, width)
    small = once.tab.evaluate(
        """least => [...document.querySelectorAll('course-live-model *')].filter((e) => {
            const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            const svg = e.closest('svg.live-curve');
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            return text && e.checkVisibility() && parseFloat(getComputedStyle(e).fontSize) * scale < least;
        }).map((e) => e.outerHTML.slice(0, 100))""",
        SMALLEST_PX,
    )
    assert small == []
    over = once.tab.evaluate(
        """() => [...document.querySelectorAll('course-live-model .live-panel *')].filter((e) => {
            const panel = e.closest('.live-panel').getBoundingClientRect();
            return e.checkVisibility() && !e.closest('.live-hidden') && !e.matches('.live-row, .live-cell')
                && e.getBoundingClientRect().right > panel.right + 4;
        }).map((e) => e.outerHTML.slice(0, 100))"""
    )
    assert over == []
    assert once.tab.evaluate("document.documentElement.scrollWidth") <= width
    once.tab.add_script_tag(path=AXE)
    found = once.tab.evaluate("axe.run('course-live-model').then(({ violations }) => violations)")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []


def test_the_maps_follow_the_theme(once):
    ink = """() => [...document.querySelector('.live-frame canvas').getContext('2d')
        .getImageData(0, 0, 1, 1).data]"""
    light = once.tab.evaluate(ink)
    once.show("dark")
    once.tab.wait_for_timeout(100)
    assert light != once.tab.evaluate(ink)


def test_without_a_script_the_page_has_the_librarys_answers(chromium, served):
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{served}/{PAGE}")
    shown = tab.locator("course-live-model").inner_html()
    for name, text in TEXTS.items():
        assert name in shown
        assert f"{next_bytes(text, 1)[0][1]:.0%}" in shown
    assert tab.locator("course-live-model svg.live-curve").is_visible()
    context.close()


def test_the_weights_are_not_loaded_before_they_are_near(browse):
    opened = browse(PAGE)
    assert opened.tab.evaluate("typeof globalThis.liveModelData") == "undefined"
    opened.close()
    opened = open_model(browse)
    print(
        "first answer:", opened.tab.locator("course-live-model").get_attribute("data-first-answer-ms"), "ms"
    )
    opened.close()
