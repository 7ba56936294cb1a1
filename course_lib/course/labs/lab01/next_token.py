"""Lab 1, exercise 3: the loss of a causal language model, with a mask of what counts.

Symbols: b rows, n tokens, logits [b n vocab]. The logits at place t speak of token t +
    1.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided

HINTS = {
    "shift": "The logits at place t predict token t + 1: drop the last logits and the "
    "first token.",
    "direction": "Shift the other way: at place t the target is the token after t, "
    "not the one before.",
    "mask_shift": "`counts` belongs to tokens. It moves with the targets: token t + 1 "
    "counts, or not.",
    "mask": "Only tokens with `counts` True are targets.",
    "mean": "Divide by the number of tokens that count, over all rows together; not "
    "by all tokens.",
    "row_mean": "One mean over all counted tokens. A mean of row means gives short "
    "answers more weight.",
    "normalise": "The loss is -log softmax(logits)[target]: subtract logsumexp over "
    "the vocabulary.",
    "sum": "Divide the sum by the number of tokens that count: the loss is a mean, in "
    "nats a token.",
    "sign": "A likelihood below 1 has a negative logarithm: the loss is minus its "
    "mean, and positive.",
    "log": "The loss is minus the logarithm of the probability, not minus the "
    "probability.",
    "first": "The first token of a row is never a target: it is neither in the sum "
    "nor in the count.",
    "stable": "softmax, then log gives log(0): take "
    "log_softmax, or subtract logsumexp.",
    "gradient": "Training needs the gradient, all of it: neither detach nor item().",
    "steps": "Cut logits and targets, log_softmax, pick each target's entry, negate, "
    "average what counts.",
    "output": "Return one number, a tensor without axes, in nats a token.",
    "empty_row": "A row in which nothing counts adds nothing; the other rows still "
    "have a loss.",
    "nothing": "If no token counts, there is no loss: raise ValueError. A row's first "
    "token is no target.",
}
CHECK = Checker("Exercise 3", HINTS)


def check(next_token_loss, seed: int = 0) -> str:
    """Check exercise 3: `next_token_loss(logits, tokens, counts) -> scalar`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, b=(2, 3), n=(6, 9), vocab=(5, 8))
    shape = size["b"], size["n"]
    logits = 3 * torch.randn(*shape, size["vocab"], generator=rng).double()
    tokens = torch.randint(size["vocab"], shape, generator=rng)
    everything = torch.ones(shape, dtype=torch.bool)
    answer = torch.arange(size["n"])[None] >= torch.arange(3, 3 + size["b"])[:, None]
    one_row, uneven = answer.clone(), answer.clone()
    one_row[0] = False
    uneven[:, 0], uneven[0, 2:] = True, False
    uneven[0, 1] = True
    for name, counts in (
        ("every token", everything),
        ("the answer only", answer),
        ("a first token, too", uneven),
        ("nothing of one row", one_row),
    ):
        _check_loss(next_token_loss, logits, tokens, counts, name)
    turned = strided(logits), strided(tokens), strided(answer)
    _check_loss(next_token_loss, *turned, "the answer only")
    _check_loss(next_token_loss, logits[:1], tokens[:1], answer[:1], "the answer only")
    _check_loss(
        next_token_loss, logits[:, :2], tokens[:, :2], everything[:, :2], "every token"
    )
    _check_training(next_token_loss, logits, tokens, answer)
    only_first = torch.arange(size["n"]).expand(shape) == 0
    for name, counts in (
        ("no token counts", ~everything),
        ("only first tokens count", only_first),
    ):
        CHECK.refuses(
            partial(next_token_loss, logits.clone(), tokens.clone(), counts),
            "nothing",
            f"loss where {name}",
        )
    return "Exercise 3: shifted once, and only what counts is counted."


def _check_loss(
    next_token_loss, logits: Tensor, tokens: Tensor, counts: Tensor, name: str
) -> None:
    what = f"loss of {len(tokens)} rows where {name} counts"
    crash = "crash" if counts[:, 1:].any(1).all() else "empty_row"
    got = CHECK.call(
        next_token_loss, logits, tokens, counts.clone(), what=what, crash=crash
    )
    losses = _losses(logits[:, :-1], tokens[:, 1:])
    kept, back = counts[:, 1:], counts[:, :-1]
    right = losses[kept].mean()
    wrong = {
        "shift": _losses(logits, tokens)[counts].mean(),
        "direction": _losses(logits[:, 1:], tokens[:, :-1])[back].mean(),
        "mask_shift": losses[back].mean(),
        "mask": losses.mean(),
        "mean": (losses * kept).mean(),
        "row_mean": ((losses * kept).sum(1) / kept.sum(1)).mean(),
        "sum": losses[kept].sum(),
        "sign": -right,
        "log": -(-losses[kept]).exp().mean(),
        "first": losses[kept].sum() / counts.sum(),
        "normalise": -logits[:, :-1]
        .gather(-1, tokens[:, 1:, None])[..., 0][kept]
        .mean(),
    }
    mistakes = {
        hint: value for hint, value in wrong.items() if not torch.isclose(value, right)
    }
    default = "steps"
    if isinstance(got, Tensor) and crash == "empty_row" and not got.isfinite().all():
        default = "empty_row"
    CHECK.close(got, right, default, what, mistakes, shape="output")


def _check_training(
    next_token_loss, logits: Tensor, tokens: Tensor, counts: Tensor
) -> None:
    """Logits far apart, whose probabilities underflow; and a gradient that reaches the
    logits.
    """
    far = (300 * logits).requires_grad_()
    with CHECK.doing("crash", "loss of logits far apart"):
        got = next_token_loss(far, tokens.clone(), counts.clone())
    CHECK.true(
        isinstance(got, Tensor),
        "output",
        "loss of logits far apart",
        "a tensor without axes",
        type(got).__name__,
    )
    expected = _losses(far[:, :-1], tokens[:, 1:])[counts[:, 1:]].mean()
    CHECK.true(
        bool(got.isfinite()),
        "stable",
        "loss of logits far apart",
        f"{expected:.6g}",
        f"{got:.6g}",
    )
    CHECK.close(got.detach(), expected.detach(), "steps", "loss of logits far apart")
    CHECK.true(
        got.requires_grad,
        "gradient",
        "a gradient of the loss",
        "one for the logits",
        "none",
    )
    gradients = [
        torch.autograd.grad(y, far, allow_unused=True, materialize_grads=True)[0]
        for y in (got, expected)
    ]
    CHECK.close(*gradients, "gradient", "gradient of the loss for the logits")


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    ).view(targets.shape)
