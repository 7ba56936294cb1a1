"""The model on the page: its JavaScript gives what the library gives with the same rounded weights."""

import json
import random
import re

import pytest
import torch

from course_lib.costs.cache import cache_bytes_per_token
from course_lib.costs.flops import flops_per_token
from course_lib.course.live_model.curve import alternative, curve_svg
from course_lib.course.live_model.emit import script, weight_bytes
from course_lib.course.live_model.kept import LIMIT, WINDOW, live_model, next_bytes, windowed
from course_lib.course.live_model.texts import FIRST, LONG, TEXTS
from course_lib.evaluate.ablation import feed_forward_removed, heads_removed
from course_lib.kit.runs import load_run
from course_lib.train.standard import STANDARD
from tests.javascript import run, static

PARTS = [static(f"live/{part}.js") for part in ("maths", "weights", "model", "session", "words")]
CLOSE = {"rtol": 0, "atol": 1e-5}
TOOLS = """
const { Model } = globalThis.liveModel, { Session } = globalThis.liveSession;
const model = new Model(globalThis.liveModelData);
const read = (bytes, settings) => {
  const session = new Session(model, settings);
  session.read(bytes);
  return session;
};
const plain = (x) => Array.from(x, Number);
"""


def in_node(body: str, data=None):
    """Run a body with the page's model as `model`."""
    return run(TOOLS + body, data, script(), *PARTS)


def codes(text: str) -> list[int]:
    return list(text.encode())


def tokens(text: str) -> torch.Tensor:
    return torch.tensor([codes(text)])


@pytest.fixture(scope="module")
def models():
    """The library's model by whether it has the window, in float64."""
    return {True: live_model(WINDOW).double(), False: live_model().double()}


def scores(text: str, settings: dict | None = None) -> torch.Tensor:
    """The page's scores after each byte."""
    body = "return read(data.text, data.settings).steps.map((step) => plain(step.scores));"
    found = in_node(body, {"text": codes(text), "settings": settings or {}})
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("name", [FIRST, LONG])
@pytest.mark.parametrize("window", [True, False])
def test_every_score_is_the_librarys(name, window, models):
    with torch.no_grad():
        want = models[window](tokens(TEXTS[name]))[0]
    torch.testing.assert_close(scores(TEXTS[name], {"window": window}), want, **CLOSE)


def test_the_two_models_differ_where_the_window_ends():
    """Or the test above would not see a window that is ignored or one byte too long."""
    found = [scores(TEXTS[LONG], {"window": window}) for window in (True, False)]
    apart = (found[0] - found[1]).abs().amax(1)
    assert apart[:WINDOW].max() == 0 and apart[WINDOW] > 1e-4


@pytest.mark.parametrize("window", [True, False])
def test_a_step_with_the_cache_is_the_librarys(window, models):
    text = TEXTS[LONG]
    cache, want = models[window].make_cache(1, LIMIT), []
    with torch.no_grad():
        for token in tokens(text)[0]:
            want.append(models[window](token[None, None], cache=cache)[0, 0])
    body = """
    const session = new Session(model, { window: data.window });
    return data.text.map((_, at) => {
      session.read(data.text.slice(0, at + 1));
      return [session.computed, plain(session.steps.at(-1).scores)];
    });"""
    found = in_node(body, {"text": codes(text), "window": window})
    assert [computed for computed, _ in found] == [1] * len(text)
    torch.testing.assert_close(
        torch.tensor([step for _, step in found], dtype=torch.float64), torch.stack(want), **CLOSE
    )


@torch.no_grad()
def test_the_weights_of_every_head_and_the_streams_lengths_are_the_librarys(models):
    model, text = models[True], TEXTS[LONG]
    at = torch.arange(len(text))[None]
    body = """
    return read(data).steps.map(({ start, blocks }) => [start, blocks.map((block) => ({
      ...block, weights: block.weights.map(plain) }))]);"""
    found = in_node(body, codes(text))
    x = model.embed(tokens(text), at)
    assert [start for start, _ in found] == pytest.approx(x[0].norm(dim=-1).tolist(), abs=1e-5)
    for number, block in enumerate(model.blocks):
        want = block.mixer.weights(block.mixer_norm(x), at)[0]  # [h t s]
        mixed = block.mixer(block.mixer_norm(x), at)
        ffn = block.ffn(block.ffn_norm(x + mixed))
        x = x + mixed + ffn
        for query, (_, blocks) in enumerate(found):
            ours = blocks[number]
            row = want[:, query, ours["first"] : query + 1]
            torch.testing.assert_close(torch.tensor(ours["weights"], dtype=torch.float64), row, **CLOSE)
            assert row.sum(-1) == pytest.approx(torch.ones(4).tolist())
            lengths = [part[0, query].norm().item() for part in (mixed, ffn, x)]
            assert [ours["attention"], ours["ffn"], ours["stream"]] == pytest.approx(lengths, abs=1e-5)


