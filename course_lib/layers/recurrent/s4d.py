"""The S4D layer: a diagonal state space for each channel, then a mix of the channels.

Symbols: b batch, t tokens, d channels, n modes a channel (half of the state, the other
half being their conjugates); decays and speeds A = -exp(a_log) + i a_speed, step sizes
dt, output C, skip D.

Terms:
    S4D, S4D layer, S4D-Lin, diagonal initialisation: decay -1/2 and speeds pi m for
        mode m at the start -> S4D
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import check_sizes
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import PerForward
from course_lib.layers.recurrent.causal_conv import real_tokens
from course_lib.layers.recurrent.discretise import check_rule, discretise_diagonal
from course_lib.layers.recurrent.mamba import check_mask
from course_lib.layers.recurrent.s4 import s4d_convolution, s4d_recurrent


class S4D(nn.Module):
    """A time-invariant mixer: each channel has its own diagonal state space.

    *Equation*: y = GELU(S4D(x) + D x), out = W_o y; each mode decays and turns by
        exp(dt A) from token to token.

    Args:
        d: channels.
        state: n, modes a channel.
        rule: of the discretisation, "zoh" or "bilinear"; "euler" may grow without end.

    Raises:
        ValueError: a size is below 1, or `rule` is another word.

    *Cost*: d (4 n + 2) + d^2 parameters; state 2 d n numbers, however long the text.
    *Source*: Gu et al. 2022, section 4 and eq. 9 (S4D-Lin), arXiv:2206.11893.
    *Differs from source*: B is one for all modes, since C alone decides; a plain linear
        layer mixes the channels, in place of a gated one.

    >>> layer = S4D(6, state=4)
    >>> layer(torch.zeros(1, 3, 6), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 6])
    """

    def __init__(self, d: int, *, state: int, rule: str = "zoh") -> None:
        super().__init__()
        check_sizes({"d": d, "state": state})
        check_rule(rule)
        self.rule = rule
        low, high = math.log(1e-3), math.log(1e-1)
        self.dt_log = nn.Parameter(low + (high - low) * torch.rand(d))
        self.a_log = nn.Parameter(torch.full((d, state), math.log(0.5)))
        self.a_speed = nn.Parameter(math.pi * torch.arange(state).float().repeat(d, 1))
        self.c = nn.Parameter(torch.randn(d, state, 2) * 0.5**0.5)
        self.skip = nn.Parameter(torch.ones(d))
        self.w_out = nn.Linear(d, d, bias=False)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """What a `RecurrentState` of this layer keeps: real and imaginary parts."""
        return {"state": (*self.a_log.shape, 2)}

    def discrete(
        self,
    ) -> tuple[Complex[Tensor, "d n"], Complex[Tensor, "d n"], Complex[Tensor, "d n"]]:
        """A_bar, B_bar and C."""
        wide = torch.promote_types(self.a_log.dtype, torch.float32)
        a = torch.complex(-self.a_log.to(wide).exp(), self.a_speed.to(wide))
        dt = self.dt_log.to(wide).exp()[:, None]
        a, b = discretise_diagonal(a, torch.ones_like(a), dt, self.rule)
        return a, b, torch.view_as_complex(self.c.to(wide).contiguous())

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
        wide = torch.promote_types(x.dtype, torch.float32)
        real, state = real_tokens(positions), None
        if cache is not None:
            state = torch.view_as_complex(cache["state"].to(wide))
        u, system = x.to(wide), self.discrete()
        if real is None and x.shape[1] > 1:
            y, state = s4d_convolution(u, *system, state)
        else:
            y, state = s4d_recurrent(u, *system, state, real=real)
        if cache is not None:
            kept = torch.view_as_real(state).to(cache["state"].dtype)
            cache.update(x.shape[1], state=kept)
        return self.w_out(F.gelu(y.to(x.dtype) + self.skip * x))
