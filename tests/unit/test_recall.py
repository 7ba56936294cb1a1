"""Recall tasks: what the mask marks is determined by the text before it, and parts share no row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.tasks.recall import UNKNOWN, _different, answers, associative_recall, in_valid, induction


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def plain_answers(row):
    """Walk back from each token to the last place where its predecessor stood before."""
    found = [UNKNOWN]
    for i in range(1, len(row)):
        places = [j for j in range(i - 1) if row[j] == row[i - 1]]
        found.append(row[places[-1] + 1] if places else UNKNOWN)
    return found


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_answers_equal_the_plain_walk(row):
    assert answers(torch.tensor([row]))[0].tolist() == plain_answers(row)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_what_is_marked_is_determined(part):
    for rows in (
        induction(50, 9, 20, stream(), part=part),
        induction(50, 9, 20, stream(), part=part, periods=(3, 15)),
        associative_recall(50, 8, 5, 30, stream(), part=part),
    ):
        assert rows.tokens.shape == rows.mask.shape and len(rows.tokens) == 50
        assert torch.equal(answers(rows.tokens)[rows.mask], rows.tokens[rows.mask])
        assert (in_valid(rows.tokens) == (part == "valid")).all()


def test_induction_repeats_different_tokens():
    rows = induction(30, 6, 6, stream())
    first, second = rows.tokens.split(6, dim=1)
    assert torch.equal(first, second) and (first.sort(dim=1).values == torch.arange(6)).all()
    assert rows.mask.sum(dim=1).unique().tolist() == [5]


def test_periods_vary_from_row_to_row_and_the_mask_is_all_that_is_known():
    rows = induction(400, 8, 20, stream(), periods=(3, 9))
    assert rows.tokens.shape == (400, 16)
    known = answers(rows.tokens) != UNKNOWN
    assert torch.equal(rows.mask, known)
    periods = 15 - rows.mask.sum(dim=1)
    assert sorted(periods.unique().tolist()) == list(range(3, 10))
    for row, period in zip(rows.tokens.tolist(), periods.tolist(), strict=True):
        assert len(set(row[:period])) == period and row[period:] == row[:-period]
    assert (rows.tokens.amax(), rows.tokens.amin()) == (19, 0)


def test_without_periods_the_stream_is_what_it_was():
    plain = _different(30, 6, 12, stream()).repeat(1, 2)
    kept = plain[~in_valid(plain)]
    assert torch.equal(induction(len(kept), 6, 12, stream()).tokens[: len(kept)][:5], kept[:5])


@pytest.mark.parametrize(
    ("length", "vocab", "periods"),
    [(4, 9, (1, 3)), (4, 9, (5, 3)), (4, 9, (2, 8)), (9, 9, (2, 10)), (1, 9, None), (10, 9, None)],
)
def test_periods_that_do_not_fit_are_refused(length, vocab, periods):
    with pytest.raises(ValueError, match=rf"length={length}, vocab={vocab}, periods="):
        induction(2, length, vocab, stream(), periods=periods)


def test_recall_asks_for_stored_keys():
    rows = associative_recall(40, 7, 7, 14, stream())
    stored, asked = rows.tokens[:, :14].view(40, 7, 2), rows.tokens[:, 14:].view(40, 7, 2)
    for left, right in zip(stored.tolist(), asked.tolist(), strict=True):
        assert sorted(left) == sorted(right) and left != right
        assert all(key < 7 <= value for key, value in left)
    assert rows.mask.sum(dim=1).unique().tolist() == [7]


def test_no_position_beyond_the_mask_is_needed():
    """Before the first query nothing that is asked has an answer: keys are new, values free."""
    rows = associative_recall(40, 7, 3, 14, stream())
    assert not rows.mask[:, :15].any() and rows.mask[:, 15::2].all() and not rows.mask[:, 14::2].any()


def test_one_row_in_ten_is_valid():
    """A binomial count: 5 standard deviations."""
    rows = torch.randint(0, 50, (20_000, 8), generator=stream())
    assert abs(in_valid(rows).sum().item() - 2000) < 5 * (20_000 * 0.09) ** 0.5


def test_a_seed_gives_one_batch():
    a, b, c = (associative_recall(4, 5, 2, 20, stream(s)).tokens for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: induction(0, 4, 8, stream()), "batch=0"),
        (lambda: induction(1, 1, 8, stream()), "length=1"),
        (lambda: induction(1, 9, 8, stream()), "vocab=8"),
        (lambda: induction(1, 4, 8, stream(), part="test"), "part='test'"),
        (lambda: associative_recall(1, 5, 2, 9, stream()), "pairs=5"),
        (lambda: associative_recall(1, 3, 4, 9, stream()), "queries=4"),
        (lambda: associative_recall(1, 3, 0, 9, stream()), "queries=0"),
        (lambda: induction(3, 2, 2, stream(), part="valid"), "hardly"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
