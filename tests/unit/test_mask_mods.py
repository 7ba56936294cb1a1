"""Rules of visibility one by one, against a loop over pairs, and as text."""

import pytest
import torch

from course_lib.kit.mask_plot import mask_plot
from course_lib.layers.masks import (
    BIDIRECTIONAL,
    CAUSAL,
    causal_mask,
    local_window,
    prefix,
    same_document,
    sliding_window,
)
from course_lib.layers.positions.numbering import next_positions, packed_positions, positions_from_padding

POSITIONS = torch.tensor([[-1, -1, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]])
PAIRWISE = {
    "causal": (CAUSAL, lambda q, k: k <= q),
    "bidirectional": (BIDIRECTIONAL, lambda q, k: True),
    "window": (CAUSAL & sliding_window(3), lambda q, k: q - 3 < k <= q),
    "near": (local_window(2), lambda q, k: abs(q - k) <= 2),
    "near 0": (local_window(0), lambda q, k: q == k),
    "prefix": (prefix(3), lambda q, k: k < 3 or k <= q),
    "windowed prefix": (prefix(3) & sliding_window(2), lambda q, k: (k < 3 or k <= q) and k > q - 2),
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_rule_equals_its_loop_over_pairs(name):
    mask_mod, allows = PAIRWISE[name]
    mask = mask_mod.mask(POSITIONS, POSITIONS)
    for row, places in enumerate(POSITIONS.tolist()):
        for t, q in enumerate(places):
            for s, k in enumerate(places):
                assert mask[row, t, s] == (q >= 0 and k >= 0 and allows(q, k)), (name, row, t, s)


def test_visible_is_the_causal_rule_under_its_window():
    assert torch.equal(causal_mask(POSITIONS, POSITIONS), CAUSAL.mask(POSITIONS, POSITIONS))
    windowed = (CAUSAL & sliding_window(2)).mask(POSITIONS, POSITIONS)
    assert torch.equal(causal_mask(POSITIONS, POSITIONS, window=2), windowed)


def test_each_row_may_have_a_prefix_of_its_own():
    positions = next_positions(0, batch=3, new=4)
    mask = prefix(torch.tensor([0, 2, 4])).mask(positions, positions)
    assert torch.equal(mask[0], torch.ones(4, 4).tril().bool())
    assert mask[1].sum(-1).tolist() == [2, 2, 3, 4]
    assert mask[2].all()


def test_a_prefix_of_a_padded_row_counts_its_real_tokens():
    positions = positions_from_padding(torch.tensor([[0, 1, 1, 1]]))
    assert prefix(2).mask(positions, positions).sum(-1).tolist() == [[0, 2, 2, 3]]


def test_a_source_is_read_whole_but_for_its_padding():
    queries, source = torch.tensor([[-1, 0, 1]]), torch.tensor([[0, 1, 2, -1]])
    mask = BIDIRECTIONAL.mask(queries, source)
    assert mask.int().tolist() == [[[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]]


def test_packed_documents_make_a_mask_of_triangles():
    documents = torch.tensor([[5, 5, 2, 2, 2, 5]])  # a number may come again: it is another document then
    positions = packed_positions(documents)
    assert positions.tolist() == [[0, 1, 0, 1, 2, 0]]
    mask = (CAUSAL & same_document(torch.tensor([[0, 0, 1, 1, 1, 2]]))).mask(positions, positions)[0]
    expected = torch.block_diag(*(torch.ones(n, n).tril() for n in (2, 3, 1))).bool()
    assert torch.equal(mask, expected)


def test_packed_documents_are_read_whole():
    mask_mod = CAUSAL & same_document(torch.tensor([[0, 0, 1]]))
    with pytest.raises(ValueError, match=r"\(queries, keys\) are \(1, 3\)"):
        mask_mod.mask(torch.tensor([[0]]), torch.tensor([[0, 1, 0]]))
    with pytest.raises(ValueError, match=r"\(queries, keys\) are \(3, 4\)"):
        mask_mod.mask(torch.tensor([[0, 1, 0]]), torch.tensor([[0, 1, 0, 1]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sliding_window(0), "window=0"),
        (lambda: local_window(-1), "distance=-1"),
        (lambda: prefix(-1), "lengths=-1"),
        (lambda: prefix(torch.tensor([2, -3])), r"lengths=\[2, -3\]"),
    ],
)
def test_what_no_rule_can_be_made_of_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_text_without_names_numbers_the_queries():
    positions = next_positions(0, batch=1, new=3)
    assert mask_plot(causal_mask(positions, positions)[0]).splitlines() == ["0 ■ · ·", "1 ■ ■ ·", "2 ■ ■ ■"]


def test_marks_stand_under_the_names_however_long_these_are():
    lines = mask_plot(torch.ones(2, 3, dtype=torch.bool), ["x", "long"], ["a", "bcd", "e"]).splitlines()
    assert mask_plot(torch.ones(0, 3, dtype=torch.bool)) == ""
    assert lines == ["       a bcd   e", "   x  ■   ■   ■", "long  ■   ■   ■"]


@pytest.mark.parametrize("names", [{"queries": ["a"]}, {"keys": ["a", "b", "c"]}])
def test_names_must_be_as_many_as_tokens(names):
    with pytest.raises(ValueError, match=f"{next(iter(names))} has"):
        mask_plot(torch.ones(2, 2, dtype=torch.bool), **names)
