"""Discretisation: from a system in continuous time to one that takes a step a token.

Symbols: n state; A [n n] and B [n] of x' = A x + B u; step size dt (Delta in the
papers); A_bar and B_bar of x_t = A_bar x_{t-1} + B_bar u_t.

    zoh       the input is constant during a step: exact         S4D, Mamba's A
    bilinear  the trapezoid rule (Tustin): stays stable          S4
    euler     one tangent: unstable where |1 + dt A| > 1         Mamba's B (dt B)

Terms:
    discretisation, zero-order hold, ZOH, bilinear transform, Tustin: a continuous
        system as a recurrence over steps of size dt -> discretise, discretise_diagonal
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Matrix = Float[Tensor, "n n"]
Vector = Float[Tensor, " n"]
Numbers = Float[Tensor, "..."] | Complex[Tensor, "..."]

RULES = ("zoh", "bilinear", "euler")


def discretise(
    a: Matrix, b: Vector, dt: float, rule: str = "zoh"
) -> tuple[Matrix, Vector]:
    """One step of x' = A x + B u.

    *Equation*: zoh, A_bar = exp(dt A), B_bar = A^-1 (exp(dt A) - I) B; bilinear, A_bar
        = (I - dt A / 2)^-1 (I + dt A / 2), B_bar = (I - dt A / 2)^-1 dt B; euler, A_bar
        = I + dt A, B_bar = dt B.

    Raises:
        ValueError: `rule` is another word.

    *Source*: Gu et al. 2021, eq. 3, arXiv:2111.00396; as `scipy.signal.cont2discrete`.
    *Differs from source*: zoh by the exponential of one larger matrix, which needs no
        inverse of A.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> a, b = discretise(-one[:, None], one, dt=1.0)
    >>> round(a.item(), 4), round(b.item(), 4)  # 1/e, 1 - 1/e
    (0.3679, 0.6321)
    """
    check_rule(rule)
    n = len(b)
    one = torch.eye(n, dtype=a.dtype)
    if rule == "euler":
        return one + dt * a, dt * b
    if rule == "bilinear":
        half = one - dt / 2 * a
        return (
            torch.linalg.solve(half, one + dt / 2 * a),
            torch.linalg.solve(half, dt * b),
        )
    both = torch.zeros(n + 1, n + 1, dtype=a.dtype)
    both[:n, :n], both[:n, n] = a, b
    step = torch.linalg.matrix_exp(dt * both)
    return step[:n, :n], step[:n, n]


def discretise_diagonal(
    a: Numbers, b: Numbers, dt: Numbers, rule: str = "zoh"
) -> tuple[Numbers, Numbers]:
    """The same where A is diagonal: number by number. `a`, `b` and `dt` are broadcast;
    for zoh no `a` is zero.

    Raises:
        ValueError: `rule` is another word.
    """
    check_rule(rule)
    if rule == "euler":
        return 1 + dt * a, dt * b
    if rule == "bilinear":
        half = 1 - dt * a / 2
        return (1 + dt * a / 2) / half, dt * b / half
    return torch.exp(dt * a), torch.expm1(dt * a) / a * b


def check_rule(rule: str) -> None:
    """Refuse another word than those in `RULES`."""
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}: allowed are {', '.join(RULES)}")
