"""RWKV-4's layer: each token is blended with the one before it (token shift), projected
to keys, values and receptance, and mixed with the past by the WKV recurrence.

Symbols: b batch, t tokens, d model width, i inner width. The authors' code names the
parameters time_mix (`blend`), time_decay (`decay`) and time_first (`bonus`).

Terms:
    time mixing, RWKV-4 layer: token shift, WKV, and a receptance gate in place of
        attention -> RWKV
    token shift: each channel is blended with its value at the token before ->
        token_shift
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.recurrent.mixer import RecurrentMixer, States
from course_lib.layers.recurrent.wkv4 import wkv4_chunked

Stream = Float[Tensor, "b t d"]


def token_shift(
    x: Stream, last: Float[Tensor, "b d"], kept: Bool[Tensor, "b t"] | None = None
) -> tuple[Stream, Float[Tensor, "b d"]]:
    """The token before each token, and the last one.

    Args:
        x: the tokens. last: the token before the first of them, zeros for none.
        kept: which are no padding; all when left out. Padding is passed over.

    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> token_shift(x, torch.tensor([[9.0]]))[0].flatten().tolist()
    [9.0, 1.0, 2.0]
    """
    line = torch.cat([last[:, None], x], 1)
    if kept is None:
        return line[:, :-1], line[:, -1]
    place = torch.arange(1, 1 + x.shape[1], device=x.device)
    latest = F.pad(torch.where(kept, place, 0).cummax(1).values, (1, 0))  # [b t + 1]
    found = line.gather(1, latest[..., None].expand_as(line))
    return found[:, :-1], found[:, -1]


class RWKV(RecurrentMixer):
    """RWKV-4's time mixing.

    *Equation*: each of k, v, r is W (blend * x_t + (1 - blend) * x_{t-1}); y = W_out
        (sigmoid(r) * wkv(k, v)), with decay g = -exp(`decay`) and bonus u a channel.

    Args:
        d: model width. width: i, the inner one.
        chunk: tokens at a time of the chunked form.

    *Cost*: 4 d i matrix weights, 2 i + 3 d in vectors. State 3 i numbers (numerator,
        denominator, running maximum) and two last inputs, the second for the channel
        mixing that follows in a block.
    *Source*: Peng et al. 2023, arXiv:2305.13048.

    >>> layer = RWKV(8, width=6)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    accumulators = ("sums",)

    def __init__(self, d: int, width: int, *, chunk: int = 32) -> None:
        super().__init__()
        self.chunk = chunk
        self.wk, self.wv, self.wr = (nn.Linear(d, width, bias=False) for _ in range(3))
        self.wo = nn.Linear(width, d, bias=False)
        self.blend_k, self.blend_v, self.blend_r = (
            nn.Parameter(torch.full((d,), 0.5)) for _ in range(3)
        )
        self.decay = nn.Parameter(torch.linspace(-5.0, 1.0, width))
        self.bonus = nn.Parameter(torch.zeros(width))
        self.state_shapes = {"sums": (3, width), "inputs": (2, d)}

    def mix(
        self, x: Stream, kept: Bool[Tensor, "b t"] | None, states: States
    ) -> tuple[Stream, States]:
        ours, theirs = states["inputs"].unbind(1)  # theirs: of the channel mixing
        before, last = token_shift(x, ours, kept)
        k, v, r = (
            w(blend * x + (1 - blend) * before)
            for w, blend in (
                (self.wk, self.blend_k),
                (self.wv, self.blend_v),
                (self.wr, self.blend_r),
            )
        )
        y, sums = wkv4_chunked(
            *(k, v, -self.decay.exp(), self.bonus),
            state=states["sums"].unbind(1),
            kept=kept,
            chunk=self.chunk,
        )
        y = self.wo(torch.sigmoid(r) * y)
        after = {"sums": torch.stack(sums, 1), "inputs": torch.stack([last, theirs], 1)}
        return y, after
