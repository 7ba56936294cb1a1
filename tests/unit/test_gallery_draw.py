"""Every published model is drawn: sound, twice the same, its numbers those of the cost functions."""

import json
import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import combinations
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner

from course_lib.costs import cache_bytes_per_token, layer_params, param_count
from course_lib.course.cli.app import app
from course_lib.course.gallery.boxes import amount_text, wrapped
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import differences
from course_lib.course.gallery.draw import draw_model
from course_lib.course.gallery.facts import facts
from course_lib.course.gallery.pair import draw_pair, marks_of
from course_lib.course.gallery.strip import columns
from course_lib.kit.diagrams.figure import Figure
from course_lib.kit.diagrams.pen import text_width
from course_lib.kit.units import billions_text, bytes_text
from course_lib.specs.loader import list_specs, load_spec, read_entry
from tests.repo.repository import before, commit

NAMES = list_specs()
SVG = "{http://www.w3.org/2000/svg}"
RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@cache
def drawn(name: str) -> Figure:
    return draw_model(load_spec(name))


def words(figure: Figure) -> list[str]:
    """The texts of a figure."""
    return [text.words for panel in figure.panels for text in panel.pen.texts]


def texts_by_key(figure: Figure) -> dict[str, str]:
    """Texts that tell a fact, under its key."""
    root = ElementTree.fromstring(figure.inline("x"))
    return {one.get("data-k"): one.text for one in root.iter(f"{SVG}text") if one.get("data-k")}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_drawn_without_a_fault_and_twice_alike(name):
    assert drawn(name).faults() == []
    assert draw_model(load_spec(name)).inline("x") == drawn(name).inline("x")


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_tells_a_fact_begins_with_its_words(name):
    """A row in a picture is a row of the description; an echo is named with its layer."""
    rows, found = facts(describe(load_spec(name))), texts_by_key(drawn(name))
    assert {key for key in found if not key.endswith("/name")} <= set(rows)
    for key, text in ((key, text) for key, text in found.items() if key in rows):
        shown = text.partition(": as in ")[0] if ": as in " in text else text
        assert rows[key].text.startswith(shown), key


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_of_a_first_layer_is_in_the_picture(name):
    rows, found = facts(describe(load_spec(name))), texts_by_key(drawn(name))
    firsts = [
        key for key in rows if "/" not in key.partition("/")[2] or key.split("/")[1] in ("A", "start", "end")
    ]
    assert [key for key in firsts if key not in found] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_figure_are_those_of_the_cost_functions(name):
    spec = load_spec(name)
    said, count = words(drawn(name)), param_count(spec)
    assert f"Parameters: {billions_text(count.total)}" in said
    if count.active != count.total:
        assert f"Active per token: {billions_text(count.active)}" in said
    if spec.head == "lm" and cache_bytes_per_token(spec):
        assert f"Cache: {bytes_text(cache_bytes_per_token(spec))} per token" in said
    parts = layer_params(spec.layers[0], spec.width)
    assert billions_text(parts["attention"] or parts["state"]) in said


def test_a_column_of_the_strip_is_a_layer():
    [stack] = describe(load_spec("qwen3.5-35b-a3b")).stacks
    assert columns(stack)[2:5] == [("p state", "p ffn"), ("p attn", "p ffn"), ("p state", "p ffn")]
    [gemma] = describe(load_spec("gemma-3-27b")).stacks
    assert columns(gemma)[4:6] == [("q attn", "q ffn"), ("p attn", "q ffn")]
    [mamba] = describe(load_spec("mamba-2.8b")).stacks
    assert columns(mamba)[0] == ("p state", "")


def test_a_model_that_writes_nothing_keeps_nothing():
    for name in ("bert-base", "clip-vit-l-14", "vit-l-16"):
        assert [one for one in words(drawn(name)) if one.startswith("keeps")] == []
    assert [one for one in words(drawn("t5-base")) if "source token" in one] == [
        "keeps 3 KiB per source token"
    ]


def test_norms_stand_where_the_layout_says():
    """On the branch before its part (pre-norm), on the stream behind the sum (post-norm), or both."""
    pills = {
        name: re.findall(r'<rect x="([\d.]+)"[^>]*class="b norm"', drawn(name).panels[0].pen.body())
        for name in ("llama-3-8b", "bert-base", "gemma-3-27b", "falcon-7b", "gpt-neox-20b")
    }
    assert pills["llama-3-8b"] == ["40", "40", "7"]
    assert pills["bert-base"] == ["7", "7"]
    assert pills["gemma-3-27b"][:4] == ["40"] * 4
    assert pills["falcon-7b"] == ["40", "7"]
    assert pills["gpt-neox-20b"] == ["40", "40", "7"]


