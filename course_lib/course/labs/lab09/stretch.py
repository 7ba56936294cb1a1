"""Lab 9, stretch task: how alone a point stands in its front.

Symbols: n points of a front.
"""

from collections.abc import Callable
from math import inf
from random import Random

from course_lib.course.labs.checking import Checker
from course_lib.course.labs.lab09.asking import near

HINTS = {
    "list": "Return a list of floats, in the order of the points.",
    "ends": "The first and the last point in an objective stand at the front's end: "
    "infinity, so that they are always kept.",
    "range": "Each gap counts as a share of the objective's range, or the objective "
    "with the larger numbers decides alone.",
    "flat": "An objective in which all are equal adds no gap: no division by 0.",
    "order": "Return the distances in the order of the points that were given.",
    "one_side": "The gap reaches from the neighbour below to the neighbour above.",
    "sum": "Sum the gaps over all objectives.",
    "sorted": "Neighbours are those of each objective's own order.",
    "few": "Of one or two points each stands at an end.",
}
CHECK = Checker("Stretch", HINTS)


def crowding(points: list[tuple[float, ...]], slip: str = "") -> list[float]:
    """The truth, or what a slip gives."""
    found = [0.0] * len(points)
    for axis in range(len(points[0])):
        by = 0 if slip == "sorted" else axis
        if slip == "skipped" and len({point[axis] for point in points}) == 1:
            continue  # as good: there is no first and no last
        order = sorted(range(len(points)), key=lambda i: points[i][by])
        values = [point[axis] for point in points]
        if slip != "ends":
            found[order[0]] = found[order[-1]] = inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            gap = points[after][axis] - points[before][axis]
            if slip == "one_side":
                gap = points[after][axis] - points[here][axis]
            share = 1 if slip == "range" else max(values) - min(values)
            found[here] += gap / share if share else 0.0
    return found


def check(crowding_of: Callable, seed: int = 0) -> str:
    """Check `crowding(points) -> distances`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    random = Random(seed)
    rows = [[random.random(), 100 * random.random(), random.random()] for _ in range(7)]
    flat = [(random.random(), 2.0) for _ in range(5)]
    for kind, points, default in (
        ("three points", [(0.0, 4.0), (1.0, 1.0), (4.0, 0.0)], "sum"),
        ("seven points of three objectives", [tuple(row) for row in rows], "sum"),
        ("a flat objective", flat, "flat"),
        ("two points", [(1.0, 2.0), (2.0, 1.0)], "few"),
        ("one point", [(1.0, 2.0)], "few"),
    ):
        what = f"crowding of {kind}"
        crash = "flat" if default == "flat" else "few" if default == "few" else "crash"
        try:
            got = CHECK.call(crowding_of, points, what=what, crash=crash)
        except ZeroDivisionError as error:
            CHECK.fail("flat", what, "no error", str(error))
        right = crowding(points)
        formed = type(got) is list and len(got) == len(points)
        CHECK.true(formed, "list", what, right, got)
        slips = {
            s: crowding(points, s) for s in ("ends", "range", "one_side", "sorted")
        }

        def same(a: list, b: list) -> bool:
            return all(x == y or (inf not in (x, y) and near(x, y))
                       for x, y in zip(a, b, strict=True))  # fmt: skip

        skipped = crowding(points, "skipped")
        if not (same(got, right) or same(got, skipped)):
            lost = {i for i, one in enumerate(right) if one == inf} - {
                i for i, one in enumerate(got) if one == inf
            }
            default = "ends" if lost and default == "sum" else default
            if sorted(got) == sorted(right):
                default = "order"
            CHECK.fail(
                next((s for s, one in slips.items() if same(got, one)), default),
                what,
                [round(x, 6) for x in right],
                got,
            )
    return "Stretch: what NSGA-II keeps of a front that is too long."
