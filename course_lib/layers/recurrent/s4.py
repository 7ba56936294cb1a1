"""Structured state spaces, S4 and S4D: one linear recurrence, run as a recurrence or as
a long convolution.

Symbols: b batch, t tokens, i channels, n state of a channel; x_t = A_bar x_{t-1} +
B_bar u_t, y_t = C x_t (discrete, see `discretise`). Nothing in it depends on the
token: such a model cannot choose what to keep, which is what Mamba adds.

    K_l = C A_bar^l B_bar               kernel: what a token gives to the l-th after it
    y_t = sum over s <= t of K_{t-s} u_s

    ssm_recurrent    a full matrix A, a step a token: the reference
    ssm_kernel       its kernel, by powers of A
    s4_kernel        the same for diagonal plus low rank, without any power (S4)
    s4d_recurrent    a diagonal A, a step a token
    s4d_convolution  the same as a convolution (S4D)

Terms:
    S4, structured state space: a linear recurrence with fixed, structured matrices,
        which can be run as a long convolution -> s4_kernel
    diagonal state space: the same with a diagonal matrix -> s4d_convolution
    linear time-invariant system, LTI: the same matrices for every token ->
        ssm_recurrent
    long convolution, FFT convolution: a kernel as long as the text, in t log t ->
        long_convolution
    convolution kernel of a state space, impulse response: C A^l B for each lag l ->
        ssm_kernel, s4d_kernel
"""

import math

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

Signal = Float[Tensor, "b t i"]
Kernel = Float[Tensor, "i t"]
Modes = Complex[Tensor, "i n"]
States = Complex[Tensor, "b i n"]
Spectrum = Complex[Tensor, " n"]


