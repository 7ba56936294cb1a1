"""Lab 9, exercise 3: a front, and a random search that counts."""

from collections.abc import Callable, Mapping
from random import Random

from course_lib.course.labs.checking import Checker
from course_lib.course.labs.lab09.asking import near

HINTS = {
    "names": "Return a list of names, in the order in which they stand in the dict.",
    "dominated": "A point that another one dominates is not on the front: nowhere "
    "larger, and somewhere smaller.",
    "strictly": "One is enough: a point dominates if it is smaller in *one* objective "
    "and equal in the others.",
    "equals": "Equal points do not dominate each other, nor a point itself: nowhere "
    "larger *and* somewhere smaller.",
    "kept": "A point that is better than each other one in some objective stays: it is "
    "out only if one other is nowhere larger, in *all* objectives.",
    "earlier": "Compare with all others, those that stand later in the dict too.",
    "turned": "Small is good, in every objective.",
    "ends": "The front is more than the best in each objective: compromises belong to "
    "it.",
    "all_worse": "A point is out as soon as *one* other dominates it.",
    "found": "Return a dict from pattern to score, in the order of evaluation.",
    "budget": "Ask fits(pattern) before score(pattern): a candidate out of budget is "
    "never trained.",
    "again": "A pattern that was scored is looked up, not scored once more.",
    "spent": "Exactly `evaluations` different patterns are scored, as long as draws "
    "are left: a draw that does not fit, or is known, costs no evaluation.",
    "overspent": "No more than `evaluations` scores: they are what a search costs, and "
    "what two searches are compared at.",
    "tries": "At most `tries` draws, every draw counted: a small space may hold fewer "
    "patterns than evaluations. Then what was found is returned.",
    "stop": "When `evaluations` patterns have been scored, no more are drawn: look at "
    "the count before each draw.",
    "only_scored": "Returned is what this search scored, and nothing else: no pattern "
    "out of budget, and none of an earlier call.",
    "order": "Patterns stand in the order in which they were drawn.",
    "kept_best": "All that was scored is returned, not only the best.",
}
CHECK = Checker("Exercise 3", HINTS)
Points = Mapping[str, tuple[float, ...]]


def dominates(one: tuple, other: tuple) -> bool:
    """Whether `one` is nowhere larger and somewhere smaller."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Points, slip: str = "") -> list[str]:
    """The truth, or what a slip gives."""
    if slip == "turned":
        points = {name: tuple(-x for x in p) for name, p in points.items()}
    rule: Callable[[tuple, tuple], bool] = dominates
    if slip == "strictly":
        rule = lambda a, b: all(x < y for x, y in zip(a, b, strict=True))  # noqa: E731
    if slip == "earlier":
        left: dict[str, tuple[float, ...]] = {}
        for name, point in points.items():
            if not any(rule(other, point) for other in left.values()):
                left[name] = point
        return list(left)
    if slip == "ends":
        axes = range(len(next(iter(points.values()))))
        best = [min(points, key=lambda n, i=i: points[n][i]) for i in axes]
        return [name for name in points if name in best]
    if slip == "equals":
        values = list(points.values())
        twice = {name for name, p in points.items() if values.count(p) > 1}
        return [name for name in front(points) if name not in twice]
    if slip == "equals_first":
        kept = list({p: n for n, p in reversed(points.items())}.values())
        return [name for name in front(points) if name in kept]
    if slip == "all_worse":
        return [
            n
            for n, p in points.items()
            if not all(rule(q, p) for m, q in points.items() if m != n)
        ]
    return [
        name
        for name, point in points.items()
        if not any(rule(other, point) for other in points.values())
    ]


def random_points(seed: int, axes: int) -> dict[str, tuple[float, ...]]:
    """Points with equal coordinates and equal points among them."""
    random = Random(seed)
    points = {
        f"s{i}": tuple(random.randint(1, 6) / 2 for _ in range(axes)) for i in range(12)
    }
    first = front(points)[0]
    names = list(points)
    at = names.index(first)
    points[names[at - 5]] = points[first]  # an equal point
    low = points[first]
    points["edge"] = (low[0], *(x + 0.5 for x in low[1:]))  # worse in all but one
    return points


def check_front(front_of: Callable, seed: int = 0) -> str:
    """Check `front(points) -> names`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    few = {"e": (5.0, 5.0), "a": (1.0, 4.0), "b": (2.0, 2.0)}  # e: behind all others
    few |= {"c": (3.0, 3.0), "d": (4.0, 1.0)}
    twins = {"x": (2.0, 1.0), "y": (1.0, 2.0), "z": (2.0, 1.0)}
    edge = {"p": (1.0, 2.0), "q": (1.0, 1.0), "r": (0.0, 3.0)}
    cases = [("five stacks", few), ("twins", twins), ("a tie in one", edge)]
    for axes in (1, 2, 3):
        cases += [(f"{axes} objectives", random_points(seed + i, axes)) for i in (0, 9)]
    slips = ["strictly", "equals", "equals_first", "turned", "ends", "all_worse"]
    slips += ["earlier"]
    for kind, points in cases:
        what = f"front of {kind}"
        got = CHECK.call(front_of, points, what=what)
        right = front(points)
        formed = type(got) is list and all(type(name) is str for name in got)
        CHECK.true(formed, "names", what, right, got)
        wrong = {slip: front(points, slip) for slip in slips}
        wrong["equals"] = (
            wrong["equals"] if got == wrong["equals"] else wrong.pop("equals_first")
        )
        if wrong["all_worse"] == list(points):  # says nothing of how it came about
            del wrong["all_worse"]
        wrong = {slip: one for slip, one in wrong.items() if one != right}
        extra = set(got) - set(right)
        default = "names" if set(got) == set(right) else "dominated"
        values = list(points.values())
        lost = [points[name] for name in right if name not in got]
        twins = not got or any(values.count(point) > 1 for point in lost)
        missing = "equals" if twins else "kept"
        default = default if extra or default == "names" else missing
        CHECK.equal(got, right, default, what, wrong)
    return "Exercise 3: nobody on the front is beaten in every respect."


