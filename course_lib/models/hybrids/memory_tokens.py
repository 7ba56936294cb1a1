"""Recurrent Memory Transformer (RMT): a text is read segment by segment, and what a
segment leaves for the next are a few vectors, its memory tokens.

Symbols: b batch, t tokens of a segment, m memory tokens, d model width.

    [memory; segment; memory]  ->  the model, causal  ->  [.; logits; new memory]

The memory stands before the segment, where every token attends to it, and behind it,
where it attends to every token. What the model makes of the second copy is the memory
of the next segment. The model itself is not changed. The gradient flows from segment to
segment through the memory.

Terms:
    RMT, Recurrent Memory Transformer: memory tokens, read before a segment and written
        behind it, carry a text from segment to segment -> MemoryTokenLM
    memory tokens: learned vectors beside the tokens of a text, which hold what it
        said -> MemoryTokenLM
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.models.lm import CausalLM, Logits

Memory = Float[Tensor, "b m d"]


class MemoryTokenLM(nn.Module):
    """A causal model with memory tokens around each segment.

    Args:
        model: any decoder; it has positions for t + 2 m tokens.
        memory: m; 0 reads each segment by itself.
        through: over how many segments the gradient flows back; None for all.

    Raises:
        ValueError: `memory` is below 0, or `through` below 1.

    *Cost*: t + 2 m tokens a segment, whatever the length of the text; m d parameters,
        and m d numbers carried.
    *Source*: Bulatov et al. 2022, section 3, arXiv:2207.06881.

    >>> from course_lib.specs.small import small_llama
    >>> model = MemoryTokenLM(CausalLM(small_llama(8, heads=2)), memory=3)
    >>> logits, memory = model(torch.zeros(2, 5, dtype=torch.long))
    >>> logits.shape, memory.shape
    (torch.Size([2, 5, 256]), torch.Size([2, 3, 8]))
    """

    def __init__(
        self, model: CausalLM, memory: int, *, through: int | None = None
    ) -> None:
        super().__init__()
        if memory < 0:
            raise ValueError(f"memory={memory}: allowed are whole numbers from 0")
        if through is not None and through < 1:
            raise ValueError(f"through={through}: allowed are None and numbers from 1")
        self.model, self.through = model, through
        width = model.spec.width
        self.memory = nn.Parameter(torch.randn(memory, width) * width**-0.5)

    def forward(
        self, tokens: Int[Tensor, "b t"], memory: Memory | None = None
    ) -> tuple[Logits, Memory]:
        """Score the vocabulary after each token of one segment, and write the memory.

        Args:
            memory: what the segment before wrote; the learned one when left out.
        """
        batch, t = tokens.shape
        if memory is None:
            memory = self.memory.expand(batch, -1, -1)
        m = memory.shape[1]
        positions = torch.arange(t + 2 * m, device=tokens.device).expand(batch, -1)
        text = self.model.embed(tokens, positions[:, m : m + t])
        line = torch.cat([memory, text, memory], 1)
        hidden = self.model.hidden(line, positions)
        return self.model.score(hidden[:, m : m + t]), hidden[:, m + t :]

    def read(
        self, tokens: Int[Tensor, "b t"], segment: int
    ) -> tuple[Logits, Memory | None]:
        """All segments of a text, one after another, and the memory at its end.

        Raises:
            ValueError: `segment` is below 1.
        """
        if segment < 1:
            raise ValueError(f"segment={segment}: allowed are whole numbers from 1")
        memory, scored = None, []
        pieces = tokens.split(segment, 1)
        for number, piece in enumerate(pieces):
            cut = self.through is not None and number <= len(pieces) - self.through
            if memory is not None and cut:
                memory = memory.detach()
            logits, memory = self(piece, memory)
            scored.append(logits)
        return torch.cat(scored, 1), memory