def ssm_recurrent(
    a: Float[Tensor, "n n"],
    b: Float[Tensor, " n"],
    c: Float[Tensor, " n"],
    u: Float[Tensor, "b t"],
    state: Float[Tensor, "b n"] | None = None,
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b n"]]:
    """A discrete system as its equation reads, for one channel: the reference.

    The output is read *after* the update. `scipy.signal.dlsim` reads before it, so that
    its output at t + 1 is this one's at t.

    Args:
        a, b, c: A_bar, B_bar and C. u: the input. state: before the first token; zeros
            when left out.

    Returns:
        y [b t] and the state after the last token.
    """
    x = u.new_zeros(len(u), len(b)) if state is None else state
    outputs = []
    for u_t in u.unbind(1):
        x = x @ a.T + u_t[:, None] * b
        outputs.append(x @ c)
    return torch.stack(outputs, 1) if outputs else u, x


def ssm_kernel(
    a: Float[Tensor, "n n"],
    b: Float[Tensor, " n"],
    c: Float[Tensor, " n"],
    length: int,
) -> Float[Tensor, " t"]:
    """C A_bar^l B_bar for l = 0 to length - 1, one product a step."""
    found, moved = [], b
    for _ in range(length):
        found.append(c @ moved)
        moved = a @ moved
    return torch.stack(found)


def long_convolution(u: Signal, kernel: Kernel) -> Signal:
    """The causal convolution of each channel with a kernel as long as the text.

    *Equation*: y_t = sum over s <= t of K_{t-s} u_s, by the FFT of both, padded to 2 t
        so that the end does not wrap round to the start.

    *Cost*: in t log t a channel, where the sum as it stands takes t^2.
    """
    length = u.shape[1]
    spectrum = torch.fft.rfft(kernel, n=2 * length)
    moved = torch.fft.rfft(u.transpose(1, 2), n=2 * length) * spectrum
    return torch.fft.irfft(moved, n=2 * length)[..., :length].transpose(1, 2)


def s4_kernel(
    diagonal: Spectrum,
    p: Spectrum,
    b: Spectrum,
    c: Spectrum,
    dt: float,
    length: int,
) -> Float[Tensor, " t"]:
    """The kernel of S4 under the bilinear rule, for A = diag(lambda) - p p*: no power
    of A is taken, the kernel's spectrum is written down.

    *Equation*: at each root of unity z, K^(z) = S_cb - h S_cp S_pb / (1 + h S_pp), with
        h = (1 + z) / 2, S_xy = sum over n of x_n y_n r_n and r_n = 2 / (2 (1 - z) / dt
        - lambda_n (1 + z)); C is replaced by C (I - A_bar^t), which cuts the endless
        kernel off after t.

    Args:
        diagonal, p, b, c: of one channel, in the basis of `legs_low_rank`; c is C V.
        dt: step size. length: t.

    *Cost*: n t for the spectrum and t log t for the FFT, beside one power of A_bar,
        which a trained S4 avoids by learning C (I - A_bar^t) itself.
    *Source*: Gu et al. 2021, theorem 3 and appendix C.3, arXiv:2111.00396.
    """
    one = torch.eye(len(b), dtype=b.dtype)
    a = torch.diag(diagonal) - p[:, None] * p.conj()
    step = torch.linalg.solve(one - dt / 2 * a, one + dt / 2 * a)
    cut = c - c @ torch.linalg.matrix_power(step, length)
    z = torch.exp(-2j * math.pi * torch.arange(length, dtype=torch.float64) / length)
    r = 2 / (2 * (1 - z[:, None]) / dt - diagonal * (1 + z[:, None]))  # [t n]
    cb, cp = r @ (cut * b), r @ (cut * p)
    pb, pp = r @ (p.conj() * b), r @ (p.conj() * p)
    half = (1 + z) / 2
    return torch.fft.ifft(cb - half * cp * pb / (1 + half * pp)).real


def s4d_recurrent(
    u: Signal,
    a: Modes,
    b: Modes,
    c: Modes,
    state: States | None = None,
    *,
    real: Bool[Tensor, "b t"] | None = None,
) -> tuple[Signal, States]:
    """A diagonal system, a step a token: the reference for `s4d_convolution`.

    *Equation*: x_t = a x_{t-1} + b u_t, number by number; y_t = 2 Re(c . x_t), where n
        modes stand for themselves and their conjugates.

    Args:
        u: the input. a, b, c: A_bar, B_bar and C, diagonal, for each channel.
        state: before the first token; zeros when left out.
        real: which tokens are no padding, which leaves the state as it is; all when
            left out.

    Returns:
        y [b t i] and the state after the last token [b i n].

    *Cost*: 8 i n real multiply-adds a token; the state has i n complex numbers.
    """
    x = torch.zeros(len(u), *a.shape, dtype=a.dtype) if state is None else state
    outputs = []
    for t, u_t in enumerate(u.unbind(1)):
        moved = a * x + b * u_t[..., None]
        x = moved if real is None else torch.where(real[:, t, None, None], moved, x)
        outputs.append(2 * (c * x).sum(-1).real)
    return torch.stack(outputs, 1) if outputs else u, x


def s4d_kernel(a: Modes, b: Modes, c: Modes, length: int) -> Kernel:
    """2 Re sum over n of c b a^l for l = 0 to length - 1: a Vandermonde product."""
    return 2 * torch.einsum("in,int->it", c * b, _powers(a, length)).real


def s4d_convolution(
    u: Signal, a: Modes, b: Modes, c: Modes, state: States | None = None
) -> tuple[Signal, States]:
    """A diagonal system as a long convolution; what an earlier state adds comes on top.

    Args and Returns: as in `s4d_recurrent`.

    *Cost*: i n t for the kernel, i t log t for the convolution, all tokens at once; i n
        t complex numbers in memory.
    *Source*: Gu et al. 2022, section 3, arXiv:2206.11893 (S4D).
    """
    length = u.shape[1]
    if not length:
        return s4d_recurrent(u, a, b, c, state)
    powers = _powers(a, length)  # a^0 to a^(t-1), [i n t]
    kernel = 2 * torch.einsum("in,int->it", c * b, powers).real
    y = long_convolution(u, kernel)
    last = torch.einsum("bti,int->bin", u.to(a.dtype).flip(1), powers) * b
    if state is None:
        return y, last
    y = y + 2 * torch.einsum("in,int,bin->bti", c * a, powers, state).real
    return y, last + a * powers[..., -1] * state


def _powers(a: Tensor, length: int) -> Tensor:
    """a^0 to a^(length - 1), [i n t]."""
    return a[..., None] ** torch.arange(length, device=a.device)
