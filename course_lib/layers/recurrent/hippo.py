"""HiPPO: a linear system whose state holds the whole past of a signal, as the
coefficients of polynomials.

Symbols: n coefficients (N in the paper), f the signal, A [n n], B [n], state x [n].

    x' = (A x + B f) / t    LegS: the past from 0 to t, all of it equally
    x' =  A x + B f         what S4 runs: the past, exponentially warped

A is not normal, so its eigenvectors are useless numerically. A plus a matrix of rank
one is normal, and this is what S4 computes with (`legs_low_rank`).

Terms:
    HiPPO, HiPPO-LegS matrix, online function approximation: a system whose state is the
        best polynomial fit to all of its input so far -> hippo_legs, legs_memory
    reconstruction from the state: the past of a signal, read off n coefficients ->
        legs_reconstruct
    diagonal plus low rank, DPLR, NPLR: the HiPPO matrix as a diagonal one minus one of
        rank one, in another basis -> legs_low_rank
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from course_lib.layers.caches.contract import check_sizes

Matrix = Float[Tensor, "n n"]
Vector = Float[Tensor, " n"]
Spectrum = Complex[Tensor, " n"]


def hippo_legs(n: int) -> tuple[Matrix, Vector]:
    """The matrices A and B of HiPPO-LegS, in float64.

    *Equation*: A_ij = -sqrt((2i + 1)(2j + 1)) for i > j, -(i + 1) for i = j, 0 for
        i < j; B_i = sqrt(2i + 1). Its eigenvalues are -1, -2, ..., -n.

    Raises:
        ValueError: `n` is below 1.

    *Source*: Gu et al. 2020, eq. 3 and theorem 2, arXiv:2008.07669; the sign as in Gu
        et al. 2021 (S4), eq. 2, arXiv:2111.00396.

    >>> hippo_legs(2)[0].round(decimals=3).tolist()
    [[-1.0, -0.0], [-1.732, -2.0]]
    """
    check_sizes({"n": n})
    orders = torch.arange(n, dtype=torch.float64)
    root = torch.sqrt(2 * orders + 1)
    a = -(root[:, None] * root).tril(-1) - torch.diag(orders + 1)
    return a, root


def legs_memory(signal: Float[Tensor, " t"], n: int) -> Float[Tensor, "t n"]:
    """The coefficients after each sample of a signal: n numbers for all of its past.

    *Equation*: (I - A / 2k) x_k = (I + A / 2k) x_{k-1} + B f_k / k, the bilinear rule
        at time k = 1, 2, ...

    *Cost*: one solve of n^3 a sample, as it stands here; 2 n^2 with a recurrence on the
        triangle.
    *Source*: Gu et al. 2020, section 2.3 and appendix B, arXiv:2008.07669.
    *Differs from source*: the paper's experiments run this rule, its eq. 4 is Euler's.
    """
    a, b = hippo_legs(n)
    one, x, found = torch.eye(n, dtype=a.dtype), torch.zeros(n, dtype=a.dtype), []
    for k, sample in enumerate(signal.to(a.dtype), start=1):
        moved = (one + a / (2 * k)) @ x + b * sample / k
        x = torch.linalg.solve(one - a / (2 * k), moved)
        found.append(x)
    return torch.stack(found)


def legs_reconstruct(
    coefficients: Float[Tensor, " n"], points: Float[Tensor, " t"]
) -> Float[Tensor, " t"]:
    """The past that coefficients stand for.

    *Equation*: f(s) = sum over i of x_i sqrt(2i + 1) P_i(2s - 1), P_i Legendre's
        polynomials.

    Args:
        coefficients: x of `legs_memory`.
        points: s from 0, the first sample, to 1, the last.

    >>> legs_reconstruct(torch.tensor([2.0, 0.0]), torch.tensor([0.1, 0.9])).tolist()
    [2.0, 2.0]
    """
    at = 2 * points - 1
    before, now, found = torch.zeros_like(at), torch.ones_like(at), torch.zeros_like(at)
    for i, x in enumerate(coefficients):
        found = found + x * (2 * i + 1) ** 0.5 * now
        before, now = now, ((2 * i + 1) * at * now - i * before) / (i + 1)
    return found


def legs_low_rank(
    n: int,
) -> tuple[Spectrum, Spectrum, Spectrum, Complex[Tensor, "n n"]]:
    """HiPPO-LegS as a diagonal matrix minus one of rank one.

    *Equation*: A = V (diag(lambda) - p p*) V*, B = V b, with V unitary and * the
        conjugate transpose. For P_i = sqrt(i + 1/2), A + P P^T is -I/2 plus an
        antisymmetric matrix: normal, so that V is unitary and every lambda has the real
        part -1/2.

    Returns:
        lambda, p, b [n] and V [n n], complex128; sorted by the imaginary part.

    *Source*: Gu et al. 2021, theorem 1 and appendix C.1, arXiv:2111.00396.
    """
    a, b = hippo_legs(n)
    low_rank = torch.sqrt(torch.arange(n, dtype=a.dtype) + 0.5)
    normal = a + low_rank[:, None] * low_rank
    turning = normal + 0.5 * torch.eye(n, dtype=a.dtype)  # antisymmetric
    speeds, v = torch.linalg.eigh(-1j * turning)
    back = v.conj().T
    return -0.5 + 1j * speeds, back @ low_rank.to(v), back @ b.to(v), v
