"""Ranks of candidates by several objectives at once: fronts, and how alone a candidate
stands in its front.

A point dominates another if it is smaller in one objective and larger in none.

Terms:
    non-dominated sorting, Pareto rank: front 0 is dominated by nobody, front 1 by
        front 0 alone, and so on -> fronts
    crowding distance: how far a point's neighbours in its front lie apart -> crowding
    hypervolume: how much of a box the front dominates -> hypervolume
"""

from collections.abc import Sequence
from math import inf

Point = Sequence[float]


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere larger and somewhere smaller.

    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (2, 1)), dominates((1, 2), (1, 2))
    (True, False, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """Indices of the points, front by front.

    *Cost*: m n^2 comparisons for n points of m objectives.
    *Source*: Deb et al. 2002, section III-A (fast non-dominated sorting).

    >>> fronts([(1, 4), (2, 2), (3, 3), (4, 1)])
    [[0, 1, 3], [2]]
    """
    n = range(len(points))
    above = [sum(dominates(points[j], points[i]) for j in n) for i in n]
    below = [[j for j in n if dominates(points[i], points[j])] for i in n]
    found, current = [], [i for i in n if not above[i]]
    while current:
        found.append(current)
        behind = []
        for i in current:
            for j in below[i]:
                above[j] -= 1
                if not above[j]:
                    behind.append(j)
        current = sorted(behind)
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """For each point of one front, the sum over objectives of the gap between its two
    neighbours, in shares of the range; infinite at the ends.

    *Source*: Deb et al. 2002, section III-B.

    >>> crowding([(0, 4), (1, 1), (4, 0)])
    [inf, 2.0, inf]
    """
    distance = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        distance[order[0]] = distance[order[-1]] = inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            if high > low:
                gap = points[after][axis] - points[before][axis]
                distance[here] += gap / (high - low)
    return distance


def hypervolume(points: Sequence[Point], corner: tuple[float, float]) -> float:
    """Area that the points dominate below a corner, for two objectives.

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
