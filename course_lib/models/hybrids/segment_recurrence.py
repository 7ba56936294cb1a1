"""Transformer-XL: a text is cut into segments, and each layer attends, beside its own
segment, to what entered it in the segments before.

Symbols: b batch, t tokens of a segment, m remembered tokens, d model width, l layers.
The paper writes h for the vectors between layers and SG for the gradient's stop.

    keys and values  of [SG(memory); x]      the m vectors before the segment, and it
    queries          of x
    memory           <- the last m of [memory; x], one for each layer

Layer n remembers what left layer n - 1, and that has already seen m tokens further
back: so context reaches l times as far as one layer's memory. The whole is a causal
model with one mask, `segment_window`, run piece by piece.

Terms:
    Transformer-XL, segment recurrence, segment-level recurrence: each layer attends to
        its own inputs of earlier segments, through which no gradient flows ->
        SegmentRecurrentLM
    segment memory: the last inputs of each layer, carried from segment to segment ->
        SegmentMemory
    segment window: a mask from a fixed number of tokens before the query's segment ->
        segment_window
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.masks import MaskMod
from course_lib.models.hybrids.plain_blocks import (
    attention_over,
    check_plain,
    feed_forward,
)
from course_lib.models.lm import CausalLM, Logits


@dataclass(frozen=True)
class SegmentMemory:
    """What earlier segments leave.

    Attributes:
        inputs: for each layer what entered it, [b m d], the newest tokens last.
        seen: tokens read so far, so that positions go on.
    """

    inputs: tuple[Float[Tensor, "b m d"], ...]
    seen: int


class SegmentRecurrentLM(nn.Module):
    """A causal model that reads a text segment by segment.

    Args:
        model: of pre-norm attention blocks. Its positions should depend on distances
            (RoPE): they go on from segment to segment.
        memory: m, tokens that each layer remembers; 0 reads each segment by itself.
        detach: whether the gradient stops at the memory.

    Raises:
        ValueError: `memory` is below 0, or `model` has other blocks.

    *Cost*: t (t + m) pairs a segment and layer; memory l m d numbers, where a cache
        holds 2 l m g k.
    *Source*: Dai et al. 2019, section 3.2, arXiv:1901.02860.
    *Differs from source*: positions by RoPE; the paper's own are in
        `layers/positions/relative_scores`.

    >>> from course_lib.specs.small import small_llama
    >>> model = SegmentRecurrentLM(CausalLM(small_llama(8, heads=2)), memory=3)
    >>> logits, memory = model(torch.zeros(1, 5, dtype=torch.long))
    >>> logits.shape, len(memory.inputs), memory.inputs[0].shape, memory.seen
    (torch.Size([1, 5, 256]), 2, torch.Size([1, 3, 8]), 5)
    """

    def __init__(self, model: CausalLM, memory: int, *, detach: bool = True) -> None:
        super().__init__()
        if memory < 0:
            raise ValueError(f"memory={memory}: allowed are whole numbers from 0")
        check_plain(model)
        self.model, self.memory, self.detach = model, memory, detach

    def forward(
        self, tokens: Int[Tensor, "b t"], memory: SegmentMemory | None = None
    ) -> tuple[Logits, SegmentMemory]:
        """Score the vocabulary after each token of one segment, and remember it."""
        batch, length = tokens.shape
        memory = self.start(batch) if memory is None else memory
        kept = memory.inputs[0].shape[1]
        places = torch.arange(memory.seen - kept, memory.seen + length)
        both = places.to(tokens.device).expand(batch, -1)
        own = both[:, kept:]

        x, inputs = self.model.embed(tokens, own), []
        for block, past in zip(self.model.blocks, memory.inputs, strict=True):
            past = past.detach() if self.detach else past
            line = torch.cat([past, x], 1)
            inputs.append(line[:, max(line.shape[1] - self.memory, 0) :])
            x = x + attention_over(block, x, own, line, both)
            x = x + feed_forward(block, x)
        logits = self.model.score(self.model.final_norm(x))
        return logits, SegmentMemory(tuple(inputs), memory.seen + length)

    def start(self, batch: int) -> SegmentMemory:
        """The memory before the first segment: nothing."""
        like = self.model.head.weight
        empty = like.new_zeros(batch, 0, like.shape[1])
        return SegmentMemory((empty,) * len(self.model.blocks), 0)

    def read(self, tokens: Int[Tensor, "b t"], segment: int) -> Logits:
        """All segments of a text, one after another; the last may be shorter.

        Raises:
            ValueError: `segment` is below 1.
        """
        if segment < 1:
            raise ValueError(f"segment={segment}: allowed are whole numbers from 1")
        memory, logits = None, []
        for piece in tokens.split(segment, 1):
            scored, memory = self(piece, memory)
            logits.append(scored)
        return torch.cat(logits, 1)


def segment_window(segment: int, memory: int) -> MaskMod:
    """Keys from `memory` tokens before the query's own segment on (add CAUSAL to refuse
    those ahead): what segment recurrence amounts to in each layer.

    >>> positions = torch.arange(4)[None]
    >>> segment_window(2, 1).mask(positions, positions).int().tolist()[0]
    [[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]
    """
    return MaskMod(lambda query, key: key >= query // segment * segment - memory)


def earliest_seen(position: int, layers: int, segment: int, memory: int) -> int:
    """The first token that the logits at `position` depend on.

    *Equation*: a_0 = position; a_n = max(0, floor(a_(n-1) / t) t - m), l times.

    >>> [earliest_seen(11, layers, segment=4, memory=4) for layers in (1, 2, 3)]
    [4, 0, 0]
    """
    for _ in range(layers):
        position = max(0, position // segment * segment - memory)
    return position
