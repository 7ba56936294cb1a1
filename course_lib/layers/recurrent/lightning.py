"""Lightning attention: linear attention whose state decays at a fixed rate a head, with
a norm over all heads and a sigmoid gate (MiniMax-01).

Symbols: b batch, t tokens, d model width, h heads, k head width.

Terms:
    lightning attention layer: SiLU features, a fixed decay a head, a norm and a gate ->
        Lightning
    slopes of lightning attention: ALiBi's slopes as rates of decay -> lightning_slopes
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.norms import RMSNorm
from course_lib.layers.recurrent.linear_attention import linear_attention_chunked
from course_lib.layers.recurrent.mixer import RecurrentMixer, States, without_padding


class Lightning(RecurrentMixer):
    """Lightning attention.

    *Equation*: q, k, v = silu(W x); S_t = exp(-slope) S_{t-1} + k_t v_t^T; y = W_out
        (sigmoid(W x) * norm(S^T q)), the norm over all heads' numbers.

    Args:
        d: model width. heads, head_dim: h and k.
        layer, layers: the place in the stack, on which the slopes depend; of the first
            layer when left out. A checkpoint brings its own slopes.
        chunk: tokens at a time of the chunked form.

    *Cost*: 5 d h k matrix weights, h k in the norm, state h k^2.
    *Source*: MiniMax 2025, section 2.2, arXiv:2501.08313.
    *Differs from source*: the state is in float32 at least, where `transformers` keeps
        the model's own precision.

    >>> layer = Lightning(8, heads=2, head_dim=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    accumulators = ("memory",)

    def __init__(
        self,
        d: int,
        heads: int,
        head_dim: int,
        *,
        layer: int = 0,
        layers: int = 2,
        chunk: int = 64,
    ) -> None:
        super().__init__()
        inner, self.heads, self.chunk = heads * head_dim, heads, chunk
        self.wq, self.wk, self.wv, self.gate = (
            nn.Linear(d, inner, bias=False) for _ in range(4)
        )
        self.norm, self.wo = RMSNorm(inner), nn.Linear(inner, d, bias=False)
        self.register_buffer("slopes", lightning_slopes(heads, layer, layers))
        self.state_shapes = {"memory": (heads, head_dim, head_dim)}

    def stand_at(self, layer: int, layers: int) -> None:
        """Take the slopes of a place in a stack."""
        self.slopes.copy_(lightning_slopes(self.heads, layer, layers))

    def mix(
        self,
        x: Float[Tensor, "b t d"],
        kept: Bool[Tensor, "b t"] | None,
        states: States,
    ) -> tuple[Float[Tensor, "b t d"], States]:
        q, k, v = (
            F.silu(w(x)).unflatten(-1, (self.heads, -1))
            for w in (self.wq, self.wk, self.wv)
        )
        decay = -self.slopes[:, None].expand(*x.shape[:2], -1, 1)
        k, decay = without_padding(kept, k), without_padding(kept, decay)
        y, memory = linear_attention_chunked(
            *(q, k, v, decay), state=states["memory"], chunk=self.chunk
        )
        gated = torch.sigmoid(self.gate(x)) * self.norm(y.flatten(2))
        return self.wo(gated), {"memory": memory}


def lightning_slopes(heads: int, layer: int = 0, layers: int = 2) -> Float[Tensor, "h"]:
    """Rates of decay: 2^(-8 i / h) for head i from 1, smaller in later layers.

    *Source*: MiniMax-01's code, as transformers 5.23 reads it.

    >>> lightning_slopes(2)
    tensor([0.0625, 0.0039])
    """
    share = 1 - layer / (layers - 1 + 1e-5) + 1e-5
    return 2.0 ** (-8 / heads * torch.arange(1, heads + 1)) * share
