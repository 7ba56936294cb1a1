"""When two values are the same for a check, and how a difference is told.

Tensors agree to nine digits; whole numbers are ints; and a difference is shown with as
many digits as it takes to see it.
"""

import math
from typing import Any

import torch
from torch import Tensor


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree in shape, dtype and, to 1e-9, in value."""
    return (
        isinstance(a, Tensor)
        and a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a, b, rtol=1e-9, atol=1e-9)
    )


def alike(a: Any, b: Any) -> bool:
    """Whether `a` has the value of `b` and a type that promises the same.

    An int is an int, neither a bool nor a float nor an object that claims to be equal
    to everything; a float may be an int.

    >>> alike(2, 2), alike(2.0, 2), alike(True, 1), alike(2, 2.0), alike([1], [1])
    (True, False, False, True, True)
    """
    if isinstance(b, bool | int | str) or b is None:
        return type(a) is type(b) and a == b
    if isinstance(b, float):
        return type(a) in (int, float) and a == b
    if isinstance(b, list | tuple):
        pairs = zip(a, b, strict=True) if type(a) is type(b) else ()
        return type(a) is type(b) and len(a) == len(b) and all(alike(*p) for p in pairs)
    return type(a) is type(b) and bool(a == b)


def told(expected: float, got: float) -> tuple[str, str]:
    """Write two numbers with six digits, or with as many as tell them apart.

    >>> told(-20.8311120, -20.8311129)
    ('-20.831112', '-20.831113')
    """
    for digits in range(6, 18):
        texts = f"{expected:.{digits}g}", f"{got:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return texts


def right_digits(got: Tensor | float, expected: Tensor | float) -> int:
    """How many digits of the largest numbers agree; 0 where something is not finite.

    >>> right_digits(1.0 + 3e-8, 1.0)
    7
    """
    got, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (got, expected))
    if not (expected.numel() and got.isfinite().all() and expected.isfinite().all()):
        return 0
    size = float(expected.abs().max())
    gap = float((got - expected).abs().max())
    return math.floor(-math.log10(gap / size)) if 0 < gap < size else 0


def index_of_largest(got: Tensor, expected: Tensor) -> tuple[int, ...]:
    """Where two tensors of one shape differ most."""
    gaps = (got.double() - expected.double()).abs().nan_to_num(torch.inf)
    where = torch.unravel_index(gaps.argmax(), expected.shape)
    return tuple(int(i) for i in where)


def described(x: Tensor) -> str:
    """Shape and dtype in words."""
    return f"shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"
