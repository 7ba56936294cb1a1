"""Lab 4b, exercise 5: quality by slice beside load by slice, and a post-mortem.

Symbols: s steps, c slices, e experts.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04_operations import reference
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (by_slice, overall): a float64 tensor [c] and a float.",
    "steps": "Divide sums by sums: a mean of the steps' means weighs a step with three "
    "tokens as much as one with a thousand.",
    "slices": "The overall loss is that of a token: the mean over slices gives law as "
    "much weight as English.",
    "axis": "One loss for each slice: sum over the steps.",
    "own": "The busiest rank is the one with the largest load of all slices together; "
    "it is the same for each slice.",
    "of_rank": "The share of the slice's own slots: each slice is divided by its own "
    "sum.",
    "of_all": "Divide by the slots of the slice, not by those of all slices.",
    "expert": "The busiest rank, not the busiest expert: add the experts of a rank.",
    "words": "Return three texts: symptom, cause, mitigation.",
    "symptom": "The symptom is 'quality' if the loss of any slice rose by more than "
    "the limit, else 'latency'.",
    "mean_loss": "Look at the slice whose loss rose most: in the mean over slices a "
    "small one disappears.",
    "fallen": "A loss that fell is no symptom: only a rise counts.",
    "pooled": "Compare the router within each slice. In the shares over all traffic "
    "two slices' changes cancel, and a change of the mix looks like one of the router.",
    "weighted": "Weigh the slices by their share of the traffic afterwards.",
    "cause": "The cause is the largest of three distances: the mix of the slices, the "
    "router within them, the experts that moved.",
    "mitigation": "The mitigation is the one that MITIGATIONS names for the cause.",
}
CHECK = Checker("Exercise 5", HINTS)


def check_quality(quality: Callable, seed: int = 0) -> str:
    """Check `quality(loss_sums, tokens) -> (by_slice [c], overall)`."""
    rng, size = random_sizes(seed, s=(5, 8), c=(3, 5))
    for s in (size["s"], 1):
        tokens = torch.randint(1, 200, (s, size["c"]), generator=rng)
        tokens[:, 0] *= 20
        means = 1 + torch.rand(s, size["c"], generator=rng).double()
        sums = means * tokens
        told = f"quality of {s} steps, {size['c']} slices"
        got = CHECK.call(quality, strided(sums), strided(tokens), what=told)
        pair = isinstance(got, tuple | list) and len(got) == 2
        CHECK.true(pair, "pair", told, "(by_slice, overall)", type(got).__name__)
        by_slice, overall = reference.quality(sums, tokens)
        mistakes = {"steps": means.mean(0)}
        named = {h: w for h, w in mistakes.items() if not torch.allclose(w, by_slice)}
        CHECK.close(got[0], by_slice, "axis", f"the slices in {told}", named, "pair")
        number = type(got[1]) in (int, float)
        kind = type(got[1]).__name__
        CHECK.true(number, "pair", f"overall in {told}", "a float", kind)
        mistakes = {
            "slices": float(by_slice.mean()),
            "steps": float((sums.sum(1) / tokens.sum(1)).mean()),
            "steps ": float(means.mean()),
        }
        if abs(got[1] - mistakes.pop("steps ")) < 1e-9:
            mistakes["steps"] = got[1]
        named = {h: w for h, w in mistakes.items() if abs(w - overall) > 1e-9}
        CHECK.near(got[1], overall, "compare", f"overall in {told}", named)
    return "Exercise 5: sums over sums."


def check_load_by_slice(load_by_slice: Callable, seed: int = 0) -> str:
    """Check `load_by_slice(slots, rank_of) -> [c]`."""
    rng, size = random_sizes(seed, c=(3, 5), each=(2, 3), ranks=(3, 4))
    e = size["each"] * size["ranks"]
    for c in (size["c"], 1):
        for placed in (
            torch.arange(e) % size["ranks"],
            torch.arange(e) // size["each"],
        ):
            slots = torch.randint(1, 50, (c, e), generator=rng)
            slots[0] *= 9  # the largest slice
            slots[-1, -1] += 200  # a small one with a favourite of its own
            told = f"load_by_slice of {c} slices on {size['ranks']} ranks"
            got = CHECK.call(load_by_slice, strided(slots), placed, what=told)
            right = reference.load_by_slice(slots, placed)
            slips = ("own", "of_rank", "of_all", "expert")
            wrong = {x: reference.load_by_slice(slots, placed, x) for x in slips}
            named = {x: w for x, w in wrong.items() if not torch.allclose(w, right)}
            CHECK.close(got, right, "compare", told, named, "axis")
    return "Exercise 5: who sits on the rank that everybody waits for."


def periods(kind: str, rng: torch.Generator) -> tuple[dict, dict]:
    """A period before and one after something happened."""
    c, e = 4, 12
    likes = torch.rand(c, e, generator=rng).double() + 0.05
    sizes = torch.tensor([900.0, 500.0, 300.0, 60.0]).double()
    later, after = sizes.clone(), likes.clone()
    placed = torch.arange(e) % 4
    moved = placed.clone()
    loss = torch.tensor([2.0, 2.25, 1.25, 2.5]).double()
    risen = loss + 0.0625
    if kind == "hot topic":  # the mix changes, each slice is routed as before
        later = torch.tensor([400.0, 300.0, 250.0, 900.0]).double()
    if kind == "router":
        after = likes.roll(3, 1)
        risen = loss + torch.tensor([0.125, 0.5, 0.125, 0.125])
    if kind == "small slice":  # a router that changed most where little traffic is
        after[3] = likes[3].flip(0) ** 3
        after[:3] *= 1 + 0.2 * torch.rand(3, e, generator=rng)
        risen = loss + torch.tensor([-0.25, -0.25, -0.25, 0.5])
        later = torch.tensor([900.0, 500.0, 120.0, 60.0]).double()
    if kind == "grown slice":  # weighed by the traffic before, the router looks calm
        likes[3] = 0.9 + 0.1 * likes[3]
        after[3] = likes[3].clone()
        likes[3, :6] *= 5
        after[3, 6:] *= 5
        sizes = torch.tensor([900.0, 500.0, 300.0, 730.0]).double()
        later = torch.tensor([500.0, 280.0, 165.0, 1155.0]).double()
        risen = loss + torch.tensor([0.0, 0.0, 0.0, 0.25])
    if kind == "swap":  # two slices exchange their experts: all traffic looks the same
        sizes = later = torch.tensor([500.0, 500.0, 60.0, 70.0]).double()
        after[0], after[1] = likes[1], likes[0]
        moved = placed.clone()
        moved[[0, 1]] = placed[[1, 0]]
    if kind == "placement":  # and the mix has moved a little, and answers got better
        moved, risen = placed.roll(1), loss - 0.5
        later = torch.tensor([880.0, 520.0, 330.0, 70.0]).double()
    if kind == "two causes":  # the traffic by 0.3, the router by a little less
        sizes = torch.tensor([400.0, 300.0, 200.0, 100.0]).double()
        later = torch.tensor([100.0, 300.0, 200.0, 400.0]).double()
        likes[3] = torch.tensor([1.0] * 6 + [0.25] * 6)
        after = likes.clone()
        after[3] = likes[3].flip(0)
    before = {"slots": _slots(likes, sizes), "rank_of": placed, "loss": loss}
    return before, {"slots": _slots(after, later), "rank_of": moved, "loss": risen}


def _slots(likes: Tensor, sizes: Tensor) -> Tensor:
    return (likes / likes.sum(1, keepdim=True) * sizes[:, None] * 8).round().long() + 1


KINDS = (
    "hot topic",
    "router",
    "swap",
    "small slice",
    "grown slice",
    "placement",
    "two causes",
)


def check_post_mortem(post_mortem: Callable, seed: int = 0) -> str:
    """Check `post_mortem(before, after, limit) -> (symptom, cause, mitigation)`."""
    rng = torch.Generator().manual_seed(seed)
    for kind in KINDS:
        before, after = periods(kind, rng)
        for limit in (0.25, 0.03125):
            told = f"post_mortem of a {kind}, limit {limit}"
            got = CHECK.call(post_mortem, before, after, limit, what=told)
            three = isinstance(got, tuple | list) and len(got) == 3
            CHECK.true(three, "words", told, "three texts", type(got).__name__)
            _told(got, before, after, limit, told)
    return "Exercise 5: symptom, cause, mitigation."


def _told(got: Any, before: dict, after: dict, limit: float, told: str) -> None:
    symptom, cause, mitigation = reference.post_mortem(before, after, limit)
    slips = ("mean_loss", "fallen")
    wrong = {x: reference.post_mortem(before, after, limit, x)[0] for x in slips}
    named = {x: w for x, w in wrong.items() if w != symptom}
    CHECK.equal(got[0], symptom, "symptom", f"the symptom in {told}", named)
    named = {}
    for slip in ("pooled", "plain_mean", "old_mix"):
        wrong = reference.post_mortem(before, after, limit, slip)[1]
        if got[1] == wrong != cause:
            named["pooled" if slip == "pooled" else "weighted"] = wrong
    CHECK.equal(got[1], cause, "cause", f"the cause in {told}", named)
    CHECK.equal(got[2], mitigation, "mitigation", f"the mitigation in {told}")
