"""BM25 by hand, ranking metrics against their definitions, and intervals that cover as often as they say."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from course_lib.evaluate import ranking
from course_lib.evaluate.intervals import bootstrap, paired_difference, wilson
from course_lib.tasks.bm25 import BM25, words
from tests.shapes import unchecked


def test_bm25_by_hand():
    """Three texts of 3, 5 and 1 words, so avg = 3; `dog` is in one text, `sat` in two."""
    index = BM25(["a cat sat", "a dog sat and sat", "no"])
    idf_dog, idf_sat = math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5)
    first = idf_sat * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 3 / 3))
    length = 1.2 * (0.25 + 0.75 * 5 / 3)
    second = idf_dog * 1 * 2.2 / (1 + length) + idf_sat * 2 * 2.2 / (2 + length)
    expected = torch.tensor([first, second, 0.0], dtype=torch.float64)
    assert_close(index.scores("dog sat"), expected, rtol=1e-14, atol=0)
    assert_close(index.scores("DOG! sat?"), expected)
    assert_close(index.scores("sat sat"), 2 * index.scores("sat"))
    assert torch.equal(index.score_all(["dog sat", "zebra"])[1], torch.zeros(3, dtype=torch.float64))


def test_bm25_settings_do_what_they_say():
    texts = ["x y", "x x x x y y y y", "z"]
    assert torch.equal(BM25(texts, k1=0.0).scores("x")[:2], BM25(texts, k1=0.0).scores("y")[:2])  # no tf
    flat = BM25(["x y", "x y w w w w w"], b=0.0).scores("x")
    assert flat[0] == flat[1]  # no length
    long = BM25(["x y", "x y w w w w w"], b=1.0).scores("x")
    assert long[0] > long[1]


def test_words_are_lower_case_letters_and_digits():
    assert words("HTTPServer.do_GET(2x), naïve") == ["httpserver", "do", "get", "2x", "na", "ve"]


scores = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=6)


@st.composite
def queries(draw):
    row = draw(scores)
    gains = draw(st.lists(st.sampled_from([0.0, 1.0, 3.0]), min_size=len(row), max_size=len(row)))
    return row, gains if any(gains) else [1.0, *gains[1:]]


def plain_order(row, gains):
    """The worst order among those that equal scores leave open."""
    return [g for _, g in sorted(zip(row, gains, strict=True), key=lambda pair: (-pair[0], pair[1]))]


@given(queries(), st.integers(1, 7))
def test_metrics_equal_their_definitions(query, k):
    row, gains = query
    ranked = ranking.ranked_gains(torch.tensor([row]), torch.tensor([gains]))
    order = plain_order(row, gains)
    assert ranked[0].tolist() == order
    first = next(i for i, gain in enumerate(order) if gain > 0)
    assert ranking.reciprocal_rank(ranked).item() == 1 / (first + 1)
    relevant = sum(gain > 0 for gain in gains)
    assert ranking.recall_at(ranked, k).item() == pytest.approx(sum(g > 0 for g in order[:k]) / relevant)

    def dcg(values):
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(values[:k], start=1))

    best = max(dcg(order) for order in itertools.permutations(gains))
    assert ranking.ndcg_at(ranked, k).item() == pytest.approx(dcg(order) / best, rel=1e-12)


def test_a_model_that_scores_all_alike_finds_nothing():
    ranked = ranking.ranked_gains(torch.zeros(4, 10), ranking.one_relevant(torch.arange(4), 10))
    assert ranking.reciprocal_rank(ranked).tolist() == [0.1] * 4
    assert ranking.recall_at(ranked, 9).sum() == 0 and ranking.ndcg_at(ranked, 9).sum() == 0


def test_a_perfect_order_scores_one():
    gains = ranking.one_relevant(torch.tensor([3, 1]), 5)
    ranked = ranking.ranked_gains(gains, gains)
    for metric in (ranking.reciprocal_rank(ranked), ranking.recall_at(ranked, 1), ranking.ndcg_at(ranked, 5)):
        assert metric.tolist() == [1.0, 1.0]


def test_the_bootstrap_equals_all_resamples_of_three():
    """27 equally likely resamples: the ends of an 80 % interval are known, up to the draws."""
    values = [0.0, 1.0, 5.0]
    means = sorted(sum(draw) / 3 for draw in itertools.product(values, repeat=3))
    found = bootstrap(values, confidence=0.8, resamples=20_000)
    assert found.mean == 2.0 and found.count == 3
    assert found.low in (means[2], means[3]) and found.high in (means[23], means[24])


def test_intervals_cover_as_often_as_they_say():
    """90 % intervals of 40 uniform numbers cover their mean in 90 % of 400 trials: within 5 deviations below
    (percentile intervals of few values cover a little less) and 5 above."""
    generator, trials, covered = torch.Generator().manual_seed(0), 400, 0
    for trial in range(trials):
        values = torch.rand(40, generator=generator, dtype=torch.float64)
        covered += 0.5 in bootstrap(values, confidence=0.9, resamples=300, seed=trial)
    deviation = (0.9 * 0.1 / trials) ** 0.5
    assert abs(covered / trials - 0.9) < 5 * deviation


def test_an_interval_moves_and_stretches_with_the_values():
    values = torch.rand(30, dtype=torch.float64)
    plain, moved = bootstrap(values), bootstrap(3 + 2 * values)
    for end in ("mean", "low", "high"):
        assert getattr(moved, end) == pytest.approx(3 + 2 * getattr(plain, end), rel=1e-12)
    assert plain.low < plain.mean < plain.high and str(plain).count(",") == 1
    wider = bootstrap(values, confidence=0.99)
    assert wider.low < plain.low and plain.high < wider.high


def test_pairs_are_drawn_together():
    """Two models that differ by 0.1 on queries of very unlike difficulty."""
    hard = torch.linspace(0, 1, 50, dtype=torch.float64)
    better = hard + 0.1 + 0.01 * torch.randn(50, dtype=torch.float64)
    difference = paired_difference(better, hard)
    assert 0.0 not in difference and difference.high - difference.low < 0.02
    assert bootstrap(better).low < bootstrap(hard).high  # the single ones overlap


def test_a_paired_difference_is_the_bootstrap_of_first_minus_second():
    first, second = torch.rand(2, 20, dtype=torch.float64)
    options = {"confidence": 0.8, "resamples": 50, "seed": 3}
    found = paired_difference(first, second, **options)
    assert found == bootstrap(first - second, **options) != bootstrap(first - second, **options | {"seed": 4})
    assert found.low in found and found.high in found


@pytest.mark.parametrize(("successes", "trials"), [(0, 40), (1, 7), (30, 40), (200, 200)])
def test_the_ends_of_wilsons_interval_solve_its_equation(successes, trials):
    z = 1.959963984540054
    found, share = wilson(successes, trials), successes / trials
    for p in (found.low, found.high):
        assert (share - p) ** 2 == pytest.approx(z * z * p * (1 - p) / trials, rel=1e-9, abs=1e-15)
    assert 0 <= found.low <= found.mean == share <= found.high <= 1 and found.low < found.high
    mirrored = wilson(trials - successes, trials)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-12)


def test_none_and_all_reach_the_ends_exactly():
    assert all(wilson(0, n).low == 0 and wilson(n, n).high == 1 for n in range(1, 300))


def test_wilsons_interval_covers_as_often_as_it_says_on_average():
    """Exact coverage of 40 trials, summed over all outcomes: 95 % on average, never far below."""
    found = [wilson(k, 40) for k in range(41)]
    shares = [i / 200 for i in range(1, 200)]
    covered = [
        sum(math.comb(40, k) * p**k * (1 - p) ** (40 - k) for k in range(41) if p in found[k]) for p in shares
    ]
    assert 0.945 < sum(covered) / len(covered) < 0.965 and min(covered) > 0.83


def test_the_seed_of_a_paired_difference_decides_its_draws():
    first, second = torch.randn(2, 30, dtype=torch.float64)
    found = [paired_difference(first, second, seed=seed) for seed in (0, 1)]
    assert found == [bootstrap(first - second, seed=seed) for seed in (0, 1)] and found[0] != found[1]


ONE, EYE = torch.ones(1, 3), torch.eye(2)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: BM25(["", "!"]), "texts has 2 texts"),
        (lambda: BM25(["a"], b=1.5), "b=1.5"),
        (lambda: BM25(["a"], k1=-1), "k1=-1"),
        (lambda: unchecked(ranking.ranked_gains)(ONE, torch.ones(1, 2)), "scores has shape"),
        (lambda: ranking.ranked_gains(ONE * float("nan"), ONE), "NaN"),
        (lambda: ranking.ranked_gains(ONE, 0 * ONE), r"gains of query 0 are \[0.0, 0.0, 0.0\]"),
        (lambda: ranking.ranked_gains(EYE, EYE * torch.tensor([[1.0], [0.0]])), "gains of query 1"),
        (lambda: ranking.ranked_gains(EYE, torch.tensor([[1.0, 0], [1, -1]])), r"\[1.0, -1.0\]"),
        (lambda: ranking.one_relevant(torch.tensor([0, 3]), 3), r"index=\[0, 3\]: allowed are 0 to 2"),
        (lambda: ranking.one_relevant(torch.tensor([-1]), 3), r"index=\[-1\]"),
        (lambda: ranking.recall_at(ONE, 0), "k=0"),
        (lambda: ranking.ndcg_at(ONE, 0), "k=0"),
        (lambda: bootstrap([1.0]), "values has 1"),
        (lambda: bootstrap([1.0, math.inf]), "finite"),
        (lambda: bootstrap([1.0, 2.0], confidence=1.0), "confidence=1.0"),
        (lambda: bootstrap([1.0, 2.0], resamples=0), "resamples=0"),
        (lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]), "first has 2"),
        (lambda: wilson(3, 2), "successes=3, trials=2"),
        (lambda: wilson(0, 0), "trials=0"),
        (lambda: wilson(1, 2, confidence=1.0), "confidence=1.0"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
