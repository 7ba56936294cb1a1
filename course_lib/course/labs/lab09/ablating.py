"""Lab 9, exercise 4: ablations, one part at a time, against the whole."""

from collections.abc import Callable, Sequence
from random import Random

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import near
from course_lib.course.labs.lab09.pairing import paired
from course_lib.course.labs.lending import helped

HINTS = {
    "rows": "Return a dict from part to (mean, low, high), in the order of the parts.",
    "cumulative": "One thing at a time: each variant lacks *one* part, and all others "
    "are on.",
    "alone": "Leave one part out of the whole, not all but one.",
    "sign": "Loss without the part minus loss of the whole: above 0 the part helped.",
    "from_base": "The whole is the measure: compare with all parts on.",
    "one_seed": "Every variant is trained with every seed.",
    "paid": "Each variant is trained once with each seed: the whole, too, is trained "
    "once a seed and compared with every other.",
    "foreign": "Train with the seeds that you are given.",
    "form": "run takes (parts, seed): a tuple of names, in their order, and one seed; "
    "a list cannot be looked up.",
    "unpaired": "Pair by seed: paired({seed: loss}, {seed: loss}).",
    "loss": "Each row is paired(losses without the part, losses of the whole).",
}
CHECK = Checker("Exercise 4", HINTS)


def ablate(
    parts: Sequence[str], run: Callable, seeds: Sequence[int], slip: str = ""
) -> dict[str, tuple[float, float, float]]:
    """The truth, or what a slip gives."""

    def losses(on: Sequence[str]) -> dict[int, float]:
        return {seed: run(tuple(on), seed) for seed in seeds}

    whole, rows, gone = losses(parts), {}, []
    if slip == "from_base":
        whole = losses(())
    for part in parts:
        gone.append(part)
        left = [p for p in parts if p != part]
        if slip == "cumulative":
            left = [p for p in parts if p not in gone]
        if slip == "alone":
            left = [part]
        without = losses(left)
        rows[part] = paired(without, whole)
        if slip == "sign":
            rows[part] = paired(whole, without)
    return rows


SLIPS = ("cumulative", "alone", "sign", "from_base")


class Runs:
    """Losses of variants in which parts help, hinder, and help only together."""

    def __init__(self, seed: int, parts: Sequence[str], seeds: Sequence[int]) -> None:
        self.seed, self.parts, self.seeds = seed, tuple(parts), list(seeds)
        self.trained: list[tuple[tuple[str, ...], int]] = []

    def __call__(self, parts: Sequence[str], seed: int) -> float:
        told = f"a run with {parts!r} and seed {seed!r}"
        formed = isinstance(parts, tuple) and set(parts) <= set(self.parts)
        ordered = formed and list(parts) == [p for p in self.parts if p in parts]
        CHECK.true(ordered, "form", told, "some of the parts in their order", parts)
        CHECK.true(seed in self.seeds, "foreign", told, self.seeds, seed)
        on = tuple(parts)
        self.trained.append((on, seed))
        value = Random(f"{self.seed} {seed}").gauss(2.0, 0.3)
        for number, part in enumerate(on):
            value -= 0.1 * (number + 1) * len(part)
        value += 0.17 * len(on) ** 2
        return value + Random(f"{self.seed} {seed} {on}").gauss(0, 0.05)


def check_ablate(ablate_of: Callable, seed: int = 0) -> str:
    """Check `ablate(parts, run, seeds) -> rows`, with the lab's own `paired` beside it,
    or else with the student's.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    helped(lambda: _check_ablate(ablate_of, seed), ablate_of, paired=paired)
    return "Exercise 4: one part at a time, each with its interval."


def _check_ablate(ablate_of: Callable, seed: int) -> None:
    _, n = random_sizes(seed, first=(3, 40), n=(5, 7))
    seeds = [n["first"] + 3 * i for i in range(n["n"])]
    names = ("memory", "gate", "memory gate"), ("b", "aa"), ("one",)
    for parts in names:
        mine, own = Runs(seed, parts, seeds), Runs(seed, parts, seeds)
        what = f"ablations of {parts}, {len(seeds)} seeds"
        got = CHECK.call(ablate_of, parts, mine, list(seeds), what=what)
        right = ablate(parts, own, seeds)
        formed = type(got) is dict and list(got) == list(parts)
        formed = formed and all(
            isinstance(row, tuple | list) and len(row) == 3 for row in got.values()
        )
        CHECK.true(formed, "rows", what, list(parts), got)
        told = f"seeds used in {what}"
        used = sorted({one for _, one in mine.trained})
        CHECK.true(used == seeds, "one_seed", told, seeds, used)
        slips = {slip: ablate(parts, Runs(seed, parts, seeds), seeds, slip)
                 for slip in SLIPS}  # fmt: skip
        expected = {on for on, _ in own.trained}
        strange = any(on not in expected for on, _ in mine.trained)
        for part, row in right.items():
            told = f"{part!r} in the {what}"
            if all(map(near, got[part], row)):
                continue
            hint = next(
                (
                    s
                    for s, rows in slips.items()
                    if all(map(near, got[part], rows[part]))
                ),
                "cumulative"
                if strange
                else "unpaired"
                if near(got[part][0], row[0])
                else "loss",
            )
            shown = ([f"{x:.6g}" for x in one] for one in (row, got[part]))
            CHECK.fail(hint, told, *shown)
        paid = len(mine.trained), len(own.trained)
        CHECK.true(
            paid[0] == paid[1], "paid", f"trainings for the {what}", paid[1], paid[0]
        )
