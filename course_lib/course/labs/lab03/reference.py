"""Lab 3, exercise 1: the check's own cache and step, and the step with one slip.

They stand in for what a student has not written yet, so that each part is judged by
itself.
"""

import torch
from torch import Tensor

from course_lib.layers.attention.layer import Attention


class Cache:
    """Keys and values of all tokens so far, in two tensors [b capacity h k]."""

    def __init__(self, batch: int, capacity: int, heads: int, head_dim: int) -> None:
        self.keys = torch.zeros(batch, capacity, heads, head_dim, dtype=torch.float64)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new entries behind those held, and return all.

        Raises: ValueError if they do not fit.
        """
        end = self.length + keys.shape[1]
        if end > self.keys.shape[1]:
            raise ValueError(f"{end} tokens: allowed are {self.keys.shape[1]}")
        self.keys[:, self.length : end] = keys
        self.values[:, self.length : end] = values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]


def step(layer: Attention, x: Tensor, cache: Cache) -> Tensor:
    """Run the layer over new tokens with the cache's tokens before them."""
    held = cache.length
    q, k, v = layer.project(
        x, torch.arange(held, held + x.shape[1]).expand(x.shape[:2])
    )
    return attended(layer, q, *cache.append(k, v), held)


def attended(
    layer: Attention,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    held: int,
    *,
    scaled: bool = True,
    masked: bool = True,
) -> Tensor:
    """Attention of queries behind `held` tokens, joined and projected back."""
    scores = torch.einsum("bthk,bshk->bhts", q, keys) * (layer.scale if scaled else 1)
    if masked:
        here = torch.arange(q.shape[1])[:, None] + held
        scores = scores.masked_fill(torch.arange(keys.shape[1]) > here, -torch.inf)
    y = torch.einsum("bhts,bshk->bthk", scores.softmax(-1), values)
    return layer.wo(y.flatten(2))


def simulate(layer: Attention, x: Tensor, chunks: list[int], **mistake: bool) -> Tensor:
    """Return what cached attention over `chunks` gives with one of the mistakes
    "scale", "causal", "mask_offset" and "positions", or with none.
    """
    cache, outputs, done = Cache(len(x), x.shape[1], layer.heads, layer.head_dim), [], 0
    for new in chunks:
        start = 0 if mistake.get("positions") else done
        q, k, v = layer.project(
            x[:, done : done + new],
            torch.arange(start, start + new).expand(len(x), new),
        )
        outputs.append(
            attended(
                layer,
                q,
                *cache.append(k, v),
                0 if mistake.get("mask_offset") else done,
                scaled=not mistake.get("scale"),
                masked=not mistake.get("causal"),
            )
        )
        done += new
    return torch.cat(outputs, 1)
