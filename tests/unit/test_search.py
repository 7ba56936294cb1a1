"""Search over hybrid stacks: budgets, equal evaluations, the front, and the luck of the best."""

from itertools import pairwise
from random import Random

import pytest

from course_lib.costs import cache_bytes, flops_per_token, param_count
from course_lib.decide.pareto import pareto_front
from course_lib.search.searches import Search, random_search, shrinkage
from course_lib.search.space import Budget, Price, Space
from course_lib.search.with_optuna import optuna_search

SIZES = {"width": 16, "heads": 2, "kv_heads": 1, "vocab": 32}


def toy(pattern):
    """Two that pull apart: attention layers cost cache, and lower an error, most where they stand apart."""
    attends = [i for i, letter in enumerate(pattern) if letter == "a"]
    apart = sum(b - a > 1 for a, b in pairwise(attends))
    return float(len(attends)), 10.0 - len(attends) - 0.5 * apart - 0.1 * pattern.count("d")


def space(**options):
    return Space("amd", layers=8, context=256, **{**SIZES, **options})


def test_a_candidate_costs_what_its_record_costs():
    made = space()
    spec, price = made.spec("ammdammd"), made.price("ammdammd")
    assert price == Price(
        param_count(spec).total, flops_per_token(spec, 256), cache_bytes(spec, batch=1, tokens=256)
    )
    assert made.size == 3**8 and made.price("aaaaaaaa").cache_bytes > made.price("ammmmmmm").cache_bytes


@pytest.mark.parametrize("search", [random_search, optuna_search])
def test_nothing_out_of_budget_is_evaluated_and_nothing_twice(search):
    price = space().price("aammmmmm")
    limits = Budget(cache_bytes=price.cache_bytes)
    made, seen = space(budget=limits), []
    found = search(made, lambda pattern: (seen.append(pattern), toy(pattern))[1], 40, seed=1).found
    assert len(found) == len(seen) == len(set(seen)) == 40
    assert all(made.price(pattern).cache_bytes <= limits.cache_bytes for pattern in seen)
    again = search(made, toy, 40, seed=1).found
    assert list(again) == seen and list(search(made, toy, 40, seed=2).found) != seen


def test_each_budget_binds():
    price = Price(params=5, flops=6, cache_bytes=7)
    for name in ("params", "flops", "cache_bytes"):
        value = getattr(price, name)
        assert Budget(**{name: value}).allows(price) and not Budget(**{name: value - 1}).allows(price)
    with pytest.raises(ValueError, match="no pattern found"):
        space(budget=Budget(params=1)).draw(Random(0), tries=5)


def test_a_small_space_is_searched_whole_and_the_front_is_the_true_one():
    made = Space("am", layers=3, context=64, **SIZES)
    for search in (random_search, optuna_search):
        found = search(made, toy, 8)
        assert sorted(found.found) == sorted(made.all())
        assert set(found.front) == set(pareto_front({p: toy(p) for p in made.all()}))
    assert Search().front == []


def test_children_take_their_letters_from_the_best():
    """One objective, a letter that is good anywhere: the last generation has more of it than the first."""
    made = space()
    found = optuna_search(made, lambda pattern: (-float(pattern.count("a")),), 60, count=1, seed=0).found
    counts = [pattern.count("a") for pattern in found]
    assert sum(counts[-12:]) > 1.5 * sum(counts[:12])


def test_the_best_of_noise_shrinks_when_it_is_measured_again():
    random = Random(0)
    first, again = ([random.gauss(0, 1) for _ in range(200)] for _ in range(2))
    assert 1.5 < shrinkage(first, again, 5) < 3
    assert shrinkage(first, first, 5) == 0
    with pytest.raises(ValueError, match="top=0"):
        shrinkage(first, again, 0)


def test_what_a_search_refuses():
    for options, word in (({"letters": "ax"}, "letters='ax'"), ({"layers": 0}, "layers=0")):
        with pytest.raises(ValueError, match=word):
            Space(**{"letters": "am", "layers": 2, "context": 8} | options)
