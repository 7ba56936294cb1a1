"""Lab 5, exercise 1: zero-order hold and the trapezoid rule, also for small steps.

Symbols: x' = a x + b u is one channel of a system in continuous time, dt the step;
    h_t = a_bar h_{t-1} + b_bar u_t the same as a recurrence.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing, reference
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (a_bar, b_bar).",
    "shape": "a, b and dt are broadcast: a_bar has the shape of dt * a, b_bar that of "
    "dt * a * b.",
    "dtype": "float32 goes in and float32 comes out: make no tensor of another dtype.",
    "no_dt": "The step belongs into the exponent: exp(dt a), and not exp(a).",
    "sign": "a has its sign already: exp(dt a). A minus more, and what should decay "
    "grows.",
    "euler": "1 + dt a is the tangent (Euler): it is right for small steps alone, and "
    "grows without bound for large ones.",
    "trapezoid": "This is the trapezoid rule; zero-order hold is the exponential.",
    "euler_b": "dt b is Euler's rule for the input, as Mamba takes it. Here u holds "
    "for the whole step: (exp(dt a) - 1) / a times b.",
    "step_b": "(exp(dt a) - 1) / (dt a) is a mean over the step; times dt.",
    "rate_b": "(exp(dt a) - 1) b is a times too large: divide by a.",
    "no_b": "b is a factor of b_bar.",
    "decay_b": "The input of a step does not decay for the whole step: integrate exp(s "
    "a) from 0 to dt.",
    "trapezoid_b": "This is the trapezoid rule's b_bar, with zero-order hold's a_bar.",
    "sign_b": "The sign: (exp(dt a) - 1) / a is positive whatever the sign of a.",
    "small": "exp(z) - 1 loses its digits where z is small, for exp(z) is near 1: "
    "torch.expm1 keeps them. dt b is right at z = 0 alone, not near it.",
    "zero": "a may be 0 (a sum that forgets nothing): there b_bar is dt b, the limit, "
    "and not 0 / 0. A number added to a moves every other result.",
    "zero_gradient": "torch.where chooses the value, but a gradient flows through both "
    "sides, and 0 times not-a-number is not a number: keep 0 out of the division "
    "itself.",
    "half": "Half a step on each side: dt a / 2.",
    "upside": "The plus is above, the minus below: with a below 0 the state must "
    "decay.",
    "implicit": "1 / (1 - dt a) is the implicit Euler rule; the trapezoid rule has 1 + "
    "dt a / 2 above.",
    "zoh": "This is zero-order hold; the trapezoid rule has no exponential.",
    "undivided": "b_bar is divided by 1 - dt a / 2 too.",
    "half_b": "b_bar is divided by 1 - dt a / 2, not by 1 - dt a.",
    "zoh_b": "This is zero-order hold's b_bar; the trapezoid rule has no exponential.",
    "mean_b": "dt b, not dt b / 2.",
}
CHECK = Checker("Exercise 1", HINTS)
DECAYS = ("no_dt", "sign", "euler", "trapezoid")
INPUTS = (
    "euler_b",
    "step_b",
    "rate_b",
    "no_b",
    "decay_b",
    "trapezoid_b",
    "sign_b",
)
BILINEAR_DECAYS = ("half", "upside", "euler", "implicit", "zoh", "no_dt")
BILINEAR_INPUTS = ("undivided", "step_b", "half_b", "zoh_b", "mean_b", "no_b")


def check_zoh(zoh: Callable, seed: int = 0) -> str:
    """Check `zoh(a, b, dt) -> (a_bar, b_bar)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    for told, (a, b, dt), default in _systems(seed):
        _compare(zoh, reference.zoh, (a, b, dt), (DECAYS, INPUTS), "zoh", told, default)
    _check_gradient(zoh)
    return "Exercise 1: exact where the input holds, down to the smallest step."


def _check_gradient(zoh: Callable) -> None:
    """The gradients of b and dt where some a are 0."""
    a = torch.tensor([-0.5, 0.0, 0.3, 0.0]).double()
    grads = []
    for rule in (reference.zoh, zoh):
        b, dt = (
            torch.tensor(x).double().requires_grad_() for x in ([2.0] * 4, [0.7] * 4)
        )
        with CHECK.doing("zero_gradient", "the gradient of zoh where a is 0"):
            grads.append(torch.autograd.grad(rule(a.clone(), b, dt)[1].sum(), (b, dt)))
    for name, right, got in zip(("b", "dt"), *grads, strict=True):
        told = f"the gradient of {name} by zoh where some a are 0"
        CHECK.close(got, right, "zero_gradient", told)


def check_bilinear(bilinear: Callable, seed: int = 0) -> str:
    """Check `bilinear(a, b, dt) -> (a_bar, b_bar)`."""
    for told, given, _ in _systems(seed):
        slips = BILINEAR_DECAYS, BILINEAR_INPUTS
        name = "bilinear"
        _compare(bilinear, reference.bilinear, given, slips, name, told, "compare")
    return "Exercise 1: the trapezoid rule, stable for steps of any size."


def _systems(seed: int) -> list[tuple[str, tuple[Tensor, Tensor, Tensor], str]]:
    """Systems and what their failure says: of one number, of many channels, nearly and
    wholly without decay, with large steps.
    """
    rng, size = random_sizes(seed, i=(3, 5), n=(2, 4), t=(3, 6))
    i, n, t = size.values()
    rates = -torch.rand(i, n, generator=rng).double() - 0.2
    steps = torch.rand(2, t, i, 1, generator=rng).double() + 0.05
    one = torch.tensor([-1.5]).double(), torch.tensor([2.0]).double()
    some = numbers(rng, 7)
    tiny = -torch.logspace(-4, -1, n, dtype=torch.float64)
    zeros = torch.tensor([-0.5, 0.0, 0.3, 0.0]).double()
    gently = -torch.logspace(-8, -2, 13, dtype=torch.float64)
    large = torch.tensor([-900.0, -41.0, -3.0]).double()
    b, steep = numbers(rng, n), numbers(rng, 3)
    return [
        ("one channel", (*one, torch.tensor([0.4]).double()), "compare"),
        ("channels by state", (rates, b, steps), "compare"),
        (
            "dt a between -1e-8 and -0.01",
            (gently, b[:1], torch.ones(1).double()),
            "small",
        ),
        ("rates of both signs", (some, some.flip(0), some.abs() + 0.1), "compare"),
        (
            "a dt of 1e-9 and less",
            (tiny, 1e12 * (b.abs() + 0.5), torch.tensor([1e-9]).double()),
            "small",
        ),
        (
            "a = 0 among others",
            (zeros, zeros + 1.5, torch.full((4,), 0.7).double()),
            "zero",
        ),
        ("dt a = -900", (large, steep, torch.ones(3).double()), "compare"),
    ]


def _compare(
    answer: Callable,
    truth: Callable,
    given: tuple[Tensor, Tensor, Tensor],
    slips: tuple[tuple[str, ...], tuple[str, ...]],
    name: str,
    told: str,
    default: str,
) -> None:
    told = f"{name} of {told}"
    lent = [strided(x) for x in given]
    got = CHECK.call(answer, *lent, what=told, fresh=True)
    got = probing.results(CHECK, got, 2, "pair", told)
    of = partial(truth, *given)
    for place, part in enumerate(("a_bar", "b_bar")):
        known = () if default == "zero" else slips[place]
        wrong = probing.slip_of(of, known, got[place], place)
        right = of("")[place]
        hint = default if place else "compare"
        CHECK.close(got[place], right, hint, f"{part} of {told}", wrong, "shape")
    probing.low(CHECK, answer, given, told)
