"""Tensors in drawings, and that what chapter 2's diagrams work out equals the library."""

import math
import re
import statistics

import pytest
import torch

from course_lib.course.pictures import (
    attention_leak,
    attention_row,
    block_2026,
    block_to_scale,
    online_softmax,
    root_rows,
    rope_pairs,
    rope_turn,
    score_square,
)
from course_lib.kit.diagrams.pen import Pen, text_width
from course_lib.kit.diagrams.tensors import bars, cells, dial, maths, matrix
from course_lib.layers.attention.flash import softmax_online_naive
from course_lib.layers.attention.forms import attend
from course_lib.layers.positions.rope import Rope, apply_rope_naive
from course_lib.specs.loader import load_spec


def words_of(figure) -> list[str]:
    return [text.words for panel in figure.panels for text in panel.pen.texts]


@pytest.mark.parametrize(
    ("words", "plain", "marks"),
    [
        (
            "z_{ts} = q_t",
            "zts = qt",
            ['<tspan dy="3" style="font-size:10px">ts</tspan>', '<tspan dy="-3"> = </tspan>'],
        ),
        ("e^{z − m}", "ez − m", ['<tspan dy="-4" style="font-size:10px">z − m</tspan>']),
        ("a mean of q", "a mean of q", ["a mean of ", '<tspan font-style="italic">q</tspan>']),
        ("a < b", "a < b", ["a &lt; "]),
        ("W_O^{(1)}", "WO(1)", ['<tspan dy="-7" style="font-size:10px">(1)</tspan>']),
    ],
)
def test_symbols_have_indices_and_lean(words, plain, marks):
    pen = Pen()
    maths(pen, 10, 20, words)
    assert pen.texts[0].words == plain
    assert re.sub("<[^>]*>", "", pen.body()).replace("&lt;", "<") == plain
    assert all(mark in pen.body() for mark in marks)


@pytest.mark.parametrize(("anchor", "left"), [("", 50), ("middle", 50 - 0.5), ("end", 50 - 1)])
def test_symbols_stand_where_they_are_put(anchor, left):
    pen = Pen()
    maths(pen, 50, 20, "q_t", "", anchor)
    wide = text_width("qt")
    assert pen.texts[0].left == pytest.approx(50 + (left - 50) * wide)
    assert pen.texts[0].right - pen.texts[0].left == pytest.approx(wide)


def test_bars_are_as_high_as_their_values():
    pen = Pen()
    bars(pen, 0, 100, 10, [2.0, -1.0, 0.0001], 10, gap=2)
    assert re.findall(r"M([\d.]+) ([\d.]+)h8v([\d.]+)", pen.body()) == [
        ("1", "80", "20"),
        ("11", "100", "10"),
        ("21", "99.4", "0.6"),
    ]


def test_cells_run_across_or_down_and_a_matrix_has_its_sides():
    across, down, named = Pen(), Pen(), Pen()
    cells(across, 0, 0, ["1", "2"], 20, lambda i: "b attn")
    cells(down, 0, 0, ["1", "2"], 20, lambda i: "b attn", down=True)
    assert [t.y for t in across.texts] == [14, 14] and [t.y for t in down.texts] == [14, 34]
    matrix(named, 40, 40, 60, 30, "W_Q", rows="d", columns="h k")
    name, rows, columns = named.texts
    assert rows.right < 40 < name.left and columns.y < 40 < name.y


def test_a_dial_turns_against_the_clock():
    pen = Pen()
    dial(pen, 50, 50, 10, math.pi / 2)
    assert "M50 50L50 40" in pen.body()


