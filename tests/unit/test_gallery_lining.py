"""Two pictures side by side: rows that both models have stand at one height, and nothing else has changed."""

import re

import pytest

from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.draw import draw_model
from course_lib.course.gallery.lining import cuts_of
from course_lib.course.gallery.matching import counterparts
from course_lib.course.gallery.pair import draw_pair
from course_lib.kit.diagrams.pen import Pen, cell
from course_lib.kit.diagrams.stretch import stretched
from course_lib.specs.loader import load_spec

PAIRS = [
    ("llama-3.1-8b", "qwen3-8b"),
    ("gemma-2-9b", "llama-3-8b"),
    ("mixtral-8x7b", "deepseek-v3"),
    ("gpt2", "bert-base"),
    ("qwen3.5-35b-a3b", "jamba-v0.1"),
]


def heights(panel) -> dict[str, float]:
    return {text.key: text.y for text in panel.pen.texts if text.key}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_rows_that_both_have_stand_at_one_height(pair):
    specs = [load_spec(name) for name in pair]
    left, right = map(heights, draw_pair(*specs).panels)
    of = counterparts(*map(describe, specs))
    both = [(left[key], right[of[key]]) for key in left if of.get(key) in right]
    assert len(both) > 12
    assert [one for one in both if abs(one[0] - one[1]) > 1e-9] == []


def test_without_room_the_same_pair_would_not_line_up():
    left, right = (heights(draw_model(load_spec(name)).panels[0]) for name in PAIRS[1])
    assert left["model/B/ffn/kind"] != right["model/A/ffn/kind"]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_only_heights_change(pair):
    """Every element is there, as far across as before."""
    figure = draw_pair(*map(load_spec, pair), names=("", ""))
    for panel, name in zip(figure.panels, pair, strict=True):
        alone = draw_model(load_spec(name)).panels[0]
        tags = [re.findall(r"<(\w+)", one.pen.body()) for one in (panel, alone)]
        assert tags[0].count("circle") == tags[1].count("circle")
        assert tags[0].count("path") == tags[1].count("path")
        assert panel.height >= alone.height


def test_a_row_that_would_cross_another_waits_for_nobody():
    """Kinds of layers in another order: the first that can line up does."""
    left, right = [("m/A", 10.0), ("m/B", 50.0)], [("m/B", 10.0), ("m/A", 50.0)]
    same = {"m/A": "m/A", "m/B": "m/B"}
    assert cuts_of(left, right, same) == ([(10.0, 40.0)], [])


def test_a_cut_stretches_what_crosses_it_and_moves_what_lies_below():
    pen = Pen()
    pen.rect(5, 0, 50, 20, "o")
    pen.rect(5, 40, 50, 20, "b")
    pen.rect(0, 0, 60, 80, "o")
    pen.path(f"M3 10V70{cell(5, 50, 4, 4)}", "w")
    pen.text(8, 30, "above")
    pen.text(8, 45, "below")
    longer = stretched(pen, [(40, 100)])
    assert longer.boxes == [(5, 0, 55, 20), (5, 140, 55, 160), (0, 0, 60, 180)]
    assert 'y="140" width="50" height="20"' in longer.over[1] and 'height="180"' in longer.over[2]
    assert 'd="M3 10V170M5 150h4v4h-4z"' in longer.over[3]
    assert [text.y for text in longer.texts] == [30, 145]
