"""LFM2's mixer: a short convolution between two gates, and nothing else. What it keeps
are the convolution's last inputs.

Symbols: b batch, t tokens, d model width, w width of the convolution. The convolution
itself, which also stands before a recurrence (Mamba, gated DeltaNet, KDA), is in
`causal_conv`; here it is once more, step by step.

Terms:
    gated convolution, LFM2's block: a short convolution between two gates as the whole
        mixer -> ShortConv
    step of a convolution: the newest input pushes out the oldest one that is kept ->
        causal_conv_recurrent
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.mixer import RecurrentMixer, States

Inputs = Float[Tensor, "b t d"]
LastInputs = Float[Tensor, "b d w"]


def causal_conv_recurrent(
    x: Inputs,
    weight: Float[Tensor, "d 1 w"],
    bias: Float[Tensor, " d"] | None = None,
    *,
    inputs: LastInputs | None = None,
    real: Bool[Tensor, "b t"] | None = None,
) -> tuple[Inputs, LastInputs]:
    """A causal convolution token by token, as a cached decode runs it: the reference
    for `CausalConv.forward`.

    *Equation*: y_t = bias + sum over j < w of weight_j x_(t - w + 1 + j).

    Args:
        x, weight, bias: the inputs, and what each channel does with them.
        inputs: the last w before x; zeros when left out.
        real: which tokens are no padding; all when left out. For padding y is 0, and
            what is kept stays.

    Returns:
        y, and the last w inputs.

    >>> x, weight = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[[10.0, 1.0]]])
    >>> causal_conv_recurrent(x, weight)[0].flatten().tolist()
    [1.0, 12.0, 23.0]
    """
    if inputs is None:
        inputs = x.new_zeros(len(x), x.shape[-1], weight.shape[-1])
    real = torch.ones_like(x[..., 0], dtype=torch.bool) if real is None else real
    rows = []
    for x_t, real_t in zip(x.unbind(1), real.unbind(1), strict=True):
        line = torch.cat([inputs[..., 1:], x_t[..., None]], -1)
        y = (line * weight[:, 0]).sum(-1)
        y = y if bias is None else y + bias
        rows.append(torch.where(real_t[:, None], y, 0.0))
        inputs = torch.where(real_t[:, None, None], line, inputs)
    return (torch.stack(rows, 1) if rows else torch.zeros_like(x)), inputs


class ShortConv(RecurrentMixer):
    """LFM2's mixer: a short convolution between two gates.

    *Equation*: (b, c, z) = W_in x; y = W_out (c * conv(b * z)).

    Args:
        d: model width. conv: width of the convolution.
        bias: whether the convolution and both matrices have biases.

    *Cost*: 4 d^2 + w d parameters without biases; state w d numbers.
    *Source*: Liquid AI 2025, arXiv:2511.23404.

    >>> layer = ShortConv(4, conv=3)
    >>> layer(torch.zeros(1, 5, 4), torch.arange(5)[None]).shape
    torch.Size([1, 5, 4])
    """

    def __init__(self, d: int, conv: int, *, bias: bool = False) -> None:
        super().__init__()
        self.into = nn.Linear(d, 3 * d, bias=bias)
        self.conv = CausalConv(d, conv, bias=bias)
        self.wo = nn.Linear(d, d, bias=bias)
        self.state_shapes = {"inputs": (d, conv)}

    def mix(
        self, x: Inputs, kept: Bool[Tensor, "b t"] | None, states: States
    ) -> tuple[Inputs, States]:
        before, after, inner = self.into(x).chunk(3, -1)
        y, inputs = self.conv(before * inner, states["inputs"], kept)
        return self.wo(after * y), {"inputs": inputs}
