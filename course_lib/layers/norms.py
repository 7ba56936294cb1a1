"""RMSNorm and LayerNorm: rescale each token's vector before or after a sublayer.

Symbols: x a token's vector of d numbers, gamma the learned gain, beta the learned
shift, eps a floor under the variance. The RMSNorm paper writes g for gamma. Both norms
act on the last axis only.

`rms_norm_naive` and `layer_norm_naive` write the equations out; the modules call
PyTorch's kernels.

Terms:
    RMSNorm, root mean square norm: divides a vector by its root mean square, then
        multiplies by a learned gain -> RMSNorm, rms_norm_naive
    LayerNorm, layer normalisation: subtracts the mean, divides by the standard
        deviation, then applies a learned gain and shift -> LayerNorm, layer_norm_naive
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def rms_norm_naive(
    x: Float[Tensor, "*axes d"], gain: Float[Tensor, " d"], eps: float
) -> Float[Tensor, "*axes d"]:
    """RMSNorm as its equation reads: the reference for the module."""
    return x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * gain


def layer_norm_naive(
    x: Float[Tensor, "*axes d"],
    gain: Float[Tensor, " d"],
    shift: Float[Tensor, " d"],
    eps: float,
) -> Float[Tensor, "*axes d"]:
    """LayerNorm as its equation reads: the reference for the module."""
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * gain
        + shift
    )


class RMSNorm(nn.Module):
    """Divide a vector by its root mean square, then scale each coordinate by a learned
    gain.

    *Equation*: y = x / sqrt(mean(x^2) + eps) * (offset + gamma).

    Args:
        width: d, numbers in a vector.
        eps: added to the mean square, so that a zero vector stays zero.
        offset: 0.0 stores the gain itself; 1.0 stores its distance from one (Gemma).

    Raises:
        ValueError: `width` is below 1.

    *Cost*: d parameters, about 4d FLOPs a token, no state.
    *Source*: Zhang and Sennrich 2019, eq. 4, arXiv:1910.07467.
    *Differs from source*: eps inside the root, as every released model has it.
        Half-precision input is normed and scaled in float32 and rounded once, at the
        end.

    >>> RMSNorm(2, eps=0.0)(torch.tensor([1.0, 7.0])).tolist()  # root mean square 5
    [0.20000000298023224, 1.399999976158142]
    """

    def __init__(self, width: int, eps: float = 1e-6, *, offset: float = 0.0) -> None:
        super().__init__()
        _check_width(width)
        self.eps, self.offset = eps, offset
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d"]:
        wide = torch.promote_types(x.dtype, torch.float32)
        gain = self.weight.to(wide)
        if self.offset:
            gain = gain + self.offset
        return F.rms_norm(x.to(wide), gain.shape, gain, self.eps).to(x.dtype)


class LayerNorm(nn.Module):
    """Move a vector to mean zero and variance one, then scale and shift each
    coordinate.

    *Equation*: y = (x - mean(x)) / sqrt(var(x) + eps) * gamma + beta, with var over d
        (not d - 1).

    Args:
        width: d, numbers in a vector.
        eps: added to the variance.
        bias: whether there is a learned shift beta.

    Raises:
        ValueError: `width` is below 1.

    *Cost*: d or 2d parameters, about 7d FLOPs a token, no state.
    *Source*: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    *Differs from source*: eps, which the paper leaves out.

    >>> LayerNorm(2, eps=0.0)(torch.tensor([3.0, 5.0])).tolist()
    [-1.0, 1.0]
    """

    def __init__(self, width: int, eps: float = 1e-5, *, bias: bool = True) -> None:
        super().__init__()
        _check_width(width)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def _check_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"width={width}: a norm needs at least 1")
