"""Lab 9, exercise 3: a front, a random search that counts, and a choice that is tested
once.
"""

from collections.abc import Callable, Mapping
from random import Random
from statistics import mean
from typing import Any

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import near, real

HINTS = {
    "names": "Return a list of names, in the order in which they stand in the dict.",
    "dominated": "A point that another one dominates is not on the front: nowhere "
    "larger, and somewhere smaller.",
    "strictly": "One is enough: a point dominates if it is smaller in *one* objective "
    "and equal in the others.",
    "equals": "Equal points do not dominate each other: all of them stay.",
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
    "tries": "At most `tries` draws: a small space may hold fewer patterns than "
    "evaluations.",
    "order": "Patterns stand in the order in which they were drawn.",
    "kept_best": "All that was scored is returned, not only the best.",
    "four": "Return a dict with winner, searched, fresh, test and curse.",
    "top": "Train the `top` best of the search again, with every seed, and nobody "
    "else.",
    "each_seed": "Each of them is trained once with every seed.",
    "test_set": "The test set is asked once, for the winner, after it was chosen. Who "
    "chooses by it has no test set any more.",
    "search_winner": "The winner is the one with the best *fresh* mean: the score that "
    "the search saw is luck and quality.",
    "lucky": "A design's fresh score is the mean over the seeds, not its best seed.",
    "largest": "Scores are losses: small is good.",
    "searched": "searched is the winner's score in `found`.",
    "fresh": "fresh is the winner's mean over the seeds of `again`.",
    "chosen_by_test": "The winner is chosen on validation. Here it has been chosen by "
    "the test set.",
    "test": "test is what the test set said of the winner.",
    "curse": "curse is by how much the search flattered its best: the mean fresh score "
    "of the `top`, minus the mean of the scores that chose them.",
    "curse_sign": "Fresh minus found: above 0 where the search flattered.",
    "curse_winner": "curse is a mean over all of the `top`, not the winner's alone.",
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
    few = {"a": (1.0, 4.0), "b": (2.0, 2.0), "c": (3.0, 3.0), "d": (4.0, 1.0)}
    few["e"] = (5.0, 5.0)  # behind all others
    twins = {"x": (2.0, 1.0), "y": (1.0, 2.0), "z": (2.0, 1.0)}
    edge = {"p": (1.0, 2.0), "q": (1.0, 1.0), "r": (0.0, 3.0)}
    cases = [("five stacks", few), ("twins", twins), ("a tie in one", edge)]
    for axes in (1, 2, 3):
        cases += [(f"{axes} objectives", random_points(seed + i, axes)) for i in (0, 9)]
    slips = ["strictly", "equals", "equals_first", "turned", "ends", "all_worse"]
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
        default = default if extra or default == "names" else "equals"
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
        parts = mine.draw, mine.fits, mine.score
        got = CHECK.call(search_of, *parts, *numbers, what=what)
        formed = type(got) is dict
        CHECK.true(formed, "found", what, "a dict", type(got).__name__)
        kept = len(got) == len(mine.scored)
        CHECK.true(kept, "kept_best", what, len(mine.scored), len(got))
        CHECK.equal(len(mine.scored), len(right), "spent", f"scores in {what}")
        CHECK.equal(list(got), list(right), "order", what)
        for pattern, value in right.items():
            told = f"score of {pattern!r} in {what}"
            CHECK.true(near(got[pattern], value), "found", told, value, got[pattern])
        stopped = len(mine.drawn) == len(own.drawn)
        told = f"draws in the {mine.what}"
        CHECK.true(stopped, "tries", told, len(own.drawn), len(mine.drawn))
    return "Exercise 3: so many evaluations, each of a new stack that fits."


class Bench:
    """Designs with a quality each, trained again with luck that hangs on the seed."""

    def __init__(self, seed: int, designs: int, top: int, seeds: list[int]) -> None:
        random, self.seeds, self.top = Random(seed), seeds, top
        names = [f"{letter}{i}" for i, letter in enumerate("adcw" * 5)][:designs]
        self.quality = {name: 2 + random.random() for name in names}
        self.found = {n: q + random.gauss(0, 0.3) for n, q in self.quality.items()}
        self.trained: list[tuple[str, int]] = []
        self.tested: list[str] = []

    def again(self, pattern: str, seed: int) -> float:
        """The loss after training with this seed, counted."""
        self.trained.append((pattern, seed))
        return self.quality[pattern] + Random(f"{pattern} {seed}").gauss(0, 0.2)

    def test(self, pattern: str) -> float:
        """The loss on the test set, counted; it has luck of its own."""
        self.tested.append(pattern)
        return self.quality[pattern] + Random(f"test {pattern}").gauss(0, 0.3)


def chosen(
    found: Mapping[str, float],
    again: Callable,
    test: Callable,
    top: int,
    seeds: list[int],
    slip: str = "",
) -> dict[str, Any]:
    """The truth, or what a slip gives."""
    ranked = sorted(found, key=found.__getitem__, reverse=slip == "largest")
    best = ranked[:top]
    collect = min if slip == "lucky" else mean
    fresh = {name: collect([again(name, seed) for seed in seeds]) for name in best}
    by = {"search_winner": found.__getitem__, "chosen_by_test": test}.get(
        slip, fresh.__getitem__
    )
    winner = min(best, key=by)
    curse = mean(fresh.values()) - mean(found[name] for name in best)
    if slip == "curse_winner":
        curse = fresh[winner] - found[winner]
    return {
        "winner": winner,
        "searched": fresh[winner] if slip == "searched" else found[winner],
        "fresh": found[winner] if slip == "fresh" else fresh[winner],
        "test": test(winner),
        "curse": -curse if slip == "curse_sign" else curse,
    }


CHOICES = (
    "lucky", "search_winner", "chosen_by_test", "largest", "searched", "fresh",
    "curse_sign", "curse_winner"
)  # fmt: skip


def check_chosen(chosen_of: Callable, seed: int = 0) -> str:
    """Check `chosen(found, again, test, top, seeds) -> dict`."""
    _, size = random_sizes(seed, n=(9, 14))
    for number in range(4):
        designs, top = size["n"] + number, (4, 3, 5, 1)[number]
        seeds = [11, 12, 13, 14, 15][: 5 - number % 2]
        bench, own = (Bench(seed + 31 * number, designs, top, seeds) for _ in "ab")
        what = f"the choice among {designs} designs, top {top}, {len(seeds)} seeds"
        got = CHECK.call(
            chosen_of, bench.found, bench.again, bench.test, top, seeds, what=what
        )
        right = chosen(own.found, own.again, own.test, top, seeds)
        formed = type(got) is dict and set(got) == set(right)
        seen = sorted(got) if type(got) is dict else type(got).__name__
        CHECK.true(formed, "four", what, sorted(right), seen)
        _same_choice(got, right, bench, own, what)
    return "Exercise 3: chosen on fresh seeds, tested once."


def _same_choice(got: dict, right: dict, bench: Bench, own: Bench, what: str) -> None:
    def of(slip: str) -> dict[str, Any]:
        other = Bench.__new__(Bench)
        other.__dict__ |= bench.__dict__ | {"trained": [], "tested": []}
        given = other.found, other.again, other.test, bench.top, bench.seeds
        return chosen(*given, slip)

    slips = {slip: of(slip) for slip in CHOICES}
    asked = len(bench.tested)
    if len(set(bench.tested)) > 1:
        CHECK.fail("test_set", f"asks for the test set, {what}", 1, asked)
    once = sorted(set(bench.trained)) == sorted(set(own.trained))
    names = sorted({name for name, _ in bench.trained})
    expected = sorted({name for name, _ in own.trained})
    if names != expected:
        largest = {name for name in sorted(own.found, key=own.found.get)[-bench.top :]}
        hint = "largest" if set(names) == largest else "top"
        CHECK.fail(hint, f"trained again, {what}", expected, names)
    CHECK.true(
        once,
        "each_seed",
        f"trainings, {what}",
        len(own.trained),
        len(set(bench.trained)),
    )
    CHECK.true(
        len(bench.trained) == len(own.trained),
        "each_seed",
        f"trainings, {what}",
        len(own.trained),
        len(bench.trained),
    )
    wrong = {slip: one["winner"] for slip, one in slips.items()}
    wrong = {slip: one for slip, one in wrong.items() if one != right["winner"]}
    CHECK.equal(got["winner"], right["winner"], "fresh", f"winner of {what}", wrong)
    told = f"asks for the test set, {what}"
    CHECK.true(
        bench.tested == [right["winner"]],
        "test_set",
        told,
        [right["winner"]],
        bench.tested,
    )
    for name in ("searched", "fresh", "test", "curse"):
        wrong = {slip: one[name] for slip, one in slips.items()}
        wrong = {s: x for s, x in wrong.items() if abs(x - right[name]) > 1e-9}
        real(
            CHECK,
            got[name],
            right[name],
            list(wrong.items()),
            name,
            f"{name} of {what}",
            "four",
        )
