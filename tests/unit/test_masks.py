"""The one rule of visibility, by hand."""

import pytest
import torch

from course_lib.layers.masks import causal_mask, sdpa_mask
from course_lib.layers.positions.numbering import next_positions, positions_from_padding


def test_causal_mask_is_lower_triangular():
    positions = next_positions(0, batch=1, new=4)
    assert torch.equal(causal_mask(positions, positions)[0], torch.ones(4, 4).tril().bool())


def test_window_counts_the_query_itself():
    positions = next_positions(0, batch=1, new=5)
    assert causal_mask(positions, positions, window=2).sum(-1).tolist() == [[1, 2, 2, 2, 2]]


def test_padding_is_neither_seen_nor_sees():
    positions = torch.tensor([[-1, -1, 0, 1]])
    seen = causal_mask(positions, positions)[0]
    assert not seen[:2].any()
    assert not seen[:, :2].any()
    assert seen[2:, 2:].tolist() == [[True, False], [True, True]]


def test_slots_out_of_order_go_by_position():
    slots = torch.tensor([[4, 5, 2, 3]])
    assert causal_mask(torch.tensor([[5]]), slots, window=3).tolist() == [[[True, True, False, True]]]


@pytest.mark.parametrize("window", [0, -3])
def test_window_below_one_is_refused(window):
    positions = torch.tensor([[0]])
    with pytest.raises(ValueError, match=f"window={window}"):
        causal_mask(positions, positions, window)


def test_positions_from_padding_number_the_real_tokens():
    mask = torch.tensor([[0, 1, 1], [1, 1, 1], [0, 0, 0]])
    assert positions_from_padding(mask).tolist() == [[-1, 0, 1], [0, 1, 2], [-1, -1, -1]]


def test_next_positions_go_on_in_every_row():
    assert next_positions(7, batch=2, new=2).tolist() == [[7, 8], [7, 8]]


def test_simplest_keeps_a_mask_that_is_neither_full_nor_causal():
    positions = next_positions(0, batch=1, new=5)
    windowed = causal_mask(positions, positions, window=2)
    assert sdpa_mask(windowed) == (windowed, False)


def test_simplest_looks_at_every_query_and_every_row():
    full = torch.ones(2, 3, 3, dtype=torch.bool)
    last_query, second_row = full.clone(), full.tril()
    last_query[:, 2, 0] = second_row[1, 2, 0] = False
    for mask in (last_query, second_row, full.tril()[:, :2]):  # the last: more keys than queries
        assert sdpa_mask(mask) == (mask, False)


def test_simplest_keeps_a_causal_mask_over_earlier_keys():
    mask = causal_mask(next_positions(3, 1, 2), next_positions(0, 1, 5))
    assert sdpa_mask(mask) == (mask, False)
