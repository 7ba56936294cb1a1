"""Seeds needed: the numbers of the power tables, and what an interval says about equality."""

import pytest

from course_lib.evaluate.intervals import paired_interval
from course_lib.evaluate.seeds import chance_to_see, detectable_difference, equivalence, seeds_needed


@pytest.mark.parametrize(
    ("effect", "power", "paired", "printed"),
    [
        (0.5, 0.8, True, 34),
        (0.8, 0.8, True, 15),
        (1.0, 0.8, True, 10),
        (0.2, 0.8, True, 199),
        (0.5, 0.8, False, 64),
        (0.8, 0.8, False, 26),
        (0.2, 0.8, False, 394),
        (0.5, 0.9, False, 86),
    ],
)
def test_the_seeds_are_those_of_the_power_tables(effect, power, paired, printed):
    """Cohen 1988, table 2.4.1 and its paired form (two-sided, 5 %), as G*Power and R print them."""
    assert seeds_needed(std=1.0, effect=effect, power=power, paired=paired) == printed
    assert seeds_needed(std=3.0, effect=-3 * effect, power=power, paired=paired) == printed


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seeds", [2, 3, 5, 34])
def test_the_detectable_difference_is_seen_with_that_power(seeds, paired):
    found = detectable_difference(0.02, seeds, paired=paired)
    assert chance_to_see(found, 0.02, seeds, paired=paired) == pytest.approx(0.8, abs=1e-9)
    assert seeds_needed(0.02, found * 1.0001, paired=paired) == seeds


def test_more_confidence_and_fewer_seeds_see_less():
    assert detectable_difference(1.0, 3) > detectable_difference(1.0, 4)
    assert detectable_difference(1.0, 5, confidence=0.99) > detectable_difference(1.0, 5, confidence=0.9)
    assert detectable_difference(1.0, 5, power=0.9) > detectable_difference(1.0, 5, power=0.5)


FIRST, SECOND = [1.01, 1.22, 1.39], [1.00, 1.20, 1.40]


def test_equivalence_is_the_90_percent_interval_inside_the_margin():
    """Differences 0.01, 0.02, -0.01: the 90 % interval ends at +0.0324, the 95 % one at +0.0446."""
    ninety = paired_interval(FIRST, SECOND, confidence=0.9)
    found = equivalence(FIRST, SECOND, margin=0.04)
    assert found.difference == ninety and found.holds and found.verdict == "equivalent"
    assert paired_interval(FIRST, SECOND).high > 0.04
    assert equivalence(FIRST, SECOND, margin=ninety.high * 0.999).verdict == "undecided"
    assert equivalence(FIRST, SECOND, margin=0.04, confidence=0.99).verdict == "undecided"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_small_and_sure_difference_is_equivalent_and_a_large_one_different(sign):
    first, second = [sign * x for x in (1.1, 2.101, 3.099)], [sign * x for x in (1.0, 2.0, 3.0)]
    verdicts = {m: equivalence(first, second, margin=m).verdict for m in (0.2, 0.1, 0.05)}
    assert verdicts == {0.2: "equivalent", 0.1: "undecided", 0.05: "different"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: equivalence(FIRST, SECOND, margin=0.0), "margin=0.0"),
        (lambda: equivalence(FIRST, SECOND, margin=1.0, confidence=0.5), "confidence=0.5"),
        (lambda: equivalence(FIRST, SECOND[:2], margin=1.0), "first has 3"),
        (lambda: seeds_needed(0.0, 1.0), "std=0.0"),
        (lambda: seeds_needed(1.0, 0.0), "effect=0.0"),
        (lambda: seeds_needed(1.0, 1e-9), "effect=1e-09"),
        (lambda: seeds_needed(1.0, 1.0, power=1.0), "power=1.0"),
        (lambda: detectable_difference(1.0, 1), "seeds=1"),
        (lambda: detectable_difference(1.0, 3, power=0.01), "power=0.01"),
    ],
)
def test_bad_input_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
