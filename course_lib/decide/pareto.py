"""The Pareto front: of many candidates, those that no other one beats in every
criterion at once.

A point dominates another if it is smaller in one criterion and larger in none.

Terms:
    Pareto front, Pareto frontier, non-dominated: the candidates that no other
        dominates -> pareto_front, dominates
    hypervolume: how much of a box a front dominates -> hypervolume
"""

from collections.abc import Mapping, Sequence

from course_lib.costs.arithmetic import Number

Point = Sequence[Number]


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere larger and somewhere smaller.

    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (2, 1)), dominates((1, 2), (1, 2))
    (True, False, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def pareto_front(points: Mapping[str, Point]) -> tuple[str, ...]:
    """Names of the points that none of the others dominates, in their order; equal
    points stay together.

    *Cost*: every pair once.

    >>> pareto_front({"dear": (1, 4), "both": (2, 2), "worse": (3, 3), "bad": (4, 1)})
    ('dear', 'both', 'bad')
    """
    return tuple(
        name
        for name, each in points.items()
        if not any(dominates(other, each) for other in points.values())
    )


def hypervolume(points: Sequence[Point], corner: tuple[float, float]) -> float:
    """Area that the points dominate below a corner, for two criteria.

    >>> hypervolume([(1, 2), (2, 1), (2, 2)], corner=(3, 3))
    3
    """
    area, last = 0, corner[1]
    inside = (p for p in points if p[0] < corner[0] and p[1] < corner[1])
    for first, second in sorted(map(tuple, inside)):
        if second < last:
            area += (corner[0] - first) * (last - second)
            last = second
    return area
