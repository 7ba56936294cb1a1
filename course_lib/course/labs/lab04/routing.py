"""Lab 4, exercise 1: the routers of Mixtral and DeepSeek-V3, and noise for training.

Symbols: n tokens, e experts, k picks of a token. Answers are compared as weights for
every expert, 0 where it was not picked, so the order of the picks is free.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return two tensors [n k]: picks (int64, which experts) and weights.",
    "distinct": "The k picks of a token are k different experts, from 0 to e - 1.",
    "largest": "The picks of a token are the k experts with the largest logits.",
    "renormalise": "Of two or more picks the weights sum to 1: divide the kept "
    "probabilities by their sum.",
    "top1": "With k = 1 a renormalised weight is 1 whatever the router says, and no "
    "gradient reaches it: keep the probability itself, as Switch does.",
    "twice": "One softmax is enough: probabilities that are put through a second one "
    "come out nearly equal.",
    "axis": "Each token has its own softmax: over the experts, not over the tokens.",
    "sigmoid": "Mixtral's scores are a softmax over the experts; the sigmoid is "
    "DeepSeek-V3's.",
    "stable": "exp of a few hundred overflows: softmax and softplus of PyTorch are "
    "safe.",
    "gradient": "The weights carry the router's gradient: no detach, no item, no "
    "new tensor made of numbers.",
    "bias": "The picks go by score + bias; without the bias nothing is balanced.",
    "group_bias": "The groups are ranked by the biased scores too.",
    "group_score": "A group's rank is the sum of its two best biased scores, not its "
    "best one and not the sum of all.",
    "mask_zero": "What must not be picked gets -inf. With 0.0 an expert of another "
    "group wins as soon as the biased scores are negative.",
    "no_groups": "Only experts of a token's `kept` best groups may be picked.",
    "interleaved": "A group is a run of neighbours: experts 0 to e / groups - 1 are "
    "group 0.",
    "worst": "Keep the groups that rank highest.",
    "biased_weights": "The bias decides who is picked, and nothing else: weights come "
    "from the scores without it.",
    "unnormalised": "Divide the picked scores by their sum, then multiply by scale.",
    "scale": "Multiply the normalised weights by scale.",
    "all_experts": "Divide by the sum over the picks, not over all experts.",
    "softmax": "DeepSeek-V3 scores each expert by itself: a sigmoid, not a softmax.",
    "evaluation": "No noise in evaluation: two calls must give the same picks.",
    "training": "In training the noise is added to the logits.",
    "softplus": "The noise is multiplied by softplus(spread), which is never negative.",
}
CHECK = Checker("Exercise 1", HINTS)
SLIPS = ("renormalise", "top1", "twice", "axis", "sigmoid")
V3_SLIPS = ("biased_weights", "unnormalised", "scale", "all_experts", "softmax")


def check_mixtral_routing(mixtral_routing: Callable, seed: int = 0) -> str:
    """Check `mixtral_routing(logits, k) -> (picks, weights)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this lab.
    """
    rng, size = random_sizes(seed, n=(4, 7), e=(5, 9), k=(2, 3))
    n, e, k = size["n"], size["e"], size["k"]
    for rows, picked, loud in ((n, k, 1), (1, 2, 1), (n, 1, 1), (n, e, 1), (n, k, 900)):
        logits = torch.randn(rows, e, generator=rng).double() + (loud - 1)
        told = f"mixtral_routing of {rows} tokens, k = {picked}" + ", large" * (
            loud > 1
        )
        got = CHECK.call(mixtral_routing, strided(logits), picked, what=told)
        picks, weights = _routing(got, rows, picked, e, told)
        right = reference.mixtral_picks(logits, picked)
        CHECK.true(
            torch.equal(picks.sort(1).values, right.sort(1).values),
            "largest" if loud == 1 else "stable",
            f"the picks of {told}",
            right.sort(1).values.tolist(),
            picks.sort(1).values.tolist(),
        )
        truth = partial(reference.mixtral_weights, logits, picks)
        _gates(picks, weights, e, told, loud, truth, SLIPS)
        if loud == 1:
            _gradient(
                lambda x, picked=picked: mixtral_routing(x, picked),
                lambda x, picks: reference.mixtral_weights(x, picks),
                logits,
                told,
            )
    return "Exercise 1: softmax, the k largest, and weights that sum to 1."


def check_v3_routing(v3_routing: Callable, seed: int = 0) -> str:
    """Check `v3_routing(logits, bias, k, groups, kept, scale) -> (picks, weights)`."""
    rng, size = random_sizes(seed, n=(14, 18), groups=(4, 5), each=(3, 4), scale=(2, 5))
    groups, each = size["groups"], size["each"]
    scale = 0.5 * size["scale"] + 0.25
    for rows, of, kept, k, mean in (
        (size["n"], groups, 2, 3, -1.0),
        (size["n"], groups, 2, 4, 5.0),
        (1, groups, 1, 2, -0.5),
        (size["n"], groups, 1, 3, -7.0),  # real checkpoints hold biases near 5
        (size["n"], 1, 1, 3, 0.0),
        (size["n"], groups, groups, 1, 0.0),
    ):
        e = of * each * (1 if of > 1 else 3)
        logits = 1.5 * torch.randn(rows, e, generator=rng).double()
        bias = mean + 0.3 * torch.randn(e, generator=rng).double()
        given = bias, k, of, kept, scale
        told = f"v3_routing of {rows} tokens, {of} groups, {kept} kept, k = {k}"
        got = CHECK.call(
            v3_routing, strided(logits), strided(bias), *given[1:], what=told
        )
        picks, weights = _routing(got, rows, k, e, told)
        _v3_picks(picks, logits, given, told)
        truth = partial(reference.v3_weights, logits, bias, picks, scale)
        _gates(picks, weights, e, told, 1, truth, V3_SLIPS)
        _gradient(
            lambda x, given=given: v3_routing(x, *given),
            lambda x, picks, bias=bias: reference.v3_weights(x, bias, picks, scale),
            logits,
            told,
        )
    return "Exercise 1: the bias chooses, the scores weigh."


def _v3_picks(picks: Tensor, logits: Tensor, given: tuple, told: str) -> None:
    bias, k, groups, kept, _ = given

    def chosen(slip: str) -> list:
        found = reference.v3_picks(logits, bias, k, groups, kept, slip)
        return found.sort(1).values.tolist()

    named = {
        slip: chosen(slip)
        for slip in (
            "mask_zero",
            "no_groups",
            "bias",
            "group_bias",
            "group_max",
            "group_sum",
            "interleaved",
            "worst",
            "softmax",
        )
    }
    got, right = picks.sort(1).values.tolist(), chosen("")
    for slip in ("group_max", "group_sum"):
        wrong = named.pop(slip)
        if got == wrong != right:
            named["group_score"] = wrong
    # With few kept groups nearly anything differs: name the default by what was asked.
    CHECK.equal(got, right, "compare", f"the picks of {told}, each row sorted", named)


def check_noisy_logits(noisy_logits: Callable, seed: int = 0) -> str:
    """Check `noisy_logits(logits, spread, noise, training) -> [n e]`."""
    rng, size = random_sizes(seed, n=(2, 5), e=(3, 6))
    for rows, shift in ((size["n"], 0.0), (1, 0.0), (size["n"], 800.0)):
        logits, spread, noise = torch.randn(3, rows, size["e"], generator=rng).double()
        spread = spread + shift
        lent = strided(logits), strided(spread), strided(noise)
        right = logits + noise * softplus(spread)
        told = f"noisy_logits of {rows} tokens" + ", large spread" * (shift > 0)
        got = CHECK.call(noisy_logits, *lent, True, what=f"{told}, in training")
        mistakes = {
            "training": logits,
            "softplus": logits + noise * spread,
        }
        for other in (spread.exp(), spread.sigmoid(), torch.ones_like(spread)):
            if isinstance(got, Tensor) and got.shape == logits.shape and not shift:
                wrong = logits + noise * other
                if torch.allclose(got, wrong.to(got.dtype), atol=1e-9):
                    mistakes["softplus"] = wrong
        finite = isinstance(got, Tensor) and bool(got.isfinite().all())
        default = "compare" if finite else "stable"
        CHECK.close(got, right, default, f"{told}, in training", mistakes)
        got = CHECK.call(noisy_logits, *lent, False, what=f"{told}, in evaluation")
        told = f"{told}, in evaluation"
        CHECK.close(got, logits, "compare", told, {"evaluation": right})
    return "Exercise 1: noise explores in training and is gone in evaluation."


def _routing(got: Any, n: int, k: int, e: int, told: str) -> tuple[Tensor, Tensor]:
    """The two tensors of an answer, if they are such."""
    pair = isinstance(got, tuple | list) and len(got) == 2
    CHECK.true(pair, "pair", told, "(picks, weights)", type(got).__name__)
    for name, part in zip(("picks", "weights"), got, strict=True):
        dtype = torch.int64 if name == "picks" else torch.float64
        formed = (
            isinstance(part, Tensor) and part.shape == (n, k) and part.dtype == dtype
        )
        seen = (
            f"{tuple(part.shape)}, {part.dtype}"
            if isinstance(part, Tensor)
            else type(part).__name__
        )
        CHECK.true(formed, "pair", f"{name} of {told}", f"({n}, {k}), {dtype}", seen)
    ordered = got[0].sort(1).values
    several = bool((ordered.diff(dim=1) > 0).all())
    within = bool((ordered >= 0).all() and (ordered < e).all())
    CHECK.true(
        several and within,
        "distinct",
        f"picks of {told}",
        f"{k} of {e}",
        ordered.tolist(),
    )
    return got[0], got[1]


def _gates(
    picks: Tensor,
    weights: Tensor,
    e: int,
    told: str,
    loud: int,
    truth: Callable[[str], Tensor],
    slips: tuple[str, ...],
) -> None:
    """Compare weights for every expert with the truth, and with each slip."""
    right = reference.gates(picks, truth(""), e)
    wrong = {slip: reference.gates(picks, truth(slip), e) for slip in slips}
    mistakes = {s: w for s, w in wrong.items() if not torch.allclose(w, right)}
    default = "compare" if weights.isfinite().all() or loud == 1 else "stable"
    CHECK.close(reference.gates(picks, weights, e), right, default, told, mistakes)


def _gradient(answer: Callable, truth: Callable, logits: Tensor, told: str) -> None:
    """Compare what comes back to the logits through the weights."""
    leaf = logits.clone().requires_grad_()
    with CHECK.doing("gradient", f"the gradient of {told}"):
        picks, weights = answer(leaf)
        probe = torch.linspace(1.0, 2.0, weights.numel()).double().view_as(weights)
        right = torch.autograd.grad((truth(leaf, picks) * probe).sum(), leaf)[0]
        found = (weights * probe).sum()
    CHECK.true(
        found.requires_grad,
        "gradient",
        f"the weights of {told}",
        "a gradient for the logits",
        "none",
    )
    (got,) = torch.autograd.grad(found, leaf, allow_unused=True)
    got = torch.zeros_like(leaf) if got is None else got
    CHECK.close(got, right, "gradient", f"the logits' gradient of {told}")
