"""Lab 9, exercise 3: a choice on fresh seeds that is tested once."""

from collections.abc import Callable, Mapping
from random import Random
from statistics import mean
from typing import Any

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import real

HINTS = {
    "four": "Return a dict with winner, searched, fresh, test and curse.",
    "top": "Train the `top` best of the search again, with every seed, and nobody "
    "else.",
    "each_seed": "Each of them is trained once with every seed.",
    "test_set": "The test set is asked once, for the winner, after it was chosen. Who "
    "chooses by it has no test set any more.",
    "search_winner": "The winner is the one with the best *fresh* mean: the score that "
    "the search saw is luck and quality.",
    "lucky": "A design's fresh score is the mean over the seeds, not its best seed.",
    "arguments": "again takes (pattern, seed), in this order; test takes a pattern.",
    "largest": "Scores are losses: small is good.",
    "searched": "searched is the winner's score in `found`.",
    "fresh": "fresh is the winner's mean over the seeds of `again`.",
    "chosen_by_test": "The winner is chosen on validation. Here it has been chosen by "
    "the test set.",
    "test": "test is what the test set said of the winner.",
    "curse": "curse is by how much the search flattered its best: the mean fresh score "
    "of the `top`, minus the mean of the scores that chose them.",
    "curse_sign": "Fresh minus found: above 0 where the search flattered, and below 0 "
    "where it did not.",
    "curse_winner": "curse is a mean over all of the `top`, not the winner's alone.",
}
CHECK = Checker("Exercise 3", HINTS)


class Bench:
    """Designs with a quality each, trained again with luck that hangs on the seed."""

    def __init__(
        self, seed: int, designs: int, top: int, seeds: list[int], worse: float = 0.0
    ) -> None:
        random, self.seeds, self.top = Random(seed), seeds, top
        names = [f"{letter}{i}" for i, letter in enumerate("adcw" * 5)][:designs]
        self.quality = {name: 2 + random.random() for name in names}
        self.found = {
            n: q + worse + random.gauss(0, 0.3) for n, q in self.quality.items()
        }
        self.trained: list[tuple[str, int]] = []
        self.tested: list[str] = []

    def again(self, pattern: str, seed: int) -> float:
        """The loss after training with this seed, counted."""
        formed = isinstance(pattern, str) and pattern in self.quality
        told = f"again({pattern!r}, {seed!r})"
        CHECK.true(formed, "arguments", told, "(pattern, seed)", (pattern, seed))
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
    by = {
        "search_winner": found.__getitem__,
        "chosen_by_test": test,
        "worst": lambda name: -fresh[name],
    }.get(slip, fresh.__getitem__)
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
    "lucky", "search_winner", "worst", "chosen_by_test", "largest", "searched",
    "fresh", "curse_sign", "curse_winner"
)  # fmt: skip


WINNERS = ("search_winner", "worst", "chosen_by_test", "largest")
CALLED = {"worst": "largest"}


def check_chosen(chosen_of: Callable, seed: int = 0) -> str:
    """Check `chosen(found, again, test, top, seeds) -> dict`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    _, size = random_sizes(seed, n=(9, 14))
    for number in range(4):
        designs, top = size["n"] + number, (4, 3, 5, 1)[number]
        seeds = [11, 12, 13, 14, 15][: 5 - number % 2]
        given = seed + 31 * number, designs, top, seeds, 0.0 if number < 2 else 2.0
        bench, own = (Bench(*given) for _ in "ab")
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
    wrong = {
        CALLED.get(slip, slip): one["winner"]
        for slip, one in slips.items()
        if slip != "largest"  # those would not have been trained again
    }
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
        wrong = {slip: one[name] for slip, one in slips.items() if slip not in WINNERS}
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
