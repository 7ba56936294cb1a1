"""RWKV-4's feed-forward part, channel mixing: a squared ReLU between two matrices and a
receptance gate, of a token that is blended with the one before it. So this part, too,
keeps something of the past: one vector, in the state of the time mixing before it.

Symbols: b batch, t tokens, d model width, f inner width.

Terms:
    channel mixing, RWKV's FFN: token shift, squared ReLU, and a receptance gate in the
        place of a feed-forward network -> ChannelMix
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.recurrent.causal_conv import real_tokens
from course_lib.layers.recurrent.time_mixing import token_shift


class ChannelMix(nn.Module):
    """RWKV-4's channel mixing.

    *Equation*: k and r are blend * x_t + (1 - blend) * x_{t-1}; y = sigmoid(W_r r) *
        W_down relu(W_up k)^2.

    Args:
        d: model width. f: inner width.

    Attributes:
        needs_state: that `Block` has to hand it the state of its layer.

    *Cost*: 2 d f + d^2 matrix weights, 2 d in blends; state d numbers.
    *Source*: Peng et al. 2023, arXiv:2305.13048.

    >>> y = ChannelMix(4, 6)(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]))
    >>> y.shape
    torch.Size([1, 3, 4])
    """

    needs_state = True

    def __init__(self, d: int, f: int) -> None:
        super().__init__()
        self.blend_k = nn.Parameter(torch.full((d,), 0.5))
        self.blend_r = nn.Parameter(torch.full((d,), 0.5))
        self.up, self.down = nn.Linear(d, f, bias=False), nn.Linear(f, d, bias=False)
        self.receptance = nn.Linear(d, d, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        state: RecurrentState | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Work on each token and the one before it.

        Args:
            x, positions: as in `RecurrentMixer.forward`.
            state: that of the layer's `RWKV`, which has taken in these tokens already;
                the second row of its "inputs" is kept for this part.
        """
        ours = None if state is None else state["inputs"][:, 1]
        last = torch.zeros_like(x[:, 0]) if ours is None else ours
        before, last = token_shift(x, last, real_tokens(positions))
        k, r = (
            blend * x + (1 - blend) * before for blend in (self.blend_k, self.blend_r)
        )
        if state is not None:
            inputs = torch.stack([state["inputs"][:, 0], last], 1)
            state.update(0, sums=state["sums"], inputs=inputs)
        gate = torch.sigmoid(self.receptance(r))
        return gate * self.down(F.relu(self.up(k)).square())
