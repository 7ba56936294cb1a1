"""RG-LRU, the real-gated linear recurrent unit, and Griffin's block around it: a short
convolution, then a diagonal recurrence whose decay and whose input are gated.

Symbols: b batch, t tokens, d model width, i inner width, m blocks of the gates. Papers
write Lambda for the learned rate and c = 8 for its factor.

    gates   r = sigmoid(W_r x + b_r), e = sigmoid(W_e x + b_e), block by block
    decay   log a = -8 r softplus(rate)
    state   h_t = a h_{t-1} + sqrt(1 - a^2) e x

The root keeps the size of h where the inputs are independent. The first token of a row
(position 0) is not scaled and starts anew, so this layer looks at positions.

Terms:
    RG-LRU layer, Griffin's recurrent block: a gated diagonal recurrence behind a short
        convolution, beside a GELU branch -> RGLRU
    diagonal recurrence, linear recurrence: h_t = a_t h_{t-1} + x_t, number by number ->
        recurrence_recurrent, recurrence_associative
    block-diagonal gate: a matrix that mixes the numbers of one block only ->
        RGLRU.gate_of
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.feed_forward.mlp import activation_named
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.mixer import RecurrentMixer, States, without_padding

Stream = Float[Tensor, "b t d"]
Inner = Float[Tensor, "b t i"]
Kept = Bool[Tensor, "b t"] | None
FACTOR, STEEPEST = 8.0, 1000.0
"""c of the paper; the largest slope of the root, which is infinite at a = 1."""


def recurrence_recurrent(
    x: Inner, decay: Inner, state: Float[Tensor, "b i"]
) -> tuple[Inner, Float[Tensor, "b i"]]:
    """The definition, token by token: h_t = a_t h_{t-1} + x_t.

    >>> x, decay = torch.ones(1, 3, 1), torch.full((1, 3, 1), 0.5)
    >>> recurrence_recurrent(x, decay, torch.zeros(1, 1))[0].flatten().tolist()
    [1.0, 1.5, 1.75]
    """
    rows = []
    for x_t, a_t in zip(x.unbind(1), decay.unbind(1), strict=True):
        state = a_t * state + x_t
        rows.append(state)
    return (torch.stack(rows, 1) if rows else x), state


def recurrence_associative(
    x: Inner, decay: Inner, state: Float[Tensor, "b i"]
) -> tuple[Inner, Float[Tensor, "b i"]]:
    """The same in log2 t rounds: (a, x) then (a', x') is (a a', a' x + x'). In round r
    each token takes in the one 2^r before it.
    """
    if not x.shape[1]:
        return x, state
    x = torch.cat([x[:, :1] + decay[:, :1] * state[:, None], x[:, 1:]], 1)
    reach = 1
    while reach < x.shape[1]:
        later = decay[:, reach:]
        x = torch.cat([x[:, :reach], x[:, reach:] + later * x[:, :-reach]], 1)
        decay = torch.cat([decay[:, :reach], later * decay[:, :-reach]], 1)
        reach *= 2
    return x, x[:, -1]


class RGLRU(RecurrentMixer):
    """Griffin's recurrent block.

    *Equation*: y = W_out (act(W_g x + b_g) * h), with h the RG-LRU of conv(W_in x).

    Args:
        d: model width. width: i, the inner one.
        blocks: m of the gates, which divides i.
        conv: width of the convolution.
        activation: of the branch beside the recurrence.

    Raises:
        ValueError: `blocks` does not divide `width`.

    *Cost*: 3 d i + 2 i^2 / m + c i matrix weights; state i numbers and c - 1 inputs.
    *Source*: De et al. 2024, arXiv:2402.19427.
    *Differs from source*: the state is in float32 at least.

    >>> layer = RGLRU(8, width=6, blocks=2, conv=4)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    accumulators = ("memory",)

    def __init__(
        self,
        d: int,
        width: int,
        blocks: int,
        conv: int,
        *,
        activation: str = "gelu_pytorch_tanh",
    ) -> None:
        super().__init__()
        if blocks < 1 or width % blocks:
            raise ValueError(f"blocks={blocks}: allowed are divisors of width={width}")
        self.blocks, block = blocks, width // blocks
        self.into, self.gate = nn.Linear(d, width), nn.Linear(d, width)
        self.activation = activation_named(activation)
        self.conv = CausalConv(width, conv)
        self.enter, self.forget = (
            nn.Parameter(torch.randn(blocks, block, block) * block**-0.5)
            for _ in range(2)
        )
        self.enter_bias, self.forget_bias = (
            nn.Parameter(torch.zeros(blocks, block)) for _ in range(2)
        )
        kept = torch.linspace(0.9, 0.999, width)  # of a channel's state, with r = 1/8
        self.rate = nn.Parameter(torch.log(1 / kept - 1))
        self.wo = nn.Linear(width, d)
        self.state_shapes = {"memory": (width,), "inputs": (width, conv - 1)}

    def mix_at(
        self, x: Stream, positions: Int[Tensor, "b t"], kept: Kept, states: States
    ) -> tuple[Stream, States]:
        inputs = F.pad(states["inputs"], (1, 0))  # the oldest is out of reach
        inner, inputs = self.conv(self.into(x), inputs, kept)
        inner = inner.to(torch.promote_types(x.dtype, torch.float32))
        enter = torch.sigmoid(self.gate_of(inner, self.enter, self.enter_bias))
        forget = torch.sigmoid(self.gate_of(inner, self.forget, self.forget_bias))
        log_decay = -FACTOR * forget * F.softplus(self.rate)
        first = (positions == 0)[..., None]
        scale = torch.where(first, 1.0, root(-torch.expm1(2 * log_decay)))
        decay = without_padding(kept, log_decay).exp().masked_fill(first, 0.0)
        new = without_padding(kept, scale * enter * inner)
        h, memory = recurrence_associative(new, decay, states["memory"])
        y = self.wo(self.activation(self.gate(x)) * h.to(x.dtype))
        return y, {"memory": memory, "inputs": inputs[..., 1:]}

    def gate_of(self, x: Inner, weight: Tensor, bias: Tensor) -> Inner:
        """W x + b, block by block; `weight` is [m in out]."""
        x, weight = x.unflatten(-1, (self.blocks, -1)), weight.to(x.dtype)
        return (torch.einsum("btmi,mio->btmo", x, weight) + bias).flatten(2)


def root(x: Tensor) -> Tensor:
    """The square root, with a straight line where its slope would pass `STEEPEST`.

    >>> root(torch.tensor([0.0, 0.25]))
    tensor([0.0000, 0.5000])
    """
    return x / x.clamp_min(1 / (2 * STEEPEST) ** 2).sqrt()