@pytest.mark.parametrize("off", [["2.1"], ["0.0", "0.3", "3.2"], ["0.ffn"], ["1.ffn", "3.ffn", "1.0"]])
def test_a_part_taken_out_is_what_the_library_takes_out(off, models):
    text, parts = TEXTS[LONG], [key.split(".") for key in off]
    heads = [(int(block), int(part)) for block, part in parts if part != "ffn"]
    ffns = [int(block) for block, part in parts if part == "ffn"]
    with torch.no_grad(), heads_removed(models[True], heads), feed_forward_removed(models[True], ffns):
        want = models[True](tokens(text))[0]
    torch.testing.assert_close(scores(text, {"off": off}), want, **CLOSE)


def test_losses_are_the_librarys(models):
    body = "const session = read(data); return [session.losses(), session.loss()];"
    losses, mean = in_node(body, codes(TEXTS[LONG]))
    with torch.no_grad():
        given = tokens(TEXTS[LONG])
        want = torch.nn.functional.cross_entropy(
            models[True](given[:, :-1])[0], given[0, 1:], reduction="none"
        )
    assert losses == pytest.approx(want.tolist(), abs=1e-5)
    assert mean == pytest.approx(want.mean().item(), abs=1e-5)


def test_the_likeliest_bytes_are_those_that_the_page_shows_without_a_script():
    body = "return liveWords.largest(read(data).next(), 3).map(({ place, share }) => [place, share]);"
    for text in TEXTS.values():
        found = in_node(body, codes(text))
        want = next_bytes(text, 3)
        assert [place for place, _ in found] == [place for place, _ in want]
        assert [share for _, share in found] == pytest.approx([share for _, share in want], abs=1e-5)


def test_a_byte_more_costs_one_step_and_a_step_what_the_library_counts():
    body = """
    const session = read(data.slice(0, -1));
    const before = [session.work, session.computed];
    session.read(data);
    const after = [session.work, session.computed, session.reused];
    return [...before, ...after, session.cache.bytes(session.window)];"""
    text = TEXTS[FIRST]
    whole, first, work, computed, reused, kept_bytes = in_node(body, codes(text))
    assert (first, computed, reused) == (len(text) - 1, 1, len(text) - 1)
    assert 2 * work == flops_per_token(STANDARD, len(text))
    assert 2 * whole == sum(flops_per_token(STANDARD, n) for n in range(1, len(text)))
    assert kept_bytes == len(text) * cache_bytes_per_token(STANDARD, bytes_per_element=4)


def test_a_text_past_the_window_keeps_the_windows_bytes_and_costs_no_more():
    body = """
    const session = read(data);
    session.read([...data, 97]);
    return [session.work, session.cache.bytes(session.window)];"""
    work, kept_bytes = in_node(body, codes(TEXTS[LONG]))
    assert 2 * work == flops_per_token(windowed(), len(TEXTS[LONG]) + 1)
    assert kept_bytes == WINDOW * cache_bytes_per_token(STANDARD, bytes_per_element=4)


def test_an_edit_anywhere_gives_what_a_fresh_start_gives():
    chance = random.Random(0)
    texts, text = [], codes(TEXTS[FIRST])
    for _ in range(12):
        at = chance.randrange(len(text))
        text = text[:at] + [chance.randrange(256)] * chance.randrange(3) + text[at + 1 :] or [10]
        texts.append(text)
    body = """
    const session = new Session(model, { off: ["1.2"] });
    return data.map((text) => {
      session.read(text);
      const fresh = read(text, { off: ["1.2"] });
      return [session.reused, plain(session.steps.at(-1).scores), plain(fresh.steps.at(-1).scores)];
    });"""
    found = in_node(body, texts)
    assert any(reused for reused, *_ in found)
    assert all(ours == fresh for _, ours, fresh in found)


def test_at_most_the_limit_is_read_and_drawing_stops_there():
    body = """
    const session = read(Array(data + 50).fill(97));
    const full = [session.bytes.length, session.draw(1)];
    session.read([]);
    const none = [session.loss(), session.draw(1)];
    session.read([97]);
    return [...full, ...none, session.loss(), session.draw(0), session.bytes.length];"""
    assert in_node(body, LIMIT) == [LIMIT, False, None, False, None, True, 2]


