"""Memorizing Transformer: a causal model, one layer of which also attends to the
nearest keys of everything that was read before the segment at hand.

Symbols: b batch, t tokens of a segment, n neighbours, l layers. The mechanism is in
`layers/attention/nearest`; here it stands in a stack that reads segment by segment.

Terms:
    memorizing language model, long document memory: one upper layer looks up earlier
        segments of its document -> MemorizingLM
"""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from course_lib.layers.attention.nearest import KNNMemory, MemorizingAttention
from course_lib.models.hybrids.plain_blocks import check_plain, feed_forward
from course_lib.models.lm import CausalLM, Logits


class MemorizingLM(nn.Module):
    """A causal model that remembers what it has read, in one of its layers.

    Args:
        model: of pre-norm attention blocks without windows. The layer with the memory
            takes its projections over.
        layer: which layer has the memory; the paper takes one near the top.
        neighbours: n, keys that each query of each head looks up.
        capacity: tokens that are remembered.
        gate: "learned" or "mass", as in `MemorizingAttention`.

    Raises:
        ValueError: the model has no such layer, or other blocks.

    *Source*: Wu et al. 2022, arXiv:2203.08913.

    >>> from course_lib.specs.small import small_llama
    >>> model = CausalLM(small_llama(8, heads=2))
    >>> model = MemorizingLM(model, layer=1, neighbours=2, capacity=99)
    >>> model.read(torch.zeros(1, 7, dtype=torch.long), segment=3).shape
    torch.Size([1, 7, 256])
    """

    def __init__(
        self,
        model: CausalLM,
        layer: int,
        neighbours: int,
        capacity: int,
        *,
        gate: str = "learned",
    ) -> None:
        super().__init__()
        check_plain(model)
        if not 0 <= layer < len(model.blocks):
            raise ValueError(f"layer={layer}: allowed are 0 to {len(model.blocks) - 1}")
        plain = model.blocks[layer].mixer
        sizes = plain.wq.in_features, plain.heads, plain.kv_heads, plain.head_dim
        mixer = MemorizingAttention(
            *sizes,
            neighbours=neighbours,
            gate=gate,
            rope=plain.rope,
            qk_norm=plain.qk_norm,
            window=plain.window,
        ).to(plain.wq.weight)
        mixer.load_state_dict(plain.state_dict(), strict=False)
        model.blocks[layer].mixer = mixer
        self.model, self.layer, self.capacity = model, layer, capacity

    def forward(
        self, tokens: Int[Tensor, "b t"], memory: KNNMemory, start: int = 0
    ) -> Logits:
        """Score the vocabulary after each token of one segment, which begins at
        position `start`; the memory takes it in.
        """
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        positions = places.expand(len(tokens), -1)
        x = self.model.embed(tokens, positions)
        for number, block in enumerate(self.model.blocks):
            past = (memory,) if number == self.layer else ()
            x = x + block.mixer(block.mixer_norm(x), positions, *past)
            x = x + feed_forward(block, x)
        return self.model.score(self.model.final_norm(x))

    def read(self, tokens: Int[Tensor, "b t"], segment: int) -> Logits:
        """All segments of a document, with a memory that begins empty."""
        memory, scored, start = KNNMemory(self.capacity), [], 0
        for piece in tokens.split(segment, 1):
            scored.append(self(piece, memory, start))
            start += piece.shape[1]
        return torch.cat(scored, 1)