def test_a_line_that_is_too_long_is_broken():
    assert wrapped("beta fast 32, slow 1, mscale 1, mscale_all_dim 1, from 4,096", 200)[1].endswith("4,096")
    long = wrapped("supercalifragilisticexpialidocious it is", 60)
    assert long == ["supercalifragilisticexpialidocious", "it is"]
    assert text_width("it is") < 60


def test_a_long_name_takes_two_lines():
    name = "the model of somebody who gave it a long name"
    figure = draw_model(load_spec("gpt2"), name)
    assert figure.faults() == [] and name not in words(figure)
    assert figure.panels[0].title == f"Architecture of {name}"


def pairs_by_hash(count: int) -> list[tuple[str, str]]:
    """Pairs chosen by the commit's hash, so that in time every pair is drawn."""
    seed = commit()
    ranked = sorted(combinations(NAMES, 2), key=lambda pair: sha256(f"{seed}{pair}".encode()).digest())
    return ranked[:count]


def changed() -> list[str]:
    """Models whose config is another one in the last commit, or in what is not committed."""
    found = []
    for name in NAMES:
        was = before(f"course_lib/specs/models/{name}.yml")
        if was is not None and yaml.safe_load(was)["config"] != read_entry(name)["config"]:
            found.append(name)
    return found


def chosen() -> list[tuple[str, str]]:
    """The pairs that CI draws; `make gallery-check` draws all."""
    touched = set(changed())
    return sorted({*pairs_by_hash(60), *(pair for pair in combinations(NAMES, 2) if touched & set(pair))})


@pytest.mark.parametrize("pair", chosen(), ids="-".join)
def test_a_pair_is_drawn_without_a_fault_and_each_difference_is_marked(pair):
    specs = [load_spec(name) for name in pair]
    figure = draw_pair(*specs)
    assert figure.faults() == []
    marked = sum(text.startswith(("≠ ", "+ ")) for text in texts_by_key(figure).values())
    found = differences(*map(describe, specs))
    assert bool(marked) == bool(found)
    for side, spec, marks in zip((0, 1), specs, marks_of(found), strict=True):
        shown = texts_by_key(draw_model(spec, "", marks))
        for key, mark in marks.items():
            if key in shown:
                sign = {"changed": "≠ ", "only": "+ "}[mark]
                assert shown[key].startswith(sign), (pair, side, key)


def test_a_difference_that_an_echo_hides_marks_the_echo():
    spec = load_spec("gemma-3-27b")
    layers = tuple(
        layer if layer.mixer.window else replace(layer, ffn=replace(layer.ffn, width=999))
        for layer in spec.layers
    )
    left = marks_of(differences(describe(spec), describe(replace(spec, layers=layers))))[0]
    assert left == {"model/B/ffn/width": "changed"}
    assert texts_by_key(draw_model(spec, "", left))["model/B/ffn/kind"].startswith("≠ Feed-forward network")


def test_an_amount_has_its_unit():
    amounts = {amount.key: amount_text(amount) for amount in describe(load_spec("qwen3.5-35b-a3b")).amounts}
    assert amounts["active"] == "3.45 B"
    assert amounts["cache"] == "20 KiB per token"
    assert amounts["fixed"] == "61.9 MiB per sequence"


def test_course_draw_writes_the_file_and_says_what_is_in_it(tmp_path):
    out = tmp_path / "one.svg"
    result = RUN.invoke(app, ["draw", "Mixtral-8x7B", "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["facts"]["model/A/ffn/experts"]["text"] == "8 experts, top-2 a token"
    svg = out.read_text(encoding="utf-8")
    assert svg == draw_model(load_spec("mixtral-8x7b"), "Mixtral 8x7B").as_file()
    assert "<style>" in svg and ElementTree.fromstring(svg).tag == f"{SVG}svg"


def test_course_draw_marks_what_differs_from_another(tmp_path):
    out = tmp_path / "two.svg"
    result = RUN.invoke(app, ["draw", "qwen2-7b", "--against", "qwen3-8b", "-o", str(out)])
    assert result.exit_code == 0 and "QK norm: RMSNorm per head" in result.stdout
    assert "≠ 36 layers" in out.read_text(encoding="utf-8")
    same = RUN.invoke(app, ["draw", "qwen2-7b", "--against", "qwen2.5-7b", "-o", str(out)])
    assert "The two have the same architecture." in same.stdout


def test_course_draw_takes_a_config_and_refuses_what_it_cannot_write(tmp_path):
    config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 5, "vocab_size": 7}))
    out = tmp_path / "mine.svg"
    assert RUN.invoke(app, ["draw", str(tmp_path), "-o", str(out)]).exit_code == 0
    assert "3 layers" in out.read_text(encoding="utf-8")
    refused = RUN.invoke(app, ["draw", "gpt2", "-o", str(tmp_path / "no" / "where.svg")])
    assert refused.exit_code == 2 and "cannot be written" in re.sub(r"[\s│]+", " ", refused.stderr)
