"""Feed-forward networks (FFN): the MLP, and the gated MLP (GLU, SwiGLU, GeGLU). They
act on each token alone.

Symbols: x [.. d] a token's vector, f the inner width, act the activation. Papers write
f as d_ff, and the gated form's three matrices as W (gate), V (up) and W_2 (down).

Terms:
    MLP, FFN, feed-forward network, feed-forward layer: widen, apply a non-linearity,
        narrow; each token by itself -> MLP
    SwiGLU, GLU, GeGLU, gated MLP, gated linear unit: W_2 (act(W x) * V x), with a SiLU
        or GELU gate -> GatedMLP
    GELU, Gaussian error linear unit: x times the normal distribution's share below x,
        exact or by tanh -> ACTIVATIONS
    SiLU, Swish: x sigmoid(x) -> ACTIVATIONS
    activation function, ReLU: the non-linearity inside an MLP, by the name a config
        gives it -> activation_named
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def _squared_relu(x: Tensor) -> Tensor:
    return F.relu(x).square()


# The names are those of Hugging Face configs; some stand for the same curve.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": _squared_relu,
    "gelu": F.gelu,
    "gelu_fast": partial(F.gelu, approximate="tanh"),
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "swish": F.silu,
    "sigmoid": torch.sigmoid,
}


class MLP(nn.Module):
    """Widen a token's vector, bend it, and bring it back to the model's width.

    *Equation*: y = W_down act(W_up x + b_up) + b_down.

    Args:
        d: model width.
        f: inner width.
        activation: a name in `ACTIVATIONS`.
        bias: whether both matrices have a bias.

    Raises:
        ValueError: `activation` is not in `ACTIVATIONS`.

    *Cost*: 2 d f parameters without bias, 4 d f FLOPs a token, no state.
    *Source*: Vaswani et al. 2017, eq. 2, arXiv:1706.03762.

    >>> sum(p.numel() for p in MLP(4, 16, bias=False).parameters())
    128
    """

    def __init__(
        self, d: int, f: int, *, activation: str = "gelu", bias: bool = True
    ) -> None:
        super().__init__()
        self.act = activation_named(activation)
        self.up = nn.Linear(d, f, bias=bias)
        self.down = nn.Linear(f, d, bias=bias)

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d"]:
        return self.down(self.act(self.up(x)))


class GatedMLP(nn.Module):
    """A feed-forward layer whose inner vector is multiplied by a learned gate.

    *Equation*: y = W_down (act(W_gate x) * W_up x). With act = silu this is SwiGLU,
        with gelu GEGLU.

    Args:
        d: model width.
        f: inner width.
        activation: a name in `ACTIVATIONS`.
        bias: whether the three matrices have a bias.

    Raises:
        ValueError: `activation` is not in `ACTIVATIONS`.

    *Cost*: 3 d f parameters without bias, 6 d f FLOPs a token, no state.
    *Source*: Shazeer 2020, eq. 6, arXiv:2002.05202.

    >>> sum(p.numel() for p in GatedMLP(4, 16).parameters())
    192
    """

    def __init__(
        self, d: int, f: int, *, activation: str = "silu", bias: bool = False
    ) -> None:
        super().__init__()
        self.act = activation_named(activation)
        self.gate = nn.Linear(d, f, bias=bias)
        self.up = nn.Linear(d, f, bias=bias)
        self.down = nn.Linear(f, d, bias=bias)

    def forward(self, x: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes d"]:
        return self.down(self.act(self.gate(x)) * self.up(x))


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """The function called `name` in `ACTIVATIONS`; any other name is a ValueError.

    >>> activation_named("relu")(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation={name!r}: allowed are {', '.join(sorted(ACTIVATIONS))}"
        )
    return ACTIVATIONS[name]
