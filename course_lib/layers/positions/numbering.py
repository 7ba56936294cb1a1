"""Position ids: of padded rows, of packed documents, and of the tokens after a cache.

Symbols: b batch, t tokens. Position -1 marks padding (`masks.EMPTY`).

Terms:
    position ids: the place of each token in its own sequence; -1 at padding ->
        positions_from_padding, next_positions
    padding, left padding: fillers that bring rows to one length; no token attends to
        them -> positions_from_padding
    packed positions: positions that start again at each document of a packed row ->
        packed_positions
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from course_lib.layers.masks import EMPTY


def positions_from_padding(
    attention_mask: Int[Tensor, "b t"] | Bool[Tensor, "b t"],
) -> Int[Tensor, "b t"]:
    """Number the real tokens of each row from 0 and give padding the position -1.

    Args:
        attention_mask: 1 (or True) for a real token, 0 for padding, as tokenizers
            return it.

    Returns:
        int64 [b t] positions.

    >>> positions_from_padding(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])).tolist()
    [[-1, -1, 0, 1], [0, 1, 2, 3]]
    """
    real = attention_mask.bool()
    return (real.long().cumsum(dim=1) - 1).masked_fill(~real, EMPTY)


def packed_positions(documents: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Number the tokens of each document from 0, where a row holds several one after
    another.

    >>> packed_positions(torch.tensor([[7, 7, 7, 9, 9, 4]])).tolist()
    [[0, 1, 2, 0, 1, 0]]
    """
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(
        documents
    )
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return place - place.masked_fill(~starts, 0).cummax(dim=1).values


def next_positions(
    length: int, batch: int, new: int, device: torch.device | str | None = None
) -> Int[Tensor, "b t"]:
    """Positions of `new` tokens in each row after `length` earlier ones, when nothing
    is padded.

    >>> next_positions(5, batch=1, new=3).tolist()
    [[5, 6, 7]]
    """
    return torch.arange(length, length + new, device=device).expand(batch, new)