class Trial:
    """A space of patterns whose draws and scores are counted.

    Args:
        seed: of the draws. letters, layers: of the patterns. tries: draws allowed.
        evaluations: scores allowed.
    """

    def __init__(
        self, seed: int, letters: str, layers: int, tries: int, evaluations: int
    ) -> None:
        self.random, self.letters, self.layers = Random(seed), letters, layers
        self.tries, self.evaluations = tries, evaluations
        self.drawn: list[str] = []
        self.scored: list[str] = []
        self.what = f"search for {evaluations} of {len(letters) ** layers} patterns"

    def draw(self) -> str:
        """A pattern; fails after so many tries."""
        told = f"draws in the {self.what}"
        CHECK.true(
            len(self.drawn) < self.tries, "tries", told, self.tries, "more than that"
        )
        pattern = "".join(self.random.choices(self.letters, k=self.layers))
        self.drawn.append(pattern)
        return pattern

    def fits(self, pattern: str) -> bool:
        """Few patterns attend too often."""
        return pattern.count("a") <= self.layers // 2

    def score(self, pattern: str) -> float:
        """A number that hangs on the pattern alone; each is asked for once."""
        told = f"scored in the {self.what}"
        CHECK.true(self.fits(pattern), "budget", told, "what fits", repr(pattern))
        new = pattern not in self.scored
        CHECK.true(new, "again", told, "each pattern once", f"{pattern!r} again")
        room = len(self.scored) < self.evaluations
        CHECK.true(room, "overspent", told, self.evaluations, "more than that")
        self.scored.append(pattern)
        return Random(pattern).random()


def random_search(
    draw: Callable, fits: Callable, score: Callable, evaluations: int, tries: int
) -> dict[str, float]:
    """The truth."""
    found: dict[str, float] = {}
    for _ in range(tries):
        if len(found) == evaluations:
            break
        pattern = draw()
        if pattern not in found and fits(pattern):
            found[pattern] = score(pattern)
    return found


def check_random_search(search_of: Callable, seed: int = 0) -> str:
    """Check `random_search(draw, fits, score, evaluations, tries) -> dict`."""
    for letters, layers, evaluations, tries in (
        ("adc", 5, 12, 200),
        ("ad", 3, 20, 60),  # a space of four patterns that fit
        ("adc", 4, 8, 8),
        ("ad", 4, 1, 50),
        ("ad", 4, 0, 50),
    ):
        mine, own = (Trial(seed, letters, layers, tries, evaluations) for _ in "ab")
        numbers = evaluations, tries
        right = random_search(own.draw, own.fits, own.score, *numbers)
        what = f"what the {mine.what} found"
        crash = "tries" if evaluations > len(right) else "crash"
        parts = mine.draw, mine.fits, mine.score
        got = CHECK.call(search_of, *parts, *numbers, what=what, crash=crash)
        formed = type(got) is dict
        CHECK.true(formed, "found", what, "a dict", type(got).__name__)
        counts = len(mine.scored), len(got)
        CHECK.true(counts[1] <= counts[0], "only_scored", what, *counts)
        CHECK.true(counts[1] == counts[0], "kept_best", what, *counts)
        CHECK.equal(len(mine.scored), len(right), "spent", f"scores in {what}")
        CHECK.equal(list(got), list(right), "order", what)
        for pattern, value in right.items():
            told = f"score of {pattern!r} in {what}"
            CHECK.true(near(got[pattern], value), "found", told, value, got[pattern])
        drawn = len(own.drawn), len(mine.drawn)
        hint = "stop" if drawn[1] > drawn[0] else "spent"
        hint = "tries" if drawn[1] == drawn[0] - 1 else hint
        CHECK.true(drawn[0] == drawn[1], hint, f"draws in the {mine.what}", *drawn)
    return "Exercise 3: so many evaluations, each of a new stack that fits."
