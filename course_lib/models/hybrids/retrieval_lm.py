"""RETRO: a causal model some layers of which attend to passages that were looked up for
each chunk of the text.

Symbols: b batch, t tokens, m tokens of a chunk, u = t // m whole chunks, n neighbours
of a chunk, r tokens of a neighbour, d model width. The operator is in
`layers/attention/chunked_cross`; here it stands in a stack, with the encoder of the
neighbours.

    E = encoder(neighbours)                        both directions, each by itself
    x = x + attention(norm(x))
    x = x + tanh(alpha) CCA(norm(x), E)            in some layers
    x = x + ffn(norm(x))

Terms:
    retrieval-enhanced language model, RETRO block: self-attention, chunked
        cross-attention, feed-forward network -> RetrievalLM
    neighbour encoder: a small bidirectional stack over each looked-up passage ->
        RetrievalLM.encode
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.chunked_cross import ChunkedCrossAttention
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.numbering import next_positions, positions_from_padding
from course_lib.models.block import build_blocks
from course_lib.models.fan_in import fan_in
from course_lib.models.hybrids.plain_blocks import check_plain, feed_forward
from course_lib.models.layer_factory import build_norm
from course_lib.models.lm import CausalLM, Logits

Neighbours = Int[Tensor, "b u n r"]


class RetrievalLM(nn.Module):
    """A causal model that is given passages for each chunk of its text.

    Args:
        model: of pre-norm attention blocks.
        chunk: m.
        layers: which layers get chunked cross-attention, from 0.
        encoder_layers: of the neighbour encoder, built as the model's first layer is,
            without the causal mask. It shares the model's token embedding.
        gated: as in `ChunkedCrossAttention`: with the gate, which starts at 0, the
            model begins as the one that it was given.

    Raises:
        ValueError: `layers` is empty or names a layer that is not there,
            `encoder_layers` is below 1, or the model has other blocks.

    *Cost*: beside the model's own, encoder_layers blocks over u n r tokens, and t n r
        pairs in each named layer. Attention over all that was found would cost t u n r.
    *Source*: Borgeaud et al. 2021, section 2.4 and algorithm 1, arXiv:2112.04426.
    *Differs from source*: the encoder does not see the chunk that it is for; no
        relative positions in the cross-attention; the gate.

    >>> from course_lib.specs.small import small_llama
    >>> model = RetrievalLM(CausalLM(small_llama(8, heads=2)), chunk=3, layers=[1])
    >>> neighbours = torch.zeros(1, 2, 2, 5, dtype=torch.long)
    >>> model(torch.zeros(1, 7, dtype=torch.long), neighbours).shape
    torch.Size([1, 7, 256])
    """

    def __init__(
        self,
        model: CausalLM,
        chunk: int,
        layers: Sequence[int],
        *,
        encoder_layers: int = 1,
        gated: bool = True,
    ) -> None:
        super().__init__()
        check_plain(model)
        there = range(len(model.blocks))
        if not layers or any(layer not in there for layer in layers):
            raise ValueError(
                f"layers={list(layers)}: allowed are one or more of 0 to {there[-1]}"
            )
        if encoder_layers < 1:
            raise ValueError(f"encoder_layers={encoder_layers}: allowed are from 1")
        self.model, self.layers = model, tuple(layers)
        spec, width = model.spec.layers[0], model.spec.width
        part = replace(spec, mixer=replace(spec.mixer, causal=False))
        self.encoder = build_blocks(width, [part] * encoder_layers)
        self.encoder_norm = build_norm(width, spec.norm)
        mixer = model.blocks[0].mixer
        sizes = width, mixer.heads, mixer.kv_heads, mixer.head_dim
        self.cross = nn.ModuleList(
            ChunkedCrossAttention(*sizes, chunk=chunk, gated=gated) for _ in layers
        )
        self.cross_norms = nn.ModuleList(build_norm(width, spec.norm) for _ in layers)
        for part in (self.encoder, *self.cross):
            _draw(part)

    def encode(
        self, neighbours: Neighbours
    ) -> tuple[Float[Tensor, "b u s d"], Bool[Tensor, "b u s"]]:
        """A vector for each token of the neighbours, those of a chunk in one row of s =
        n r, and which of them are not padding (-1).
        """
        real = neighbours >= 0
        rows = neighbours.clamp(min=0).flatten(0, 2)  # each neighbour by itself
        positions = positions_from_padding(real.flatten(0, 2))
        x, shared = self.model.embed(rows, positions), PerForward()
        for block in self.encoder:
            x = block(x, positions, None, shared)
        states = self.encoder_norm(x).view(*neighbours.shape, -1)
        return states.flatten(2, 3), real.flatten(2)

    def forward(self, tokens: Int[Tensor, "b t"], neighbours: Neighbours) -> Logits:
        """Score the vocabulary after each token.

        Args:
            tokens: without padding.
            neighbours: those of each whole chunk, in order; -1 is padding.
        """
        found = self.encode(neighbours)
        positions = next_positions(0, *tokens.shape, device=tokens.device)
        x, shared = self.model.embed(tokens, positions), PerForward()
        for layer, block in enumerate(self.model.blocks):
            x = x + block.mixer(block.mixer_norm(x), positions, None, shared)
            if layer in self.layers:
                own = self.layers.index(layer)
                cross, norm = self.cross[own], self.cross_norms[own]
                x = x + cross(norm(x), positions, cross.neighbour_kv(*found))
            x = x + feed_forward(block, x)
        return self.model.score(self.model.final_norm(x))


@torch.no_grad()
def _draw(part: nn.Module) -> None:
    """Draw the new matrices with their fan-in."""
    std = fan_in(part)
    for name, weight in part.named_parameters():
        if weight.ndim > 1:
            weight.normal_(std=std(name))
