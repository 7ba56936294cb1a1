"""Copying and selective copying: the answer is what stands in the row, and chance alone decides where."""

import pytest
import torch

from course_lib.tasks.copying import copying


def drawn(seed=0, **options):
    return copying(64, 14, 3, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("selective", [False, True])
def test_the_answer_is_the_letters_of_the_row_in_their_order(selective):
    rows = drawn(selective=selective)
    assert rows.inputs.shape == rows.targets.shape == rows.mask.shape == (64, 17)
    for tokens, targets, mask in zip(*rows, strict=True):
        assert tokens[tokens < 8].tolist() == targets[mask].tolist()
        assert (tokens[mask] == 16).all() and mask.tolist() == [False] * 14 + [True] * 3
        assert ((tokens[~mask] < 16).sum(), (tokens[:14] >= 8).sum()) == (14, 11)


def test_places_are_fixed_or_vary_and_all_of_them_occur():
    fixed, varied = drawn(selective=False).inputs < 8, drawn(selective=True).inputs < 8
    assert fixed[:, :3].all() and not fixed[:, 3:].any()
    assert varied[:, :14].any(0).all() and len({tuple(row.tolist()) for row in varied}) > 32


def test_the_generator_is_the_only_source_of_chance():
    assert torch.equal(drawn(3, selective=True).inputs, drawn(3, selective=True).inputs)
    assert not torch.equal(drawn(3, selective=True).inputs, drawn(4, selective=True).inputs)


@pytest.mark.parametrize("sizes", [(0, 4, 2), (1, 0, 1), (1, 4, 0), (1, 2, 3)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="letters <= length"):
        copying(*sizes, torch.Generator(), selective=True)
