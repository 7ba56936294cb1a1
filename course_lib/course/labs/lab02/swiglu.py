"""Lab 2, exercise 5: the gated feed-forward network, and its width at equal parameters.

Symbols: d model width, f inner width. Weights are [out in]: gate and up [f d], down [d
    f].
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided
from course_lib.layers.feed_forward.mlp import GatedMLP

HINTS = {
    "gate": "The activation stands on the gate: silu(gate) * up, not gate * silu(up).",
    "silu": "silu(z) = z * sigmoid(z). A bare sigmoid is GLU, a bare product has no "
    "bend at all.",
    "product": "Gate and up are multiplied number by number, before the way down.",
    "after": "silu acts on the gate alone, not on the product.",
    "two_thirds": "Three matrices of width w against two of width f: 3 w d = 2 f d, "
    "so w = 2 f / 3.",
    "multiple": "Round up to a whole multiple: the next multiple at or above 2 f / 3, "
    "exact multiples stay.",
    "whole": "A width is a whole number (int).",
    "axes": "x is [.. d] with any axes before the last, or none: x @ w.T takes all.",
    "stable": "exp of a few hundred overflows: silu(z) is z * sigmoid(z), and "
    "torch.sigmoid is safe.",
    "output": "x [.. d] comes back as [.. d]: y = down(silu(gate x) * up x).",
}
CHECK = Checker("Exercise 5", HINTS)


def check_swiglu(swiglu, seed: int = 0) -> str:
    """Check `swiglu(x, gate, up, down) -> [.. d]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(2, 4), d=(4, 6), f=(7, 9))
    layer = GatedMLP(size["d"], size["f"]).double().requires_grad_(False)
    for weight in layer.parameters():
        weight.copy_(torch.randn(weight.shape, generator=rng))
    weights = layer.gate.weight, layer.up.weight, layer.down.weight
    for axes, loud in (("bt", 1), ("b", 1), ("", 1), ("bbt", 1), ("bt", 500), ("t", 1)):
        shape = [size[axis] for axis in axes] + [size["d"]]
        x = loud * torch.randn(shape, generator=rng).double()
        x = strided(x) if loud > 1 else x
        what = f"swiglu of x {shape}" + ", large" * (loud > 1)
        crash = "axes" if len(axes) != 2 else "crash"
        got = CHECK.call(swiglu, x, *weights, what=what, crash=crash)
        mistakes = {
            hint: wrong(x @ weights[0].T, x @ weights[1].T) @ weights[2].T
            for hint, wrong in SLIPS.items()
        }
        default = "compare"
        if isinstance(got, Tensor) and got.isnan().any():
            default = "stable"
        CHECK.close(got, layer(x), default, what, mistakes, shape="output")
    return "Exercise 5: the gate bends, and lets through."


def check_equal_width(equal_width, seed: int = 0) -> str:
    """Check `equal_width(f, multiple) -> int`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    for f, multiple in (
        (11008 * 3 // 2, 256),
        (4 * 4096, 256),
        (768, 1),
        (100, 64),
        (96, 64),
        (3072, 128),
        (1, 8),
    ):
        _check_width(equal_width, f + seed * (multiple == 1), multiple)
    return "Exercise 5: three matrices for the price of two."


def _check_width(equal_width, f: int, multiple: int) -> None:
    what = f"equal_width({f}, multiple={multiple})"
    got = CHECK.call(equal_width, f, multiple, what=what)
    CHECK.true(type(got) is int, "whole", what, "an int", f"{type(got).__name__} {got}")
    exact, up = 2 * f / 3, -(-2 * f // (3 * multiple)) * multiple
    near = {
        up - multiple,
        up + multiple,
        round(exact / multiple) * multiple,
        int(exact),
        -(-2 * f // 3),
    }
    CHECK.equal(got, up, "two_thirds", what, {"multiple": got if got in near else None})


def _silu(z: Tensor) -> Tensor:
    return z * torch.sigmoid(z)


SLIPS = {
    "gate": lambda gate, up: gate * _silu(up),
    "silu": lambda gate, up: torch.sigmoid(gate) * up,
    "after": lambda gate, up: _silu(gate * up),
    "product": lambda gate, up: _silu(gate) + up,
}
