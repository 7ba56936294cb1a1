"""Lab 4b, exercise 4: where experts lie, and which ones get a copy.

Symbols: e experts, r ranks; a rank has room for e / r of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04_operations import reference
from course_lib.course.labs.lending import strided

HINTS = {
    "numbers": "Return an int64 tensor [e].",
    "ranks": "Every expert lies on a rank from 0 to ranks - 1.",
    "room": "Each rank holds exactly e / ranks experts: its memory allows no more.",
    "greedy": "Heaviest expert first, each onto the rank with the least load that has "
    "a place left.",
    "dealt": "Dealt out in turn, or from the lightest up, the heavy experts meet by "
    "chance: begin with the heaviest and look at the loads so far.",
    "one": "Every expert keeps one copy at least.",
    "budget": "The copies together are e + spare.",
    "copies": "Give one copy at a time, each to the expert whose copies now carry "
    "most: load / copies.",
    "top": "A second copy halves a load; the hottest expert may need a third before "
    "another needs its second.",
}
CHECK = Checker("Exercise 4", HINTS)


def check_place(place: Callable, seed: int = 0) -> str:
    """Check `place(load, ranks) -> rank_of int64 [e]`."""
    rng, size = random_sizes(seed, each=(3, 4), ranks=(3, 5))
    for each, ranks, kind in (
        (size["each"], size["ranks"], "heavy"),
        (size["each"], size["ranks"], "plain"),
        (2, size["ranks"], "heavy"),
        (1, 4, "plain"),
        (5, 1, "plain"),
        (4, 2, "zeros"),
    ):
        e = each * ranks
        load = torch.randint(1, 60, (e,), generator=rng)
        if kind == "heavy":
            load = load * load
        if kind == "zeros":
            load[1:5] = 0
        told = f"place of {e} experts on {ranks} ranks"
        got = CHECK.call(place, strided(load), ranks, what=told)
        _is_tensor(got, e, told)
        within = bool((got >= 0).all() and (got < ranks).all())
        CHECK.true(within, "ranks", told, f"0 to {ranks - 1}", got.tolist())
        held = torch.bincount(got, minlength=ranks).tolist()
        CHECK.equal(held, [each] * ranks, "room", f"experts on each rank, {told}")
        _as_even(got, load, ranks, told)
    return "Exercise 4: the heaviest first, where there is least."


def _is_tensor(got: object, e: int, told: str) -> None:
    formed = isinstance(got, Tensor) and got.dtype == torch.int64 and got.shape == (e,)
    seen = getattr(got, "dtype", type(got).__name__), tuple(getattr(got, "shape", ()))
    CHECK.true(formed, "numbers", told, f"int64 ({e},)", seen)


def held(load: Tensor, rank_of: Tensor, ranks: int) -> list[int]:
    """The loads of the ranks, sorted."""
    held = torch.zeros(ranks, dtype=torch.int64).index_add(0, rank_of, load.long())
    return held.sort().values.tolist()


def _largest(load: Tensor, rank_of: Tensor, ranks: int) -> int:
    return held(load, rank_of, ranks)[-1]


def _as_even(got: Tensor, load: Tensor, ranks: int, told: str) -> None:
    """The largest load of a rank may not exceed the greedy placement's."""
    right = _largest(load, reference.place(load, ranks), ranks)
    found = _largest(load, got, ranks)
    if found <= right:
        return
    order = load.argsort(descending=True, stable=True)
    dealt = torch.empty_like(order)
    dealt[order] = torch.arange(len(load)) % ranks
    hint, seen = "greedy", held(load, got, ranks)
    if seen == held(load, dealt, ranks):
        hint = "dealt"
    what = f"the largest load of a rank, {told}"
    CHECK.fail(hint, what, f"at most {right}", found)


def check_copies(copies: Callable, seed: int = 0) -> str:
    """Check `copies(load, spare) -> int64 [e]`."""
    rng, size = random_sizes(seed, e=(5, 8), spare=(4, 7))
    hot = torch.ones(size["e"], dtype=torch.int64) * 10
    hot[1] = 100
    random = torch.randint(1, 90, (size["e"],), generator=rng)
    for load, spare in (
        (random, size["spare"]),
        (hot, size["spare"]),
        (random, 0),
        (random, 1),
        (hot, 1),
        (torch.tensor([50, 40, 9, 1]), 4),
    ):
        told = f"copies of {load.tolist()}, {spare} to spare"
        got = CHECK.call(copies, strided(load), spare, what=told)
        _is_tensor(got, len(load), told)
        CHECK.true(bool((got >= 1).all()), "one", told, "1 or more", got.tolist())
        total = int(got.sum())
        hint = "one" if spare and total == spare else "budget"
        CHECK.equal(total, len(load) + spare, hint, f"all copies, {told}")
        right = float((load / reference.copies(load, spare)).max())
        found = float((load / got).max())
        if found <= right + 1e-9:
            continue
        order = load.argsort(descending=True, stable=True)
        top = torch.ones_like(load)
        for place in range(spare):
            top[order[place % len(load)]] += 1
        hint = "top" if torch.equal(got, top) else "copies"
        CHECK.fail(hint, f"the largest load of a copy, {told}", right, found)
    return "Exercise 4: the next copy goes where it relieves most."
