"""The Pareto front and the area it dominates, against their definitions."""

from itertools import product
from random import Random

from course_lib.decide.pareto import dominates, hypervolume, pareto_front


def test_the_front_is_what_its_definition_says():
    random = Random(0)
    for _ in range(20):
        points = {str(i): (random.randrange(5), random.randrange(5)) for i in range(12)}
        beaten = {
            name
            for (name, (a, b)), (c, d) in product(points.items(), points.values())
            if c <= a and d <= b and (c, d) != (a, b)
        }
        assert pareto_front(points) == tuple(name for name in points if name not in beaten)
    assert pareto_front({}) == ()


def test_one_dominates_another_only_if_it_is_smaller_somewhere():
    assert dominates((1, 2, 3), (1, 2, 4)) and not dominates((1, 2, 3), (1, 2, 3))
    assert not dominates((0, 2, 4), (1, 2, 3)) and not dominates((1, 2, 3), (0, 2, 4))


def test_hypervolume_by_counting():
    points = [(1, 4), (3, 2), (3, 3), (6, 6)]
    cells = sum(any(a <= x and b <= y for a, b in points) for x, y in product(range(5), range(5)))
    assert hypervolume(points, (5, 5)) == cells and hypervolume([], (5, 5)) == 0
