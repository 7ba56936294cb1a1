"""Lab 5, exercise 2: a scan and its gradient, whose work grows with the length and not
with its square.

Symbols: b batch, t tokens, decay and x [b t ...], h_t = decay_t h_{t-1} + x_t.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing, reference
from course_lib.course.labs.lab05.probing import numbers, shares
from course_lib.course.labs.lending import strided

HINTS = {
    "states": "Return the states after every token: [b t ...], as x.",
    "start": "The state before the first token is `start`, and it decays too.",
    "read_before": "States *after* the token: h_t holds x_t already.",
    "decay_late": "The input of a token does not decay at its own step: h is "
    "multiplied first, then x is added.",
    "no_decay": "The state is multiplied by the token's decay before x is added.",
    "mean": "x is added as it is: no factor 1 - decay.",
    "next_decay": "h_{t-1} is multiplied by the decay of token t, not of another one.",
    "backwards": "From the first token to the last.",
    "overflow": "A quotient of running products (or of exponentials of running sums) "
    "divides by a number that underflows, and a decay of 0 divides by 0: take the "
    "steps as they are.",
    "forward": "Twice the length must be twice the work. torch.cat in the loop copies "
    "what is there already at every step; a matrix [t t] has t squared numbers.",
    "quadratic": "x[:, t] in a loop makes autograd write a gradient of the size of "
    "*all* of x for every token, and so does an assignment to states[:, t]. "
    "x.unbind(1) and torch.stack have one backward for all tokens.",
    "gradient": "Gradients reach decay, x and start through the result: no detach, no "
    ".data, no .item().",
    "dtype": "float32 goes in and float32 comes out.",
    "triple": "Return three gradients: of decay, of x, of start.",
    "no_carry": "A state also acts through the states after it: g_t = grad_t + "
    "decay_{t+1} g_{t+1}.",
    "reversed": "The list was filled from the last token: turn it round before it is "
    "stacked.",
    "own_decay": "From state t to state t + 1 leads decay_{t+1}, and not decay_t.",
    "own_state": "decay_t multiplies h_{t-1}, so its gradient is g_t h_{t-1}.",
    "first_decay": "start reaches the first state through its decay: decay_1 g_1.",
}
CHECK = Checker("Exercise 2", HINTS)
SLIPS = (
    "start",
    "read_before",
    "decay_late",
    "no_decay",
    "mean",
    "next_decay",
    "backwards",
)
GRADIENTS = (
    ("no_carry", "own_decay", "no_decay", "own_state", "start", "reversed"),
    ("no_carry", "own_decay", "no_decay", "reversed"),
    ("first_decay", "no_carry", "own_decay", "no_decay"),
)
SHORT, LONG, MOST = 24, 48, 3.0


def check_scan(scan: Callable, seed: int = 0) -> str:
    """Check `scan(decay, x, start) -> states`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 9), n=(2, 4))
    b, t, n = size.values()
    for shape in ((b, t, n), (1, 1, n), (b, t, 2, n), (1, 2, 1)):
        given = _inputs(rng, shape)
        told = f"scan of {list(shape)}"
        lent = [strided(x) for x in given]
        got = CHECK.call(scan, *lent, what=told, fresh=True)
        wrong = probing.slip_of(partial(reference.scan, *given), SLIPS, got)
        right = reference.scan(*given)
        CHECK.close(got, right, "compare", told, wrong, "states")
    probing.low(CHECK, scan, given, told)
    _check_steep(scan, rng)
    probing.gradients(
        CHECK, scan, reference.scan, _inputs(rng, (b, t, n)), "scan of a short text"
    )
    _check_growth(scan, rng)
    return "Exercise 2: every state, and a gradient whose work grows with the length."


