"""The causal depthwise convolution over a few tokens that stands before a recurrence.

Symbols: b batch, t tokens, w tokens under the filter, channels in place of d. Each
channel has its own filter. The last w inputs are kept between calls.

Padding (position -1) is passed over: the tokens on both sides of it are neighbours, and
it enters no window.

Terms:
    causal convolution, depthwise causal convolution, conv1d of Mamba: each channel is a
        weighted sum of its last few inputs -> CausalConv, causal_conv_naive
    conv cache, last inputs of a convolution: what a causal convolution keeps for the
        next token -> CausalConv.forward
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import check_sizes


def real_tokens(positions: Int[Tensor, "b t"]) -> Bool[Tensor, "b t"] | None:
    """Which tokens are no padding; None where all are, as in most calls."""
    real = positions >= 0
    return None if bool(real.all()) else real


def causal_conv_naive(
    x: Float[Tensor, "b t channels"],
    weight: Float[Tensor, "channels 1 w"],
    bias: Float[Tensor, " channels"] | None = None,
) -> Float[Tensor, "b t channels"]:
    """The convolution as its equation reads, with zeros before the first token: the
    reference for the module.
    """
    width = weight.shape[-1]
    y = torch.zeros_like(x) if bias is None else torch.zeros_like(x) + bias
    for back in range(
        min(width, x.shape[1])
    ):  # weight[..., -1] belongs to the token itself
        y[:, back:] += weight[:, 0, width - 1 - back] * x[:, : x.shape[1] - back]
    return y


class CausalConv(nn.Module):
    """A weighted sum of the last w inputs of each channel.

    *Equation*: y_t = beta + sum over j < w of omega_j x_{t - w + 1 + j}, channel by
        channel.

    Args:
        channels: how many.
        width: w.
        bias: whether there is a beta.

    Raises:
        ValueError: `channels` or `width` is below 1.

    *Cost*: (w + 1) channels parameters; 2 w channels FLOPs a token; w channels numbers
        of state.
    *Source*: Gu and Dao 2023, section 3.4, arXiv:2312.00752.
    *Differs from source*: w - 1 past inputs would do; the authors' kernels and
        `transformers` keep w, and so does this.

    >>> conv = CausalConv(1, 2)
    >>> _ = nn.init.ones_(conv.weight)
    >>> y, inputs = conv(torch.tensor([[[1.0], [2.0], [3.0]]]))
    >>> y.flatten().tolist(), inputs.flatten().tolist()
    ([1.0, 3.0, 5.0], [2.0, 3.0])
    """

    def __init__(self, channels: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        check_sizes({"channels": channels, "width": width})
        self.weight = nn.Parameter(torch.randn(channels, 1, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(
        self,
        x: Float[Tensor, "b t channels"],
        inputs: Float[Tensor, "b channels w"] | None = None,
        real: Bool[Tensor, "b t"] | None = None,
    ) -> tuple[Float[Tensor, "b t channels"], Float[Tensor, "b channels w"]]:
        """Convolve the tokens.

        Args:
            x: the tokens.
            inputs: the last w before them; zeros when left out.
            real: which are no padding, from `real_tokens`.

        Returns:
            y, zeros at padding; and the last w inputs after these tokens.
        """
        width = self.weight.shape[-1]
        if inputs is None:
            inputs = x.new_zeros(len(x), x.shape[-1], width)
        if not x.shape[1]:
            return x, inputs
        columns = torch.cat([inputs, x.transpose(1, 2)], dim=-1)
        place = None if real is None else _places(real, width)
        if place is not None:
            columns = torch.empty_like(columns).scatter_(
                -1, place[:, None].expand_as(columns), columns
            )
        y = F.conv1d(columns[..., 1:], self.weight, self.bias, groups=x.shape[-1])
        y = y.transpose(1, 2)
        if place is not None:
            found = (place[:, width:] - width).clamp_min(0)
            y = y.gather(1, found[..., None].expand_as(y))
            y = y.masked_fill(~real[..., None], 0.0)
        return y, columns[..., columns.shape[-1] - width :]


def _places(real: Bool[Tensor, "b t"], width: int) -> Int[Tensor, "b columns"]:
    """Where each of the kept inputs and tokens goes when padding is moved to the front,
    the others in their order.

    >>> _places(torch.tensor([[True, False, True]]), 2).tolist()  # padding comes first
    [[1, 2, 3, 0, 4]]
    """
    kept = torch.cat([real.new_ones(len(real), width), real], dim=1)
    padding = (~kept).sum(-1, keepdim=True)
    return torch.where(kept, padding + kept.cumsum(-1), (~kept).cumsum(-1)) - 1
