"""Sinusoidal and learned positions, against loops and `transformers`' own table."""

import math

import pytest
import torch
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from course_lib.layers.positions.absolute import LearnedPositions, sinusoidal

POSITIONS = torch.tensor([[0, 1, 2, 50], [-1, -1, 0, 1000]])


@pytest.mark.parametrize("width", [1, 2, 5, 8])
@pytest.mark.parametrize("layout", ["interleaved", "halves"])
def test_sinusoidal_equals_a_loop(width, layout):
    got = sinusoidal(POSITIONS, width, layout=layout, dtype=torch.float64)
    sines = (width + 1) // 2
    for b, row in enumerate(POSITIONS.tolist()):
        for t, p in enumerate(row):
            for i in range(sines):
                angle = p / 10_000 ** (2 * i / width)
                sine, cosine = (2 * i, 2 * i + 1) if layout == "interleaved" else (i, sines + i)
                assert got[b, t, sine].item() == pytest.approx(math.sin(angle), abs=1e-12)
                if cosine < width:
                    assert got[b, t, cosine].item() == pytest.approx(math.cos(angle), abs=1e-12)


@pytest.mark.parametrize("width", [6, 7])
def test_halves_are_marians_table(width):
    theirs = MarianSinusoidalPositionalEmbedding(64, width)
    theirs.weight.data = theirs.create_weight()
    positions = torch.arange(64)[None]
    got = sinusoidal(positions, width, layout="halves")
    # Their table is float32, made from float64 angles as ours is.
    torch.testing.assert_close(got[0], theirs.weight, rtol=0, atol=1e-6)


def test_a_learned_table_is_read_at_position_plus_offset():
    table = LearnedPositions(rows=9, width=3, offset=2)
    rows = table(torch.tensor([[-1, 0, 1, 6]]))[0]
    assert torch.equal(rows, table.table.weight[[1, 2, 3, 8]])


def test_a_position_beyond_the_table_is_refused():
    with pytest.raises(ValueError, match="positions reach 7: this table's last one is 6"):
        LearnedPositions(rows=9, width=3, offset=2)(torch.tensor([[0, 7]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sinusoidal(POSITIONS, 0), "width=0"),
        (lambda: sinusoidal(POSITIONS, 4, layout="thirds"), "layout='thirds'"),
        (lambda: LearnedPositions(0, 4), "rows=0"),
        (lambda: LearnedPositions(4, 0), "width=0"),
    ],
)
def test_wrong_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