def _inputs(rng: torch.Generator, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    return shares(rng, *shape), numbers(rng, *shape), numbers(rng, shape[0], *shape[2:])


def _check_steep(scan: Callable, rng: torch.Generator) -> None:
    """Decays whose product underflows, decays of 0, 1 and below 0."""
    decay, x, start = _inputs(rng, (2, 30, 3))
    for told, rates in (
        ("decays near 0", decay * 1e-30),
        ("decays of 0 and 1", (decay > 0.5).double()),
        ("decays of both signs", decay - 0.5),
    ):
        got = CHECK.call(scan, rates, x, start, what=f"scan with {told}")
        right = reference.scan(rates, x, start)
        CHECK.close(got, right, "overflow", f"scan with {told}")


def _check_growth(scan: Callable, rng: torch.Generator) -> None:
    """The bytes that forward and backward write, at a length and at twice that."""
    forward, backward = zip(
        *(_both_bytes(scan, t, rng) for t in (SHORT, LONG)), strict=True
    )
    for hint, part, (few, many) in (
        ("forward", "forward", forward),
        ("quadratic", "backward", backward),
    ):
        told = f"bytes that {part} writes for {LONG} tokens, by those for {SHORT}"
        seen = f"{many / few:.1f} times"
        CHECK.true(many < MOST * few, hint, told, "about 2 times", seen)


def _both_bytes(scan: Callable, t: int, rng: torch.Generator) -> tuple[int, int]:
    leaves = [x.requires_grad_() for x in _inputs(rng, (1, t, 2))]
    forward, _, states = probing.written(lambda: scan(*leaves))
    total = states.sum()
    backward, _, _ = probing.written(lambda: torch.autograd.grad(total, leaves))
    return forward, backward


def backward_bytes(scan: Callable, t: int) -> int:
    """Bytes that the backward of a scan over t tokens of two channels writes."""
    return _both_bytes(scan, t, torch.Generator().manual_seed(0))[1]


def check_scan_gradient(scan_gradient: Callable, seed: int = 0) -> str:
    """Check `scan_gradient(decay, states, start, grad) -> three gradients`."""
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 9), n=(2, 4))
    b, t, n = size.values()
    for shape in ((b, t, n), (1, 1, n), (b, t, 2, n), (1, 2, 1)):
        decay, x, start = _inputs(rng, shape)
        states, grad = reference.scan(decay, x, start), numbers(rng, *shape)
        given = decay, states, start, grad
        told = f"scan_gradient of {list(shape)}"
        lent = [strided(x) for x in given]
        got = CHECK.call(scan_gradient, *lent, what=told, fresh=True)
        got = probing.results(CHECK, got, 3, "triple", told)
        of = partial(reference.scan_gradient, *given)
        for place, name in enumerate(("decay", "x", "start")):
            wrong = probing.slip_of(of, GRADIENTS[place], got[place], place)
            what = f"the gradient of {name} by {told}"
            CHECK.close(got[place], of("")[place], "compare", what, wrong, "triple")
    probing.low(CHECK, scan_gradient, given, told)
    _check_autograd(scan_gradient, rng)
    few, many = (
        probing.written(lambda t=t: scan_gradient(*_backward_inputs(rng, t)))[0]
        for t in (SHORT, LONG)
    )
    told = f"bytes written for {LONG} tokens, by those for {SHORT}"
    seen = f"{many / few:.1f} times"
    CHECK.true(many < MOST * few, "forward", told, "about 2 times", seen)
    return "Exercise 2: the gradient is a scan too, from the last token to the first."


def _backward_inputs(rng: torch.Generator, t: int) -> tuple[Tensor, ...]:
    decay, x, start = _inputs(rng, (1, t, 2))
    return decay, reference.scan(decay, x, start), start, numbers(rng, 1, t, 2)


def _check_autograd(scan_gradient: Callable, rng: torch.Generator) -> None:
    """What autograd says of the reference, for decays of 0 too."""
    decay, x, start = _inputs(rng, (2, 6, 3))
    decay = decay * (decay > 0.3)
    leaves = [one.clone().requires_grad_() for one in (decay, x, start)]
    states, grad = reference.scan(*leaves), numbers(rng, 2, 6, 3)
    right = torch.autograd.grad(states, leaves, grad)
    given = decay, states.detach(), start, grad
    told = "scan_gradient with decays of 0, beside autograd"
    got = CHECK.call(scan_gradient, *given, what=told)
    for one, truth in zip(got, right, strict=True):
        CHECK.close(one, truth, "overflow", told)
