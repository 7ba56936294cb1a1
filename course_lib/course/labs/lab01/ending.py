"""Lab 1, the ending: the student's masks and loss on a trained model of bytes.

Two texts in one row, packed by the student's mask, are scored by the student's loss:
each must cost what it costs alone.

Symbols: b rows, n tokens, vocab 256 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from course_lib.course.live_model.kept import unrounded_model
from course_lib.layers.masks import MaskMod

TEXTS = (
    "def mean(values):\n    return sum(values) / len(values)\n",
    "import os\n\nfor name in os.listdir('.'):\n    print(name)\n",
)


@dataclass(frozen=True)
class Losses:
    """Nats a byte: each text alone, both packed by the mask, both without it."""

    alone: float
    packed: float
    leaking: float


def losses(
    decoder_mask: Callable, packed_mask: Callable, next_token_loss: Callable
) -> Losses:
    """Score two programs by the course's small model with the student's functions."""
    rows = [torch.tensor([list(text.encode())]) for text in TEXTS]
    both = torch.cat(rows, dim=1)
    documents = torch.cat([torch.full_like(row, i) for i, row in enumerate(rows)], 1)
    counts = torch.ones_like(both, dtype=torch.bool)
    counts[:, rows[0].shape[1]] = False  # a text's first byte has nothing before it
    model = unrounded_model()

    def score(tokens, mask, counts) -> float:
        mod = MaskMod(lambda query, key: mask[:, query[0, :, 0]][:, :, key[0, 0]])
        with torch.no_grad():
            logits = model(tokens, mask_mod=mod)
        return float(next_token_loss(logits, tokens, counts))

    singles = []
    for row in rows:
        real = torch.ones_like(row, dtype=torch.bool)
        singles.append(score(row, decoder_mask(real), real) * (row.shape[1] - 1))
    alone = sum(singles) / (both.shape[1] - len(rows))
    everything = torch.ones_like(both, dtype=torch.bool)
    packed = score(both, packed_mask(documents), counts)
    return Losses(alone, packed, score(both, decoder_mask(everything), counts))
