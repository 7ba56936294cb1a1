"""Marks about text in diagrams, and what the diagrams of chapters 0 and 1 say with them."""

import re

import pytest

from course_lib.course.pictures import blank_infilling, four_prototypes, generation_step, three_objectives
from course_lib.course.pictures.drawn import drawing
from course_lib.course.sentence import TEXT, recorded
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import layer, tokens, upright, word_mask


def cells(pen: Pen, classes: str) -> int:
    """How many cells of these classes stand in a drawing."""
    return sum(element.count("z") for element in pen.over if f'class="{classes}"' in element)


def test_tokens_stand_side_by_side_and_say_their_middles():
    pen = Pen()
    assert tokens(pen, 10, 0, ["a", "b"], 40, lambda i: "b attn" if i else "b emb") == [28, 68]
    boxes = [element for element in pen.over if "<rect" in element]
    assert ['width="36"' in box for box in boxes] == [True, True]
    assert ["attn" in box for box in boxes] == [False, True]


def test_upright_words_are_escaped_and_turned_about_their_foot():
    pen = Pen()
    upright(pen, 10, 50, "a<b")
    assert "rotate(-90 10 50)" in pen.body() and "a&lt;b" in pen.body()


@pytest.mark.parametrize("split", [0, 1, 2])
def test_a_mask_has_every_cell_once_and_stands_off_at_the_split(split):
    pen = Pen()
    height = word_mask(pen, 50, 50, ["a", "b", "c"], 10, lambda i, j: "p attn" if j <= i else None, split)
    assert (cells(pen, "p attn"), cells(pen, "e")) == (6, 3)
    assert height == (30 if split == 0 else 35)


def test_a_layer_with_cross_attention_is_one_band_higher():
    assert (layer(Pen(), 0, 0, 80), layer(Pen(), 0, 0, 80, cross=True)) == (34, 51)


def test_the_recorded_sentence_is_the_courses():
    seen = recorded()
    assert "".join(seen.pieces) == TEXT and len(seen.ids) == len(seen.pieces)
    assert seen.continued[0] == seen.likely[0][0]  # greedy
    assert [share for _, share in seen.likely] == sorted((s for _, s in seen.likely), reverse=True)


def test_the_prototypes_have_the_pairs_of_their_masks():
    n, p = len(recorded().words), four_prototypes.PREFIX
    encoder, decoder, prefix, pair = (panel.pen for panel in drawing("four_prototypes").panels)
    assert cells(encoder, "p attn") == n * n and cells(decoder, "p attn") == n * (n + 1) // 2
    opened = n * (n + 1) // 2 + p * (p - 1) // 2
    assert cells(prefix, "p attn") == opened
    assert cells(pair, "p attn") + cells(pair, "q attn") == opened and cells(pair, "q attn") == p * (n - p)


def test_a_causal_step_computes_one_row_and_a_bidirectional_one_all():
    causal, both = (panel.pen for panel in generation_step.draw().panels)
    n = len(recorded().pieces) + 1
    assert (cells(causal, "p attn"), cells(causal, "q kept")) == (n, n * (n - 1) // 2)
    assert (cells(both, "p attn"), cells(both, "q kept")) == (n * n, 0)


def test_blanks_are_laid_out_as_glm_does():
    words = list("abcdefg")
    kept, places = blank_infilling._part_a(words)
    assert kept == ["a", "[M]", "d", "e", "[M]", "g"] and places == {1: 1, 5: 4}
    inputs, targets, place, within = blank_infilling._part_b(words, places)
    assert (inputs, targets) == (["[S]", "f", "[S]", "b", "c"], ["f", "[E]", "b", "c", "[E]"])
    assert (place, within) == ([4, 4, 1, 1, 1], [1, 2, 1, 2, 3])


def test_each_objective_has_its_targets():
    (panel,) = three_objectives.draw().panels
    boxes = re.findall(r'class="(b attn|g)"', panel.pen.body())
    words, hidden = len(recorded().words), len(three_objectives.HIDDEN)
    targets = (words - 1) + hidden + (hidden + 3)  # spans: two sentinels and the closing one
    assert boxes.count("b attn") == targets + 1 and boxes.count("g") == words - hidden + 1  # and the legend
