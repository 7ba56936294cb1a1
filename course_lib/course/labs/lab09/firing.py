"""Lab 9, exercise 4: leaky integrate-and-fire, the part of a variant that sends events.

Symbols: b batch, t steps, d neurons; u membrane.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided
from course_lib.layers.spiking.lif import Spike

HINTS = {
    "shape": "Return the spikes [b t d], 0 or 1, in the dtype of x.",
    "reset_sum": "After a spike the threshold is taken off, threshold *times* the "
    "spike. `spike - threshold` subtracts two things of different kinds, and moves the "
    "membrane at every step.",
    "no_reset": "After a spike the membrane falls by the threshold.",
    "to_zero": "The reset subtracts the threshold and keeps what lay above it; it does "
    "not set the membrane to 0.",
    "at_once": "The reset comes a step late, by the spike of the step before; the "
    "membrane that is compared has not been reset for this step's own spike.",
    "leak": "What is left after a step is beta u, not (1 - beta) u.",
    "input_leaks": "The input of a step does not leak in that step.",
    "no_leak": "Without the leak the membrane is a plain sum.",
    "membranes": "Returned are the spikes, not the membranes.",
    "equal": "A spike needs a membrane above the threshold; on it is not above.",
    "by_one": "The reset takes off the threshold, whatever it is, and not 1.",
    "scaled_input": "The input enters whole: beta scales what is left of u, and there "
    "is no 1 - beta.",
    "axis": "Time is the second axis, [b t d], and each text starts at 0.",
    "slope": "Hand spike the membrane minus the threshold as it is, and send what it "
    "returns: the slope is that of the given function.",
    "time": "The membrane carries gradients from step to step: do not detach it.",
    "reached": "spike(z) is 1 where z is above 0: hand it the membrane minus the "
    "threshold.",
    "start": "Membranes start at 0, and nobody has sent a spike before.",
    "gradient": "The spikes come from spike(...), whose slope is smooth: "
    "`(u > threshold)` has none, and nothing before it is trained.",
    "steps": "u = beta u + x_t - threshold times the last step's spike; then the spike "
    "of u - threshold.",
}
CHECK = Checker("Exercise 4", HINTS)


def spike(z: Tensor) -> Tensor:
    """1 where z is above 0, else 0; on the way back a smooth slope."""
    return Spike.apply(z)


def fire(x: Tensor, beta: float, threshold: float, slip: str = "") -> Tensor:
    """The truth, or what a slip gives."""
    if slip == "axis":
        return fire(x.transpose(0, 1), beta, threshold).transpose(0, 1)
    u, sent, rows = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]), []
    u = u + threshold if slip == "from_above" else u
    sent = sent + 1 if slip == "as_if_sent" else sent
    left = {"leak": 1 - beta, "no_leak": 1.0}.get(slip, beta)
    for one in x.unbind(1):
        if slip == "input_leaks":
            u = left * (u + one) - threshold * sent
        elif slip == "to_zero":
            u = left * u * (1 - sent) + one
        elif slip == "reset_sum":
            u = left * u + one - (sent - threshold)
        elif slip == "by_one":
            u = left * u + one - sent
        elif slip == "scaled_input":
            u = left * u + (1 - beta) * one - threshold * sent
        else:
            u = (
                left * u
                + one
                - (0 if slip in ("no_reset", "at_once") else 1) * (threshold * sent)
            )
        sent = (u > threshold).to(x.dtype)
        if slip == "equal":
            sent = (u >= threshold).to(x.dtype)
        rows.append(u if slip == "membranes" else sent)
        if slip == "fixed":
            rows[-1] = sent = (u > 1).to(x.dtype)
        if slip == "reached":
            rows[-1] = sent = (u > 0).to(x.dtype)
        if slip == "at_once":
            u = u - threshold * sent
    return torch.stack(rows, 1)


def fire_with_slope(x: Tensor, beta: float, threshold: float, slip: str = "") -> Tensor:
    """Events with a slope, as a student writes them; the reset may be detached."""
    u, sent, rows = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]), []
    for one in x.unbind(1):
        fall = sent.detach() if slip == "reset_detached" else sent
        u = u.detach() if slip == "time" else u
        u = beta * u + one - threshold * fall
        sent = spike(u - threshold)
        rows.append(sent)
    return torch.stack(rows, 1)


SLIPS = (
    "reset_sum", "no_reset", "to_zero", "at_once", "leak", "input_leaks", "no_leak",
    "membranes", "equal", "reached", "by_one", "scaled_input", "axis", "from_above",
    "as_if_sent", "fixed"
)  # fmt: skip
CALLED = {"from_above": "start", "as_if_sent": "start", "fixed": "reached"}


def _same_slope(slope: Tensor, given: Tensor, told: str) -> None:
    """The slope of the given function, with gradients through the reset or without."""
    allowed = {}
    for slip in ("", "reset_detached", "time"):
        y = fire_with_slope(given, 0.9, 1.0, slip)
        (allowed[slip],) = torch.autograd.grad(y.sum(), given)
    if not torch.allclose(slope, allowed["reset_detached"], rtol=1e-9, atol=1e-9):
        CHECK.close(slope, allowed[""], "slope", told, {"time": allowed["time"]})


def check_fire(fire_of: Callable, seed: int = 0) -> str:
    """Check `fire(x, beta, threshold) -> spikes`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, n = random_sizes(seed, b=(2, 3), t=(30, 40), d=(3, 5))
    x = numbers(rng, *n.values()) + 0.4
    steady = torch.full((1, 9, 1), 0.75, dtype=torch.float64)
    whole = torch.ones(1, 6, 2, dtype=torch.float64)
    for kind, given, beta, threshold in (
        ("random inputs", x, 0.8, 1.4),
        ("a steady input", steady, 0.5, 1.0),
        ("a steady input without leak", whole, 1.0, 2.0),
        ("one step", x[:, :1], 0.9, 0.5),
        ("no memory", x, 0.0, 0.75),
        ("a high threshold", x, 0.95, 2.5),
    ):
        what = f"spikes of {kind} (beta {beta}, threshold {threshold})"
        lent = strided(given), beta, threshold
        got = CHECK.call(fire_of, *lent, what=what)
        right = fire(given, beta, threshold)

        def truth(slip: str, g=(given, beta, threshold)) -> Tensor:
            return fire(*g, slip)

        wrong = probing.slip_of(truth, SLIPS, got)
        wrong = {CALLED.get(slip, slip): one for slip, one in wrong.items()}
        CHECK.close(got, right, "steps", what, wrong, "shape")
    given = (1.0 + numbers(rng, 1, 5, 2) / 10).requires_grad_()
    y = fire_of(given, 0.9, 1.0)
    CHECK.true(y.requires_grad, "gradient", "the spikes", "a gradient", "none")
    (slope,) = torch.autograd.grad(y.sum(), given)
    found = bool((slope.abs() > 1e-3).all())
    told = "the gradient of all spikes in the inputs"
    CHECK.true(found, "gradient", told, "some at every step", "none at some")
    _same_slope(slope, given, told)
    probing.low(CHECK, lambda x: fire_of(x, 0.9, 1.0), (x,), "spikes")
    return "Exercise 4: a membrane that leaks, fires and falls by its threshold."
