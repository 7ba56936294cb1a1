"""Requests have the lengths and the arrivals that were asked for."""

import numpy as np
import pytest

from course_lib.simulate.workload import Request, fixed, mixed, requests, spread


def test_poisson_gaps_have_their_mean_and_spread():
    arrivals = [r.arrival_s for r in requests(20_000, fixed(3, 4), rate_per_s=4.0, seed=1)]
    gaps = np.diff([0.0, *arrivals])
    assert arrivals == sorted(arrivals)
    # 20,000 draws: the standard error of either is 0.7%, so 4% is beyond five of them
    assert gaps.mean() == pytest.approx(0.25, rel=0.04) and gaps.std() == pytest.approx(0.25, rel=0.04)


def test_without_a_rate_all_wait_at_the_start():
    assert requests(3, fixed(3, 4)) == [Request(prompt=3, output=4)] * 3


def test_a_mixture_has_its_shares():
    drawn = requests(5000, mixed([(0.75, fixed(32, 1)), (0.25, fixed(128, 2))]), seed=2)
    assert {(r.prompt, r.output) for r in drawn} == {(32, 1), (128, 2)}
    # the standard error is 0.6 points
    assert np.mean([r.prompt == 128 for r in drawn]) == pytest.approx(0.25, abs=0.03)


def test_spread_lengths_have_their_means_and_their_limit():
    drawn = requests(20_000, spread(160, 340, sigma=0.7, longest=100_000), seed=3)
    assert np.mean([r.prompt for r in drawn]) == pytest.approx(160, rel=0.03)  # standard error 0.6%
    assert np.mean([r.output for r in drawn]) == pytest.approx(340, rel=0.03)
    cut = requests(2000, spread(160, 340, longest=300), seed=3)
    assert max(max(r.prompt, r.output) for r in cut) == 150
    assert min(min(r.prompt, r.output) for r in cut) >= 1


def test_one_seed_gives_one_stream():
    lengths = spread(50, 50, longest=512)
    assert requests(20, lengths, rate_per_s=1.0, seed=4) == requests(20, lengths, rate_per_s=1.0, seed=4)
    assert requests(20, lengths, rate_per_s=1.0, seed=4) != requests(20, lengths, rate_per_s=1.0, seed=5)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: Request(prompt=0, output=1), "prompt >= 1"),
        (lambda: Request(prompt=1, output=0), "output >= 1"),
        (lambda: Request(prompt=1, output=1, arrival_s=-1.0), "arrival_s >= 0"),
        (lambda: requests(-1, fixed(1, 1)), "count=-1"),
        (lambda: requests(1, fixed(1, 1), rate_per_s=0.0), "rate_per_s=0.0"),
        (lambda: mixed([(0.5, fixed(1, 1))]), "shares="),
        (lambda: mixed([]), "shares="),
        (lambda: mixed([(-0.5, fixed(1, 1)), (1.5, fixed(1, 1))]), "shares="),
    ],
)
def test_bad_input_names_the_argument(call, names):
    with pytest.raises(ValueError, match=names):
        call()
