"""Lab 4, exercises 4 and 5: the balance loss, the z-loss, and a bias that balances
without either.

Symbols: n tokens, e experts, k picks. f_i is the share of the slots that went to expert
    i, P_i the mean probability that the router gives it; b the bias on the scores.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import helped, strided

LOSSES = Checker(
    "Exercise 4",
    {
        "scalar": "A loss is one number: a tensor without axes.",
        "k": "f_i is a share of all k * n slots, so that the shares sum to 1 and an "
        "even load gives 1: divide by k too.",
        "experts": "Times e: then an even load gives 1, for any number of experts.",
        "padding": "Padded tokens count neither in f nor in P, and not in a mean.",
        "top_only": "P_i is the mean over all tokens of the whole softmax, with the "
        "experts that were not picked: they are where the gradient pushes.",
        "first": "f counts every pick, not only the first of each token.",
        "recounted": "Count the picks that were made, not the largest logits: noise, a "
        "bias and groups make them differ.",
        "soft": "f counts picks: it is made of whole numbers and has no gradient. The "
        "mean probability twice pushes to another place.",
        "tokens": "P is a mean over tokens, not a sum.",
        "gradient": "The gradient flows through P alone: keep the softmax "
        "differentiable, and count f from the picks.",
        "square": "Square the log-sum-exp of each token.",
        "square_late": "Square first, then average: the square of a mean lets large "
        "positive and negative values cancel.",
        "mean": "Average over the real tokens.",
        "stable": "exp of a few hundred overflows: torch.logsumexp and softmax are "
        "safe.",
    },
)
BIAS = Checker(
    "Exercise 5",
    {
        "sign": "An overloaded expert must become less attractive: its bias goes down.",
        "size": "Every expert moves by the same rate: only the sign of its gap counts.",
        "median": "Compare each load with the mean load.",
        "whole_mean": "The mean load need not be a whole number: / and not //.",
        "even": "An expert at the mean load has no gap: sign(0) is 0.",
        "added": "The step is added to the bias that was there.",
        "centre": "Take the mean of the new biases out, so that they cannot drift.",
        "step_centred": "Take the mean of the new biases out, not that of the step: a "
        "drift that is there already stays otherwise.",
        "rate": "A step is `rate` long.",
        "fresh": "Return a new tensor: += writes into the bias you were given.",
        "unbiased_load": "The load is that of the biased scores: count the picks of "
        "scores + bias, anew in each step.",
        "top1": "Count all k picks of each token.",
        "steps": "Update `steps` times, from zero.",
        "vector": "Return a float tensor [e].",
    },
)
LOSS_SLIPS = (
    "k",
    "experts",
    "padding",
    "top_only",
    "first",
    "recounted",
    "soft",
    "tokens",
)
Z_SLIPS = ("square", "square_late", "mean", "padding")


def check_balance_loss(balance_loss: Callable, seed: int = 0) -> str:
    """Check `balance_loss(logits, picks, real)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, n=(7, 11), e=(5, 8), k=(2, 3))
    for n, k, padded, loud in (
        (size["n"], size["k"], 0, 1),
        (size["n"], size["k"], 3, 1),
        (size["n"], 1, 2, 1),
        (1, 2, 0, 1),
        (size["n"], 2, 0, 900),
    ):
        logits, picks, real = _routed(n, size["e"], k, padded, loud, rng)
        told = f"balance_loss of {n} tokens, {padded} padded, k = {k}" + (
            ", large" * (loud > 1)
        )
        _check_loss(
            lambda x, picks=picks, real=real: (balance_loss, (x, strided(picks), real)),
            lambda x, slip, picks=picks, real=real: reference.balance_loss(
                x, picks, real, slip
            ),
            logits,
            LOSS_SLIPS,
            told,
        )
    return "Exercise 4: e times the sum of f P, 1 where the load is even."


def check_z_loss(z_loss: Callable, seed: int = 0) -> str:
    """Check `z_loss(logits, real)`."""
    rng, size = random_sizes(seed, n=(7, 11), e=(5, 8))
    for n, padded, loud in (
        (size["n"], 0, 1),
        (size["n"], 3, 1),
        (1, 0, 1),
        (5, 0, 900),
    ):
        logits, _, real = _routed(n, size["e"], 1, padded, loud, rng)
        told = f"z_loss of {n} tokens, {padded} padded" + ", large" * (loud > 1)
        _check_loss(
            lambda x, real=real: (z_loss, (x, real)),
            lambda x, slip, real=real: reference.z_loss(x, real, slip),
            logits,
            Z_SLIPS,
            told,
        )
    return "Exercise 4: logits that grow cost."


def _routed(
    n: int, e: int, k: int, padded: int, loud: float, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of both signs, picks that are not always the largest, and who is real."""
    logits = loud * (torch.randn(n, e, generator=rng).double() - 1.0)
    picks = (logits + torch.randn(n, e, generator=rng)).topk(k, dim=1).indices
    real = torch.rand(n, generator=rng).argsort() >= padded
    return logits, picks, real


def _check_loss(
    asked: Callable, truth: Callable, logits: Tensor, slips: tuple, told: str
) -> None:
    """Value and gradient of a loss, for contiguous and other logits."""
    function, given = asked(strided(logits))
    got = LOSSES.call(function, *given, what=told)
    scalar = isinstance(got, Tensor) and got.shape == ()
    seen = getattr(got, "shape", type(got).__name__)
    LOSSES.true(scalar, "scalar", told, "a tensor without axes", seen)
    right = truth(logits, "")
    wrong = {slip: truth(logits, slip) for slip in slips}
    named = {s: w for s, w in wrong.items() if not torch.allclose(w, right)}
    default = "compare" if got.isfinite() else "stable"
    LOSSES.close(got, right, default, told, named)
    leaf, own = (logits.clone().requires_grad_() for _ in range(2))
    (want,) = torch.autograd.grad(truth(own, ""), own)
    function, given = asked(leaf)
    with LOSSES.doing("gradient", f"the gradient of {told}"):
        found = function(*given)
    LOSSES.true(found.requires_grad, "gradient", told, "a gradient", "none")
    (grad,) = torch.autograd.grad(found, leaf, allow_unused=True)
    grad = torch.zeros_like(leaf) if grad is None else grad
    LOSSES.close(grad, want, "gradient", f"the logits' gradient of {told}")


def check_update_bias(update_bias: Callable, seed: int = 0) -> str:
    """Check `update_bias(bias, counts, rate) -> [e]`."""
    rng, size = random_sizes(seed, e=(5, 9), rate=(1, 9))
    rate = size["rate"] / 512
    for e, drift in ((size["e"], 0.0), (size["e"], 0.75), (2, 0.0), (7, 0.0)):
        bias = 0.1 * torch.randn(e, generator=rng).double()
        bias = bias - bias.mean() + drift
        counts = torch.randint(2, 40, (e,), generator=rng)
        if e == 7:
            counts = torch.tensor([10, 10, 3, 17, 10, 1, 19])  # three at the mean of 10
        told = f"update_bias of {e} experts" + f", mean {drift}" * (drift > 0)
        _compare_update(update_bias, bias, counts, rate, told)
    crowd = torch.tensor([3, 3, 3, 90, 90, 4, 4])
    _compare_update(update_bias, torch.zeros(7).double(), crowd, rate, "two in a crowd")
    near = torch.tensor([2, 2, 3, 2, 2])  # mean 2.2
    _compare_update(update_bias, torch.zeros(5).double(), near, rate, "a mean of 2.2")
    return "Exercise 5: the crowded sink, the idle rise, and none drifts."


def _compare_update(
    update_bias: Callable, bias: Tensor, counts: Tensor, rate: float, told: str
) -> None:
    got = BIAS.call(update_bias, strided(bias), strided(counts), rate, what=told)
    right = reference.update_bias(bias, counts, rate)
    slips = ("sign", "size", "median", "whole_mean", "centre", "step_centred", "added")
    wrong = {slip: reference.update_bias(bias, counts, rate, slip) for slip in slips}
    even = torch.where(counts.double() >= counts.double().mean(), -rate, rate)
    other = torch.where(counts.double() > counts.double().mean(), -rate, rate)
    for moved in (bias + even, bias + other):
        if isinstance(got, Tensor) and got.shape == bias.shape:
            centred = moved - moved.mean()
            if torch.allclose(got.double(), centred):
                wrong["even"] = centred
    one = bias + (counts.double().mean() - counts.double()).sign()
    wrong["rate"] = one - one.mean()
    named = {s: w for s, w in wrong.items() if not torch.allclose(w, right)}
    BIAS.close(got, right, "compare", told, named, "vector")
    BIAS.true(
        abs(float(got.mean())) < 1e-12, "centre", f"the mean of {told}", 0, got.mean()
    )


def check_balance(balance: Callable, seed: int = 0) -> str:
    """Check `balance(scores, k, rate, steps) -> [e]`, with the lab's own `update_bias`
    beside it, or else with the student's.
    """

    def trial() -> None:
        rng, size = random_sizes(seed, n=(30, 50), e=(5, 8), k=(2, 3), steps=(5, 9))
        e = size["e"]
        tilt = torch.linspace(0, 0.5, e).double()
        for n, k, steps in (
            (size["n"], size["k"], size["steps"]),
            (size["n"], 1, 1),
            (1, 2, 3),
            (size["n"], 2, 0),
        ):
            scores = torch.rand(n, e, generator=rng).double() + tilt
            told = f"balance of {n} tokens, k = {k}, {steps} steps"
            given = strided(scores), k, 1 / 64, steps
            got = BIAS.call(balance, *given, what=told)
            right = reference.balanced(scores, k, 1 / 64, steps)
            wrong = {
                slip: reference.balanced(scores, k, 1 / 64, steps, slip)
                for slip in ("unbiased_load", "top1")
            }
            wrong["steps"] = reference.balanced(scores, k, 1 / 64, max(steps - 1, 0))
            more = reference.balanced(scores, k, 1 / 64, steps + 1)
            if (
                isinstance(got, Tensor)
                and got.shape == (e,)
                and torch.allclose(got.double(), more)
            ):
                wrong["steps"] = more
            named = {s: w for s, w in wrong.items() if not torch.allclose(w, right)}
            BIAS.close(got, right, "compare", told, named, "vector")

    helped(trial, balance, update_bias=reference.update_bias)
    return "Exercise 5: the load moves the bias, and the bias the load."
