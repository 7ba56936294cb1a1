"""Lab 4, exercise 2: send each token's slots to its experts, and bring them back.

Symbols: n tokens, k picks, e experts, d width; a slot is one pick of one token, slot i
    belongs to token i // k.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import helped, strided

HINTS = {
    "pair": "Return (slots, counts): int64 tensors [n * k] and [e].",
    "slots": "Slots are numbered row by row: token 0's picks first. Sort their experts "
    "and return the slots in that order.",
    "stable": "Slots of one expert stay in their own order: sort with stable=True.",
    "choices_first": "Flatten picks [n k] row by row, not column by column.",
    "tokens": "Return slots, from 0 to n * k - 1; their tokens are slots // k.",
    "places": "This says where each slot goes. Wanted is the other way round: which "
    "slot stands at each place.",
    "counts": "counts has one number for every expert, 0 for one that nobody picked: "
    "bincount needs minlength.",
    "unsort": "Rows come in sorted order: row j belongs to slot slots[j]. "
    "rows[slots] sorts them a second time; write back[slots] = rows, or use argsort.",
    "sorted": "The rows are still in the order of the experts: put them back first.",
    "weights": "Each row is multiplied by the weight of its own slot.",
    "slot_weights": "weights [n k] go by slot, rows by place: bring both into one "
    "order before you multiply.",
    "accumulate": "A token has k rows: they are added. An assignment with repeated "
    "indices keeps one of them (index_add_, or a sum over k).",
    "mean": "The weights do the averaging: sum over the k rows.",
    "gradient": "Rows, weights and tokens carry gradients: no detach, no new tensor "
    "made of numbers.",
    "dtype": "Make new tensors like the rows (zeros_like, new_zeros): dtype and all.",
    "once": "Each expert is called once, on all of its tokens together.",
    "idle": "An expert that nobody picked is not called.",
    "own_tokens": "An expert sees the tokens that picked it and no others: that is "
    "where the FLOPs are saved.",
    "owner": "Slot i belongs to token i // k (with picks [n k] row by row), not i % n.",
    "after": "The weight multiplies what the expert returns, not what it is given.",
    "output": "[n d] comes back, one row a token.",
}
CHECK = Checker("Exercise 2", HINTS)


def check_by_expert(by_expert: Callable, seed: int = 0) -> str:
    """Check `by_expert(picks, experts) -> (slots, counts)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, n=(6, 9), e=(4, 6), k=(2, 3))
    for n, e, k in ((size["n"], size["e"], size["k"]), (1, 7, 2), (40, 5, 1)):
        picks = _picks(n, e, k, rng, idle=True)
        told = f"by_expert of {n} tokens, {e} experts, k = {k}"
        got = CHECK.call(by_expert, strided(picks), e, what=told)
        slots, counts = _pair(got, told)
        right, many = reference.by_expert(picks, e)
        turned = picks.T.reshape(-1).argsort(stable=True)
        others = {
            "tokens": right // k,
            "places": right.argsort(),
            "choices_first": turned,
        }
        mistakes = {h: w for h, w in others.items() if not torch.equal(w, right)}
        default = "slots"
        if slots.shape == right.shape and torch.equal(
            slots.sort().values, torch.arange(n * k)
        ):
            flat = picks.reshape(-1)
            default = "stable" if torch.equal(flat[slots], flat[right]) else "slots"
        CHECK.close(slots, right, default, f"slots of {told}", mistakes)
        CHECK.close(counts, many, "counts", f"counts of {told}")
    return "Exercise 2: slots in the order of their experts."


def _pair(got: Any, told: str) -> tuple[Tensor, Tensor]:
    pair = (
        isinstance(got, tuple | list)
        and len(got) == 2
        and all(isinstance(x, Tensor) and x.dtype == torch.int64 for x in got)
    )
    seen = type(got).__name__
    if isinstance(got, tuple | list):
        seen = [str(getattr(x, "dtype", type(x).__name__)) for x in got]
    CHECK.true(pair, "pair", told, "(slots, counts), int64", seen)
    return got[0], got[1]


def check_combine(combine: Callable, seed: int = 0) -> str:
    """Check `combine(rows, slots, weights) -> [n d]`."""
    rng, size = random_sizes(seed, n=(5, 8), e=(4, 6), k=(2, 3), d=(3, 5))
    for n, k in ((size["n"], size["k"]), (1, 2), (size["n"], 1)):
        slots, _ = reference.by_expert(_picks(n, size["e"], k, rng), size["e"])
        rows = torch.randn(n * k, size["d"], generator=rng).double()
        weights = torch.rand(n, k, generator=rng).double() + 0.1
        told = f"combine of {n} tokens, k = {k}"
        got = CHECK.call(combine, strided(rows), slots, strided(weights), what=told)
        right = reference.combine(rows, slots, weights)
        CHECK.close(
            got, right, "compare", told, _slips(rows, slots, weights, right), "output"
        )
        low = CHECK.call(combine, rows.float(), slots, weights.float(), what=told)
        same = isinstance(low, Tensor) and low.dtype == torch.float32
        seen = str(getattr(low, "dtype", type(low).__name__))
        CHECK.true(same, "dtype", f"{told}, in float32", "torch.float32", seen)
        _gradients(
            lambda r, w, slots=slots: combine(r, slots, w),
            lambda r, w, slots=slots: reference.combine(r, slots, w),
            (rows, weights),
            told,
        )
    return "Exercise 2: every row finds its token again."


def _slips(rows: Tensor, slots: Tensor, weights: Tensor, right: Tensor) -> dict:
    """What the known mistakes of `combine` would give."""
    n, k = weights.shape
    back = torch.empty_like(rows)
    back[slots] = rows
    w = weights[..., None]

    def of(flat: Tensor, w: Tensor = w) -> Tensor:
        return (flat.unflatten(0, (n, k)) * w).sum(1)

    last = torch.zeros_like(right)
    flat = weights.reshape(-1)[slots, None] * rows
    for token, row in zip((slots // k).tolist(), flat, strict=True):
        last[token] = row
    crossed = torch.zeros_like(right).index_add(
        0, slots // k, rows * weights.reshape(-1, 1)
    )
    found = {
        "unsort": of(rows[slots]),
        "sorted": of(rows),
        "weights": of(back, torch.ones_like(w)),
        "mean": of(back) / k,
        "slot_weights": crossed,
        "accumulate": last,
    }
    return {h: wrong for h, wrong in found.items() if not torch.allclose(wrong, right)}


class Watched:
    """Experts with weights of their own that note what they are given."""

    def __init__(self, e: int, d: int, rng: torch.Generator) -> None:
        self.weights = torch.randn(e, d, d, generator=rng).double()
        self.seen: list[list[Tensor]] = [[] for _ in range(e)]

    def experts(self, weights: Tensor | None = None) -> list[Callable]:
        """One callable an expert, on `weights` [e d d] or its own."""
        weights = self.weights if weights is None else weights

        def run(number: int, h: Tensor) -> Tensor:
            self.seen[number].append(h.detach().clone())
            return torch.tanh(h @ weights[number].to(h.dtype))

        return [lambda h, i=i: run(i, h) for i in range(len(weights))]


def check_moe(moe: Callable, seed: int = 0) -> str:
    """Check `moe(x, picks, weights, experts) -> [n d]`, with the lab's own `by_expert`
    and `combine` beside it, or else with the student's.
    """
    own = {"by_expert": reference.by_expert, "combine": reference.combine}
    helped(lambda: _check_moe(moe, seed), moe, **own)
    return "Exercise 2: each expert runs once, on its own tokens."


def _check_moe(moe: Callable, seed: int) -> None:
    rng, size = random_sizes(seed, n=(6, 9), e=(4, 6), k=(2, 3), d=(3, 5))
    for n, k in ((size["n"], size["k"]), (1, 2), (size["n"], 1)):
        e, d = size["e"], size["d"]
        picks = _picks(n, e, k, rng, idle=n > 1)
        x = torch.randn(n, d, generator=rng).double()
        weights = torch.rand(n, k, generator=rng).double() + 0.1
        watched = Watched(e, d, rng)
        told = f"moe of {n} tokens, {e} experts, k = {k}"
        right = reference.moe(x, picks, weights, Watched.experts(watched))
        watched.seen = [[] for _ in range(e)]
        given = strided(x), strided(picks), strided(weights)
        got = CHECK.call(moe, *given, tuple(watched.experts()), what=told)
        _calls(watched.seen, x, picks, told)
        slips = _moe_slips(x, picks, weights, watched.experts(), right)
        CHECK.close(got, right, "compare", told, slips, "output")
        low = CHECK.call(
            moe, x.float(), picks, weights.float(), tuple(watched.experts()), what=told
        )
        seen = str(getattr(low, "dtype", type(low).__name__))
        is_low = seen == "torch.float32"
        CHECK.true(is_low, "dtype", f"{told}, in float32", "torch.float32", seen)
        _gradients(
            lambda x, w, m, picks=picks, v=watched: moe(x, picks, w, v.experts(m)),
            lambda x, w, m, picks=picks, v=watched: reference.moe(
                x, picks, w, v.experts(m)
            ),
            (x, weights, watched.weights),
            told,
        )


def _calls(seen: list[list[Tensor]], x: Tensor, picks: Tensor, told: str) -> None:
    """Each expert once on its own tokens, in any order."""
    for expert, calls in enumerate(seen):
        wanted = (picks == expert).any(1).nonzero()[:, 0]
        what = f"expert {expert} in {told}"
        if not len(wanted):
            CHECK.true(not calls, "idle", what, "no call", f"{len(calls)} calls")
            continue
        CHECK.true(len(calls) == 1, "once", what, "one call", f"{len(calls)} calls")
        rows = sorted(map(tuple, calls[0].tolist())) if calls[0].dim() == 2 else []
        own = sorted(map(tuple, x[wanted].tolist()))
        CHECK.true(
            len(rows) == len(own),
            "own_tokens",
            f"tokens given to {what}",
            len(own),
            len(rows) or tuple(calls[0].shape),
        )


def _moe_slips(
    x: Tensor, picks: Tensor, weights: Tensor, experts: Sequence, right: Tensor
) -> dict[str, Tensor]:
    n, k = picks.shape
    rows = torch.stack([expert(x) for expert in experts], 1)
    picked = rows.gather(1, picks[..., None].expand(-1, -1, x.shape[1]))
    whole = weights[..., None]
    last = torch.zeros_like(x)
    for expert in range(len(experts)):
        token, choice = (picks == expert).nonzero(as_tuple=True)
        last[token] = rows[token, expert] * weights[token, choice, None]
    slots, _ = reference.by_expert(picks, len(experts))
    flat = picks.reshape(-1)[slots]
    strangers = torch.stack(
        [
            experts[int(i)](x[int(s) % n][None])[0]
            for i, s in zip(flat, slots, strict=True)
        ]
    )
    before = torch.stack(
        [
            sum(
                experts[int(picks[t, c])](x[t][None] * weights[t, c])[0]
                for c in range(k)
            )
            for t in range(n)
        ]
    )
    found = {
        "weights": picked.sum(1),
        "mean": (picked * whole).mean(1),
        "accumulate": last,
        "after": before,
        "owner": reference.combine(strangers, slots, weights),
    }
    return {h: w for h, w in found.items() if not torch.allclose(w, right)}


def _gradients(answer: Callable, truth: Callable, given: tuple, told: str) -> None:
    """Compare the gradients of all given tensors."""
    grads = []
    for function in (truth, answer):
        leaves = [x.clone().requires_grad_() for x in given]
        with CHECK.doing("gradient", f"the gradient of {told}"):
            y = function(*leaves)
            probe = torch.linspace(1.0, 2.0, y.numel()).double().view_as(y)
            found = (y * probe).sum()
        CHECK.true(
            found.requires_grad,
            "gradient",
            f"the output of {told}",
            "a gradient",
            "none",
        )
        grads.append(torch.autograd.grad(found, leaves, allow_unused=True))
    for right, got, leaf in zip(*grads, given, strict=True):
        got = torch.zeros_like(leaf) if got is None else got
        CHECK.close(got, right, "gradient", f"a gradient of {told}")


def _picks(n: int, e: int, k: int, rng: torch.Generator, idle: bool = False) -> Tensor:
    """Random picks [n k], k different experts a token; `idle`: nobody picks the last
    expert, so that one has no tokens.
    """
    scores = torch.rand(n, e, generator=rng)
    if idle:
        scores[:, -1] = -1
    return scores.topk(k, dim=1).indices