def test_greedy_takes_the_likeliest_and_a_draw_follows_the_probabilities(models):
    text = TEXTS[FIRST]
    body = """
    const session = read(data.text);
    const drawn = data.random.map((at) => {
      session.read(data.text);
      session.draw(data.temperature, () => at);
      return session.bytes.at(-1);
    });
    return [drawn, plain(session.next(data.text.length - 1, data.temperature))];"""
    with torch.no_grad():
        want = models[True](tokens(text))[0, -1]
    places = [0.0, 0.1, 0.5, 0.9, 0.999999]
    for temperature in (0, 0.7, 1.3):
        data = {"text": codes(text), "random": places, "temperature": temperature}
        drawn, shares = in_node(body, data)
        if temperature == 0:
            assert drawn == [int(want.argmax())] * len(places)
            continue
        expected = (want / temperature).softmax(-1)
        torch.testing.assert_close(torch.tensor(shares, dtype=torch.float64), expected, **CLOSE)
        bounds = expected.cumsum(0)
        assert drawn == [int((bounds <= at).sum()) for at in places]


def test_a_half_is_the_number_that_python_reads():
    bits = [0, 1, 0x3FF, 0x400, 0x3C00, 0x3C01, 0x7BFF, 0x8001, 0xBC00, 0x0155]
    found = in_node("return data.map(globalThis.liveWeights.half);", bits)
    want = torch.tensor(bits, dtype=torch.int32).to(torch.int16).view(torch.float16).double().tolist()
    assert found == want


def test_every_weight_arrives_exactly(models):
    body = """
    return Object.entries(model.weights).map(([name, weight]) => [name, plain(weight.data ?? weight)]);"""
    found = dict(in_node(body))
    want = {name.removesuffix(".weight"): p for name, p in models[False].named_parameters()}
    assert set(found) == set(want)
    for name, parameter in want.items():
        assert found[name] == parameter.flatten().tolist(), name


def test_the_script_is_below_300_kb_and_holds_each_weight_in_a_byte():
    matrices = [p for p in live_model().parameters() if p.dim() == 2]
    vectors = [p for p in live_model().parameters() if p.dim() == 1]
    assert len(script().encode()) < 300_000
    assert len(weight_bytes()) == sum(m.numel() + 2 * len(m) for m in matrices) + 2 * sum(map(len, vectors))


def test_bytes_are_named_so_that_none_is_taken_for_another():
    body = """
    const { byteName, byteMark, quoted, bytesOf, textOf, change, percent } = liveWords;
    const all = Array.from({ length: 256 }, (_, byte) => byte);
    const said = [change(0.6, 3.98), change(0.6, 0.55), change(0.6, 0.601)];
    said.push(percent(0.26), percent(0.024));
    const inside = [32, 97, 10, 200].map(quoted);
    return [all.map(byteName), all.map(byteMark), inside, textOf(bytesOf(data)), said];"""
    names, marks, inside, again, said = in_node(body, "grün\n\t😀")
    assert len(set(names)) == 256
    assert [names[byte] for byte in (9, 10, 32, 65, 92, 127, 226)] == [
        "\\t",
        "\\n",
        "space",
        "A",
        "\\",
        "\\x7f",
        "\\xe2",
    ]
    assert {len(mark) for mark in marks} == {1}
    assert inside == ["space", "“a”", "\\n", "\\xc8"] and again == "grün\n\t😀"
    assert said == ["3.38 more", "0.05 less", "no change", "26 %", "2.4 %"]


def test_the_curve_is_the_records():
    record = load_run("depth_against_width")
    runs = record.runs("4 blocks", 1400)
    (own,) = (entry for entry in runs if entry["seed"] == record.facts["kept"][0]["seed"])
    drawing = curve_svg()
    assert drawing.count('class="live-dot"') == len(own["curve"])
    points = re.search(r'points="([^"]+)"', drawing)[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    losses = list(own["train"].values())
    assert len(points) == len(losses)
    assert sorted(range(len(losses)), key=losses.__getitem__) == sorted(
        range(len(heights)), key=lambda at: -heights[at]
    )
    for name, loss in record.baselines().items():
        assert f"{name} {loss:.2f}" in drawing and f"{name} {loss:.2f}" in alternative()
    assert json.dumps(alternative())[1:-1] in drawing
