"""Conformer: an encoder block in which a convolution over neighbours stands beside
attention to everything, between two halves of a feed-forward network.

Symbols: b batch, t frames, d model width, w width of the convolution, odd.

    x <- x + 1/2 ffn(norm(x))
    x <- x + attention(norm(x))
    x <- x + conv(norm(x)),  conv: GLU, depthwise over w frames, BatchNorm, act, matrix
    x <- norm(x + 1/2 ffn(norm(x)))

Terms:
    Conformer, convolution and attention: half a network, attention, a depthwise
        convolution, half a network -> ConformerBlock
    Conformer convolution, convolution module: a gate, a depthwise convolution over
        neighbours on both sides, a norm -> ConvolutionModule
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.feed_forward.mlp import MLP
from course_lib.layers.masks import BIDIRECTIONAL
from course_lib.layers.norms import LayerNorm

Frames = Float[Tensor, "b t d"]


class ConvolutionModule(nn.Module):
    """The convolution of a Conformer block; it sees (w - 1) / 2 frames on either side.

    *Equation*: (a, g) = W_in x; y = W_out silu(batch_norm(depthwise(a * sigmoid(g)))).

    *Cost*: 3 d^2 + w d + 2 d parameters.

    Raises:
        ValueError: `width` is even or below 1.
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        if width < 1 or width % 2 == 0:
            raise ValueError(f"width={width}: allowed are odd numbers from 1")
        self.into = nn.Linear(d, 2 * d, bias=False)
        self.depthwise = nn.Conv1d(
            d, d, width, padding=width // 2, groups=d, bias=False
        )
        self.norm = nn.BatchNorm1d(d)
        self.wo = nn.Linear(d, d, bias=False)

    def forward(self, x: Frames) -> Frames:
        x = F.glu(self.into(x), dim=-1)
        x = self.norm(self.depthwise(x.transpose(1, 2)))
        return self.wo(F.silu(x).transpose(1, 2))


class ConformerBlock(nn.Module):
    """A Conformer block.

    Args:
        d, heads: d, h. ffn: inner width of both networks. conv: w.

    *Cost*: that of attention, of two networks, and 3 d^2 + w d.
    *Source*: Gulati et al. 2020, section 2, arXiv:2005.08100; equal to
        `Wav2Vec2ConformerEncoderLayer` of transformers 5.23 without its positions.

    >>> import torch
    >>> block = ConformerBlock(8, heads=2, ffn=16, conv=3)
    >>> block(torch.zeros(1, 5, 8), torch.arange(5)[None]).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, d: int, heads: int, ffn: int, conv: int) -> None:
        super().__init__()
        options = {"mask_mod": BIDIRECTIONAL, "bias_qkv": True, "bias_out": True}
        self.first_norm, self.first = LayerNorm(d), MLP(d, ffn, activation="silu")
        self.mixer_norm = LayerNorm(d)
        self.mixer = Attention(d, heads, heads, d // heads, **options)
        self.conv_norm, self.conv = LayerNorm(d), ConvolutionModule(d, conv)
        self.second_norm, self.second = LayerNorm(d), MLP(d, ffn, activation="silu")
        self.final_norm = LayerNorm(d)

    def forward(self, x: Frames, positions: Int[Tensor, "b t"]) -> Frames:
        x = x + self.first(self.first_norm(x)) / 2
        x = x + self.mixer(self.mixer_norm(x), positions)
        x = x + self.conv(self.conv_norm(x))
        return self.final_norm(x + self.second(self.second_norm(x)) / 2)
