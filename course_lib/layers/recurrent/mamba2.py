"""Mamba-2's mixer: one projection to gate, input, B, C and step size, a convolution,
SSD, a gated norm, a projection back.

Symbols: b batch, t tokens, d model width, h heads, v numbers a head (P in the paper), g
groups of B and C, n state (N), w tokens under the convolution; gate z.

Terms:
    Mamba-2 block, Mamba-2 mixer: one projection to gate, input, B, C and step size;
        convolution, SSD, gated norm -> Mamba2
    gated RMSNorm: RMSNorm of y silu(z), group by group -> GatedRMSNorm
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import check_sizes
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import PerForward
from course_lib.layers.recurrent.causal_conv import CausalConv, real_tokens
from course_lib.layers.recurrent.mamba import check_mask, start_of_step
from course_lib.layers.recurrent.ssd import ssd_chunked, ssd_recurrent


class GatedRMSNorm(nn.Module):
    """RMSNorm of a gated vector, each group of its numbers by itself.

    *Equation*: y = u / sqrt(mean of u^2 in its group + eps) * gamma, u = x silu(z).

    Args:
        width: numbers of the vector.
        groups: into which it is cut; a divisor of `width`.
        eps: added to the mean square.

    Raises:
        ValueError: `groups` does not divide `width`.

    *Source*: Dao and Gu 2024, section 7.1, arXiv:2405.21060.
    """

    def __init__(self, width: int, groups: int = 1, eps: float = 1e-5) -> None:
        super().__init__()
        check_sizes({"width": width, "groups": groups})
        if width % groups:
            raise ValueError(f"groups={groups}: allowed are divisors of {width}")
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(
        self, x: Float[Tensor, "*axes d"], gate: Float[Tensor, "*axes d"]
    ) -> Float[Tensor, "*axes d"]:
        wide = torch.promote_types(x.dtype, torch.float32)
        gated = x.to(wide) * F.silu(gate.to(wide))
        by_group = gated.unflatten(-1, (self.groups, -1))
        normed = F.rms_norm(by_group, by_group.shape[-1:], eps=self.eps).flatten(-2)
        return (normed * self.weight.to(wide)).to(x.dtype)


class Mamba2(nn.Module):
    """A Mamba-2 mixer.

    *Equation*: (z, u, dt) = W_in x; (x', B, C) = silu(conv(u)); dt = softplus(dt +
        offset); y = SSD(x', dt, -exp(a_log), B, C) + D x'; out = W_o norm(y silu(z)).

    Args:
        d: model width.
        heads, head_dim: h and v; the inner width is h v.
        groups: g, a divisor of h.
        state: n. conv: w, tokens under the convolution.
        bias: of the projections in and out. conv_bias: of the convolution.
        out_norm: the norm before the way out; without it y silu(z) stands there.
        norm_eps: of that norm. least_step: dt is at least that (Zamba2).

    Raises:
        ValueError: a size is below 1, or `groups` does not divide `heads`.

    *Cost*: d (3 h v + 2 g n + h) + (w + 1) (h v + 2 g n) + 3 h + h v parameters; state
        h v n + w (h v + 2 g n) numbers.
    *Source*: Dao and Gu 2024, section 7, arXiv:2405.21060.
    *Differs from source*: as `Mamba` does.

    >>> layer = Mamba2(8, heads=4, head_dim=4, groups=2, state=3, conv=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d: int,
        *,
        heads: int,
        head_dim: int,
        groups: int,
        state: int,
        conv: int,
        bias: bool = False,
        conv_bias: bool = True,
        out_norm: bool = True,
        norm_eps: float = 1e-5,
        least_step: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes({"heads": heads, "head_dim": head_dim, "groups": groups})
        if heads % groups:
            raise ValueError(f"groups={groups}: allowed are divisors of heads={heads}")
        self.head_dim, self.groups, self.state = head_dim, groups, state
        self.least_step = least_step
        inner = heads * head_dim
        channels = inner + 2 * groups * state
        self.w_in = nn.Linear(d, inner + channels + heads, bias=bias)
        self.conv = CausalConv(channels, conv, bias=conv_bias)
        self.dt_offset = nn.Parameter(start_of_step(heads))
        self.a_log = nn.Parameter(torch.arange(1.0, heads + 1).log())
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = GatedRMSNorm(inner, groups, norm_eps) if out_norm else None
        self.w_out = nn.Linear(inner, d, bias=bias)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """What a `RecurrentState` of this layer keeps."""
        channels, _, width = self.conv.weight.shape
        heads = len(self.skip)
        return {
            "state": (heads, self.head_dim, self.state),
            "inputs": (channels, width),
        }

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: RecurrentState | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row, those at position -1 left out; as
        `Mamba.forward`.
        """
        check_mask(mask_mod)
        real = real_tokens(positions)
        heads, shared = len(self.skip), self.groups * self.state
        inner = heads * self.head_dim
        gate, u, dt = self.w_in(x).split((inner, inner + 2 * shared, heads), dim=-1)
        u, inputs = self.conv(u, None if cache is None else cache["inputs"], real)
        values, b, c = F.silu(u).split((inner, shared, shared), dim=-1)
        dt = F.softplus(dt + self.dt_offset).clamp(min=self.least_step)
        if real is not None:
            dt = dt.masked_fill(~real[..., None], 0.0)  # then the state stays as it is
        wide = torch.promote_types(x.dtype, torch.float32)
        values = values.to(wide).unflatten(-1, (heads, -1))
        b, c = (one.to(wide).unflatten(-1, (self.groups, -1)) for one in (b, c))
        ssd = ssd_recurrent if x.shape[1] == 1 else ssd_chunked
        y, state = ssd(
            *(values, dt.to(wide), -self.a_log.to(wide).exp(), b, c),
            None if cache is None else cache["state"].to(wide),
        )
        if cache is not None:
            state = state.to(cache["state"].dtype)
            cache.update(x.shape[1], state=state, inputs=inputs)
        y = (y + self.skip[:, None] * values).flatten(2).to(x.dtype)
        return self.w_out(y * F.silu(gate) if self.norm is None else self.norm(y, gate))
