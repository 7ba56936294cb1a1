"""Holes: nothing is lost, every layout is as likely, and shares are exact."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib.tasks.tokenizer import BOS, EOS, FIRST_SENTINEL, MASK, PAD, Tokenizer, sentinel
from course_lib.train import denoising
from course_lib.train.holes import layout, poisson_lengths

texts = st.lists(st.integers(0, 255), min_size=2, max_size=60).map(torch.tensor)
seeds = st.integers(0, 2**31)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@given(texts, seeds, st.floats(0.05, 0.5), st.floats(1, 5))
def test_spans_are_restored_exactly(text, seed, share, mean):
    source, target = denoising.hide_spans(text, stream(seed), share=share, mean=mean)
    assert torch.equal(denoising.restore_spans(source, target), text)


@given(texts, seeds)
@example(torch.arange(33), 0)  # 5 tokens in round(5 / 3) holes
def test_lengths_are_those_of_the_equation(text, seed):
    n = len(text)
    hidden = min(max(round(n * 0.15), 1), n - 1)
    holes = max(round(hidden / 3), 1)
    source, target = denoising.hide_spans(text, stream(seed))
    assert (len(source), len(target)) == (n - hidden + holes, hidden + holes + 1)
    marks = [sentinel(i) for i in range(holes + 1)]
    assert source[source >= FIRST_SENTINEL].tolist() == marks[:-1]
    assert target[target >= FIRST_SENTINEL].tolist() == marks and target[0] == marks[0]


def test_something_is_always_left():
    source, target = denoising.hide_spans(torch.arange(2), stream(), share=0.9)
    assert (len(source), len(target)) == (2, 3)


def test_a_restored_pair_has_to_fit():
    source, target = denoising.hide_spans(torch.arange(30), stream())
    for bad in (
        (source, target[:-1]),
        (source, target[1:]),
        (source[source < FIRST_SENTINEL], target),
        (source, torch.cat([target, torch.tensor([5])])),
        (source, torch.cat([torch.tensor([5]), target])),
        (source, torch.cat([target[:-1], torch.tensor([sentinel(50)])])),
        (torch.arange(3), torch.arange(0)),
    ):
        with pytest.raises(ValueError, match="sentinels are"):
            denoising.restore_spans(*bad)


def all_layouts(length, hidden, holes):
    """Every set of hidden places with that many places and that many runs."""
    found = []
    for places in combinations(range(length), hidden):
        starts = [p for p in places if p - 1 not in places]
        if len(starts) == holes:
            stops = [p + 1 for p in places if p + 1 not in places]
            found.append(tuple(zip(starts, stops, strict=True)))
    return found


@pytest.mark.parametrize(
    ("length", "hidden", "holes"), [(7, 3, 2), (6, 3, 3), (6, 2, 1), (5, 4, 2), (8, 5, 3)]
)
def test_every_layout_is_as_likely(length, hidden, holes):
    """Each count is binomial: 5 standard deviations."""
    possible, draws, generator = all_layouts(length, hidden, holes), 10_000, stream()
    counts = Counter(tuple(layout(length, hidden, holes, generator)) for _ in range(draws))
    assert set(counts) == set(possible)
    share = 1 / len(possible)
    bound = 5 * (draws * share * (1 - share)) ** 0.5 + 1e-9
    assert all(abs(count - draws * share) <= bound for count in counts.values())


@given(texts, seeds, st.floats(0.05, 0.9), st.floats(1, 5))
def test_infilling_hides_the_share_and_keeps_the_rest_in_order(text, seed, share, mean):
    damaged = denoising.infill(text, stream(seed), share=share, mean=mean)
    kept = damaged[damaged != MASK]
    assert len(kept) == len(text) - min(max(round(len(text) * share), 1), len(text) - 1)
    rest = iter(text.tolist())
    assert all(token in rest for token in kept.tolist())  # a subsequence
    assert (damaged == MASK).any()


def test_hole_lengths_are_poisson():
    """The share of empty holes is exp(-3), and filled ones hide 3 / (1 - exp(-3)) on average."""
    generator, counts = stream(), Counter()
    for _ in range(300):  # the last length of a run is cut, so it is left out
        counts.update(poisson_lengths(300, 3.0, 10_000, generator)[:-1])
    total = sum(counts.values())
    expected = torch.distributions.Poisson(3.0).log_prob(torch.arange(8.0)).exp().tolist()
    for length, share in enumerate(expected):
        assert abs(counts[length] - total * share) < 5 * (total * share * (1 - share)) ** 0.5


def test_an_empty_hole_is_a_mask_between_tokens():
    """Of holes of length 0 nothing is missing, so there are more masks than gaps in the text."""
    text, empty = torch.arange(100), 0
    for seed in range(40):
        damaged = denoising.infill(text, stream(seed))
        kept = damaged[damaged != MASK].tolist()
        gaps = sum(b - a > 1 for a, b in zip([-1, *kept], [*kept, 100], strict=True))
        masks = (damaged == MASK).sum().item()
        assert masks >= gaps
        empty += masks - gaps
    assert empty > 0


def test_empty_holes_stand_anywhere_and_may_be_several():
    """Of 4 tokens one is hidden, so all but one mask stand for nothing."""
    draws = [denoising.infill(torch.arange(4), stream(seed), mean=1.0).tolist() for seed in range(100)]
    assert any(d[:2] == [MASK, 0] for d in draws) and any(d[-2:] == [3, MASK] for d in draws)
    assert any(d.count(MASK) > 2 for d in draws)


def test_as_many_holes_as_fit_may_hide_something():
    """Two tokens of three in two holes leave the middle one."""
    draws = [denoising.infill(torch.arange(3), stream(seed), share=0.67, mean=1.0) for seed in range(50)]
    assert any(d[d != MASK].tolist() == [1] for d in draws)


@given(st.text("ab. ", min_size=1, max_size=30), seeds)
def test_sentences_are_permuted_whole(text, seed):
    tokens = Tokenizer().encode(text)
    found = Tokenizer().decode(denoising.permute_sentences(tokens, stream(seed)))
    pieces = [p + "." for p in text.split(".")[:-1]] + [text.split(".")[-1]]
    pieces = [p for p in pieces if p]
    assert sorted(found) == sorted(text) and all(piece in found for piece in pieces)


def test_every_order_of_sentences_comes_up():
    text, generator = Tokenizer().encode("a.b.c."), stream()
    found = {Tokenizer().decode(denoising.permute_sentences(text, generator)) for _ in range(200)}
    assert found == {"a.b.c.", "a.c.b.", "b.a.c.", "b.c.a.", "c.a.b.", "c.b.a."}


def test_batches_are_the_single_rows_in_order():
    rows = [torch.arange(20), torch.arange(30, 70)]
    batch = denoising.span_corruption(rows, stream(3))
    generator = stream(3)
    for i, row in enumerate(rows):
        source, target = denoising.hide_spans(row, generator)
        assert batch.source[i][: len(source) + 1].tolist() == [*source.tolist(), EOS]
        assert batch.targets[i][batch.mask[i]].tolist() == [*target.tolist(), EOS]
        assert batch.inputs[i, 0] == BOS and (batch.source[i][len(source) + 1 :] == PAD).all()


def test_denoising_asks_for_the_whole_text():
    rows = [Tokenizer().encode("One. Two, two. Three three three."), Tokenizer().encode("Four four.")]
    batch = denoising.denoising(rows, stream())
    for i, row in enumerate(rows):
        assert batch.targets[i][batch.mask[i]].tolist() == [*row.tolist(), EOS]

    def in_order(seed, shuffle):
        source = denoising.denoising(rows, stream(seed), shuffle=shuffle).source[0]
        rest = iter(rows[0].tolist())
        return all(token in rest for token in source[source < 256].tolist())

    assert all(in_order(seed, shuffle=False) for seed in range(20))
    assert not all(in_order(seed, shuffle=True) for seed in range(20))


def test_batches_are_damaged_as_asked():
    rows = [torch.arange(40)]
    spans = denoising.span_corruption(rows, stream(), share=0.5, mean=10.0)  # 20 tokens in 2 holes
    assert (spans.source.shape, spans.targets.shape) == ((1, 20 + 2 + 1), (1, 20 + 3 + 1))
    whole = denoising.denoising(rows, stream(), share=0.5, mean=100.0)  # one hole of all that is hidden
    assert (whole.source < 256).sum() == 20 and (whole.source == MASK).sum() == 1


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: denoising.hide_spans(torch.tensor([1]), stream()), "1 tokens"),
        (lambda: denoising.hide_spans(torch.arange(9), stream(), share=1.0), "share=1.0"),
        (lambda: denoising.infill(torch.arange(9), stream(), mean=0.5), "mean=0.5"),
        (lambda: denoising.hide_spans(torch.tensor([1, sentinel(3)]), stream()), "has a sentinel"),
        (
            lambda: denoising.hide_spans(torch.arange(3000) % 256, stream()),
            "150 spans: allowed are at most 99",
        ),
        (lambda: denoising.hide_spans(torch.arange(9), stream(), share=0.9, mean=1.0), "holes=8"),
        (lambda: denoising.infill(torch.arange(9), stream(), share=0.0), "share=0.0"),
        (lambda: layout(5, 2, 3, stream()), "holes=3"),
        (lambda: layout(5, 2, 0, stream()), "holes=0"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
