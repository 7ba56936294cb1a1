"""Mamba's mixer (S6): project, convolve, scan with a decay that each token chooses,
gate, project back.

Symbols: b batch, t tokens, d model width, i inner channels (E D in the paper), n state
a channel (N), r rank of the step size, w tokens under the convolution; step size dt
(Delta), input B, output C, decay rates A, skip D.

Terms:
    Mamba block, Mamba mixer, S6 layer: projection, causal convolution, selective scan
        and gate in one layer -> Mamba
    selection mechanism, input-dependent step size: a token decides by its step size how
        much of the past is kept and how much of itself is written -> Mamba.select
    norms on step size, B and C: what keeps large Mamba stacks stable, with gains
        (Jamba) or without (Falcon Mamba) -> Mamba.select
    start of the step size: steps before training, spread from 0.001 to 0.1 ->
        start_of_step
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import check_sizes
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.masks import CAUSAL, MaskMod
from course_lib.layers.norms import RMSNorm
from course_lib.layers.per_forward import PerForward
from course_lib.layers.recurrent.causal_conv import CausalConv, real_tokens
from course_lib.layers.recurrent.scan import (
    selective_scan_chunked,
    selective_scan_recurrent,
)

INNER_NORMS = ("none", "gain", "plain")
STEPS = 1e-3, 1e-1  # the least and the largest step size at the start


def start_of_step(count: int) -> Float[Tensor, " count"]:
    """Offsets whose softplus is spread evenly, on a log scale, from 0.001 to 0.1.

    A step of dt keeps exp(dt A) of the state: with A = -1 the memory at the start
    reaches from 10 to 1,000 tokens back.

    *Source*: Gu and Dao 2023, section 3.6, arXiv:2312.00752.

    >>> steps = F.softplus(start_of_step(9))
    >>> bool((steps > 0.0009).all() and (steps < 0.101).all())
    True
    """
    low, high = (math.log(step) for step in STEPS)
    dt = torch.exp(low + (high - low) * torch.rand(count))
    return dt + torch.log(-torch.expm1(-dt))  # the inverse of softplus


def check_mask(mask_mod: MaskMod | None) -> None:
    """Refuse a mask: a recurrence runs over all tokens of a row in their order."""
    if mask_mod is not None and mask_mod is not CAUSAL:
        raise ValueError(
            f"mask_mod={mask_mod}: a recurrent layer has no scores to mask; allowed is "
            "None"
        )


class Mamba(nn.Module):
    """A Mamba mixer.

    *Equation*: (u, z) = W_in x; u = silu(conv(u)); (s, B, C) = W_select u; dt =
        softplus(W_step s + offset); h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t with A =
        -exp(a_log); y_t = C_t . h_t + D u_t; out = W_o (y silu(z)).

    Args:
        d: model width.
        inner: i, as a rule 2 d.
        state: n.
        conv: w.
        dt_rank: r, as a rule d / 16.
        bias: of the projections in and out.
        conv_bias: of the convolution.
        inner_norm: RMSNorm on s, B and C: "none", "gain" (Jamba), or "plain", without
            gains (Falcon Mamba).
        norm_eps: of these norms.

    Raises:
        ValueError: a size is below 1, or `inner_norm` is another word.

    *Cost*: 3 d i + i (w + 2 r + 3 n + 3) parameters without biases of projections;
        state i n + i w numbers, however long the text.
    *Source*: Gu and Dao 2023, section 3.4, arXiv:2312.00752; Zuo et al. 2024,
        arXiv:2410.05355 (Falcon Mamba).
    *Differs from source*: in half precision the scan runs in float32.

    >>> layer = Mamba(8, inner=16, state=4, conv=4, dt_rank=1)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d: int,
        *,
        inner: int,
        state: int,
        conv: int,
        dt_rank: int,
        bias: bool = False,
        conv_bias: bool = True,
        inner_norm: str = "none",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        check_sizes({"d": d, "inner": inner, "state": state, "dt_rank": dt_rank})
        if inner_norm not in INNER_NORMS:
            raise ValueError(
                f"inner_norm={inner_norm!r}: allowed are {', '.join(INNER_NORMS)}"
            )
        self.state, self.dt_rank, self.inner_norm = state, dt_rank, inner_norm
        self.norm_eps = norm_eps
        self.w_in = nn.Linear(d, 2 * inner, bias=bias)
        self.conv = CausalConv(inner, conv, bias=conv_bias)
        self.w_select = nn.Linear(inner, dt_rank + 2 * state, bias=False)
        self.w_step = nn.Linear(dt_rank, inner, bias=False)
        self.dt_offset = nn.Parameter(start_of_step(inner))
        self.a_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.w_out = nn.Linear(inner, d, bias=bias)
        if inner_norm == "gain":
            self.dt_norm = RMSNorm(dt_rank, norm_eps)
            self.b_norm, self.c_norm = (
                RMSNorm(state, norm_eps),
                RMSNorm(state, norm_eps),
            )

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """What a `RecurrentState` of this layer keeps."""
        inner, width = len(self.skip), self.conv.weight.shape[-1]
        return {"state": (inner, self.state), "inputs": (inner, width)}

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: RecurrentState | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row, those at position -1 left out.

        Args:
            x, positions, cache: as in `Attention.forward`; the cache is a state of the
                shapes in `state_shapes`.
            per_forward: not needed.
            mask_mod: none but the causal one.
        """
        check_mask(mask_mod)
        real = real_tokens(positions)
        u, gate = self.w_in(x).chunk(2, dim=-1)
        u, inputs = self.conv(u, None if cache is None else cache["inputs"], real)
        u = F.silu(u)
        dt, b, c = self.select(u)
        if real is not None:
            dt = dt.masked_fill(~real[..., None], 0.0)  # then the state stays as it is
        wide = torch.promote_types(x.dtype, torch.float32)
        scan = selective_scan_recurrent if x.shape[1] == 1 else selective_scan_chunked
        y, state = scan(
            *(u.to(wide), dt.to(wide), -self.a_log.to(wide).exp()),
            *(b.to(wide), c.to(wide)),
            None if cache is None else cache["state"].to(wide),
        )
        if cache is not None:
            state = state.to(cache["state"].dtype)
            cache.update(x.shape[1], state=state, inputs=inputs)
        return self.w_out((y.to(x.dtype) + self.skip * u) * F.silu(gate))

    def select(
        self, u: Float[Tensor, "b t i"]
    ) -> tuple[Float[Tensor, "b t i"], Float[Tensor, "b t n"], Float[Tensor, "b t n"]]:
        """Step size, input and output of each token: what makes the recurrence depend
        on the text.
        """
        step, b, c = self.w_select(u).split(
            (self.dt_rank, self.state, self.state), dim=-1
        )
        if self.inner_norm == "gain":
            step, b, c = self.dt_norm(step), self.b_norm(b), self.c_norm(c)
        elif self.inner_norm == "plain":
            step, b, c = (
                F.rms_norm(one, one.shape[-1:], eps=self.norm_eps)
                for one in (step, b, c)
            )
        return F.softplus(self.w_step(step) + self.dt_offset), b, c
