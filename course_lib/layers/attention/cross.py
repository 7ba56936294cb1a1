"""Cross-attention (encoder-decoder attention): queries from one sequence, keys and
values from another.

Symbols: t queries, s tokens of the source, g KV groups, k key width, v value width. The
source does not grow while text is decoded. Its keys and values are made once and serve
every step.

Terms:
    cross-attention, encoder-decoder attention: queries of one sequence attend to keys
        and values of another -> CrossAttention
    encoder keys and values, cross-attention cache: a source's keys and values, made
        once and used at every step -> EncoderKV, CrossAttention.encoder_kv
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.layer import AttentionHeads
from course_lib.layers.masks import BIDIRECTIONAL
from course_lib.layers.per_forward import MaskKind, PerForward


@dataclass(frozen=True)
class EncoderKV:
    """The cross-attention cache of one layer, its encoder keys and values: keys [b s g
    k], values [b s g v], positions [b s].

    Position -1 marks padding. A decode makes it once and reads it in every step.
    """

    keys: Float[Tensor, "b s g k"]
    values: Float[Tensor, "b s g v"]
    positions: Int[Tensor, "b s"]

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values."""
        return self.keys.nbytes + self.values.nbytes


class CrossAttention(AttentionHeads):
    """A layer whose queries come from one sequence and whose keys and values come from
    another, the source.

    Every query attends to every real token of the source.

    Args:
        d, heads, kv_heads, head_dim: as in `Attention`, and so are the options.
        source_width: width of the source's vectors; d when left out.

    Raises:
        ValueError: as in `Attention`.

    *Cost*: d h k + source_width g (k + v) + h v d parameters; a source of s tokens
        keeps s g (k + v) numbers.
    *Source*: Vaswani et al. 2017, section 3.2.3, arXiv:1706.03762 ("encoder-decoder
        attention").

    >>> import torch
    >>> layer = CrossAttention(8, heads=4, kv_heads=4, head_dim=2)
    >>> source_positions = torch.tensor([[0, 1, 2, -1, -1]])
    >>> source = layer.encoder_kv(torch.zeros(1, 5, 8), source_positions)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]]), source).shape
    torch.Size([1, 3, 8])
    """

    def encoder_kv(
        self, states: Float[Tensor, "b s w"], positions: Int[Tensor, "b s"]
    ) -> EncoderKV:
        """The source's keys and values: made once, then given to every call."""
        return EncoderKV(self.keys(states), self.values(states), positions)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        source: EncoderKV,
        per_forward: PerForward | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Let each token attend to the source; `per_forward`: what the layers of this
        forward pass share.
        """
        kind = MaskKind(BIDIRECTIONAL, None, None, EncoderKV, source.keys.shape[1])
        per_forward = PerForward() if per_forward is None else per_forward
        qkv = self.queries(x), source.keys, source.values
        y, _ = self.mix(qkv, kind, positions, source.positions, per_forward)
        y = y.flatten(2)
        return self.wo(y if self.gate is None else y * torch.sigmoid(self.gate(x)))

    def weights(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        source: EncoderKV,
    ) -> Float[Tensor, "b h t s"]:
        """How much each query takes from each token of the source."""
        kind = MaskKind(BIDIRECTIONAL, None, None, EncoderKV, source.keys.shape[1])
        qkv = self.queries(x), source.keys, source.values
        places = positions, source.positions
        return self.mix(qkv, kind, *places, PerForward(), with_weights=True)[1]
