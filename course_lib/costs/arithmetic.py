"""Symbolic or numeric arithmetic: cost formulas that run on numbers and on SymPy
symbols alike, and the checks of the numbers.

Every core formula of this package is plain arithmetic. Called with numbers it gives a
number; called with SymPy symbols it gives the expression, which a page prints as LaTeX
and runs as JavaScript. Sums and products work on both by themselves. Minimum and
maximum do not, so they live here. SymPy is imported only once a symbol is seen: the
package needs none of it.

Terms:
    symbolic cost, traced formula: a cost function called with symbols returns its
        formula -> Number, smaller, larger, round_up
"""

import math
from numbers import Integral, Real
from typing import Any

Number = int | float | Any
"""A number, or a SymPy expression that stands for one."""


def is_symbol(value: Any) -> bool:
    """Whether `value` is a SymPy expression with something left to fill in.

    >>> is_symbol(3)
    False
    """
    return bool(getattr(value, "free_symbols", ()))


def smaller(a: Number, b: Number) -> Number:
    """The smaller of two, `Min(a, b)` where either is a symbol.

    >>> smaller(4096, 32768)
    4096
    """
    if is_symbol(a) or is_symbol(b):
        from sympy import Min

        return Min(a, b)
    return min(a, b)


def larger(a: Number, b: Number) -> Number:
    """The larger of two, `Max(a, b)` where either is a symbol.

    >>> larger(0.5, 0.25)
    0.5
    """
    if is_symbol(a) or is_symbol(b):
        from sympy import Max

        return Max(a, b)
    return max(a, b)


def round_up(a: Number) -> Number:
    """The least whole number that is not below a, `ceiling(a)` where it is a symbol.
    What lies within a part in 1e11 of a whole number is taken for it: 1.1 times 50 is
    55, though the product of the two floats is a little more.

    >>> math.ceil(1.1 * 50), round_up(1.1 * 50), round_up(55.01)
    (56, 55, 56)
    """
    if is_symbol(a):
        from sympy import ceiling

        return ceiling(a)
    near = round(a)
    return near if abs(a - near) <= 1e-11 * max(1, abs(a)) else math.ceil(a)


def logarithm(a: Number) -> Number:
    """The natural logarithm, `log(a)` where it is a symbol.

    >>> logarithm(1)
    0.0
    """
    if is_symbol(a):
        from sympy import log

        return log(a)
    return math.log(a)


def square_root(a: Number) -> Number:
    """The square root, `sqrt(a)` where it is a symbol.

    >>> square_root(9)
    3.0
    """
    if is_symbol(a):
        from sympy import sqrt

        return sqrt(a)
    return math.sqrt(a)


def check_at_most(limit_name: str, limit: Number, **named: Number) -> None:
    """Refuse anything above a limit (where either side is a symbol, it passes).

    Raises:
        ValueError: naming the first argument above `limit`, and what sets the limit.

    >>> check_at_most("experts", 8, top_k=9)
    Traceback (most recent call last):
    ...
    ValueError: top_k=9: at most experts=8 is allowed
    """
    for name, value in named.items():
        if not is_symbol(value) and not is_symbol(limit) and value > limit:
            raise ValueError(
                f"{name}={value!r}: at most {limit_name}={limit!r} is allowed"
            )


def check_count(least: int = 1, **named: Number) -> None:
    """Refuse anything but a whole number of at least `least` (a symbol passes).

    Raises:
        ValueError: naming the first argument that is a bool, is no whole number, or is
        below `least`.

    >>> check_count(batch=1.5)
    Traceback (most recent call last):
    ...
    ValueError: batch=1.5: a whole number of at least 1 is allowed
    """
    for name, value in named.items():
        whole = (
            isinstance(value, Integral)
            and not isinstance(value, bool)
            and value >= least
        )
        if not (whole or is_symbol(value)):
            raise ValueError(
                f"{name}={value!r}: a whole number of at least {least} is allowed"
            )


def check_positive(**named: Number) -> None:
    """Refuse anything but a finite number above zero (a symbol passes).

    Raises:
        ValueError: naming the first argument that is a bool, is no real number, is not
        finite, or is not above zero.

    >>> check_positive(bytes_per_element=0)
    Traceback (most recent call last):
    ...
    ValueError: bytes_per_element=0: a finite number above 0 is allowed
    """
    for name, value in named.items():
        real = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_symbol(value) or (real and math.isfinite(value) and value > 0)):
            raise ValueError(f"{name}={value!r}: a finite number above 0 is allowed")


def check_not_negative(**named: Number) -> None:
    """Refuse anything but a finite number of at least zero (a symbol passes).

    Raises:
        ValueError: naming the first argument that is a bool, is no real number, is not
        finite, or is below zero.
    """
    for name, value in named.items():
        real = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_symbol(value) or (real and math.isfinite(value) and value >= 0)):
            raise ValueError(
                f"{name}={value!r}: a finite number of at least 0 is allowed"
            )


def check_share(**named: Number) -> None:
    """Refuse anything but a share of a whole, 0 <= share < 1 (a symbol passes).

    Raises:
        ValueError: naming the first argument that is a bool, is no real number, or is
        outside [0, 1).
    """
    for name, value in named.items():
        real = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_symbol(value) or (real and 0 <= value < 1)):
            raise ValueError(
                f"{name}={value!r}: a number from 0 up to, but "
                "not including, 1 is allowed"
            )