def test_the_row_of_attention_is_the_librarys():
    tokens = torch.tensor(attention_row.TOKENS, dtype=torch.float64)
    values = torch.tensor(attention_row.VALUES, dtype=torch.float64)
    q, k, v = (x[None, :, None] for x in (tokens, tokens, values))
    everything = torch.ones(1, 3, 3, dtype=torch.bool)
    y, weights = attend(q, k, v, everything, scale=math.log(2))
    assert weights[0, 0, -1].tolist() == pytest.approx([float(w) for w in attention_row.weights()])
    assert y[0, -1, 0].tolist() == pytest.approx([9, 9])
    assert "y3 (9, 9)" in words_of(attention_row.draw())


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_change_reaches_what_two_layers_of_a_mask_let_it(ahead):
    n = attention_leak.TOKENS
    mask = torch.ones(n, n, dtype=torch.bool).tril(ahead)
    moved = torch.zeros(n, dtype=torch.bool)
    moved[attention_leak.CHANGED - 1] = True
    for level in attention_leak.reached(ahead):
        assert {t + 1 for t in moved.nonzero().flatten().tolist()} == level
        moved = (mask & moved).any(dim=1)


def test_the_online_softmax_is_the_whole_one():
    scores = torch.tensor(online_softmax.EXPONENTIALS, dtype=torch.float64).log()
    values = torch.tensor(online_softmax.VALUES, dtype=torch.float64)
    _, total, mean = online_softmax.carried(4)
    assert float(mean / total) == pytest.approx(float(scores.softmax(0) @ values)) == 2.5
    assert "output y / ℓ = 2.5" in words_of(online_softmax.draw())
    for seen in (2, 4):
        highest, total, mean = online_softmax.carried(seen)
        y, log_sum = softmax_online_naive(scores[:seen], values[:seen, None])
        assert float(y) == pytest.approx(float(mean / total))
        assert float(log_sum) == pytest.approx(math.log(highest * total))


def test_the_rows_of_scores_are_a_usual_draw(monkeypatch):
    def entropies() -> tuple[float, float]:
        row, root = root_rows.scores(), math.sqrt(root_rows.WIDTH)
        whole, divided = root_rows.softmax(row), root_rows.softmax([z / root for z in row])
        return root_rows.entropy(whole), root_rows.entropy(divided)

    drawn, draws = entropies(), []
    for seed in range(200):
        monkeypatch.setattr(root_rows, "SEED", seed)
        draws.append(entropies())
    for mine, all_draws in zip(drawn, zip(*draws, strict=True), strict=True):
        assert mine == pytest.approx(statistics.median(all_draws), abs=0.02)


def test_a_turned_pair_is_the_librarys():
    rope = load_spec(rope_turn.MODEL).layers[0].mixer.rope
    speeds, _ = Rope(dim=rope.dim, theta=rope.theta).speeds(torch.float64)
    assert [float(speeds[i]) for i in rope_turn.PAIRS] == pytest.approx(rope_turn.speeds())
    assert sum("apart" in words for words in words_of(rope_turn.draw())) == 2


@pytest.mark.parametrize(("panel", "pairing"), [(0, "interleaved"), (1, "rotate_half")])
def test_the_pairs_are_those_that_turn_together(panel, pairing):
    said = rope_pairs.draw().panels[panel].description
    for coordinate in range(rope_pairs.HEAD):
        x = torch.zeros(1, 1, 1, rope_pairs.HEAD)
        x[..., coordinate] = 1
        turned = apply_rope_naive(
            x, torch.ones(1, 1, dtype=torch.int64), Rope(dim=rope_pairs.HEAD, pairing=pairing)
        )
        first, second = turned.flatten().nonzero().flatten().tolist()
        assert f"{first} with {second}" in said


def test_shares_and_squares_are_computed():
    shares = [words for words in words_of(block_to_scale.draw()) if words.endswith("%")]
    assert shares == ["33.3 %", "66.7 %", "19.2 %", "80.8 %"]
    assert [w for w in words_of(score_square.draw()) if w.startswith("×")] == [
        "× 1",
        "× 1",
        "× 2",
        "× 4",
        "× 4",
        "× 16",
    ]
    assert {"on 64 of 256", "in 10 of 40 layers"} <= set(words_of(block_2026.draw()))
