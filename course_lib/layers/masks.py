"""Masks: which keys a query may see, worked out from positions alone.

Symbols: positions of queries [b t] and of keys [b s]; window W, how many keys a query sees, itself included.
Position -1 marks an empty cache slot or a padding token. One rule then serves a full forward, left padding, a
cache with free slots, and a ring buffer whose slots are out of order.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

EMPTY = -1  # the position of a padding token or of a free cache slot


def visible(
    query_positions: Int[Tensor, "b t"], key_positions: Int[Tensor, "b s"], window: int | None = None
) -> Bool[Tensor, "b t s"]:
    """Say for each query which keys it may see.

    *Equation*: visible = (key >= 0) and (key <= query) and (key > query - W), the last only under a window.

    Args:
        query_positions: where each query stands in its own sequence; -1 for padding.
        key_positions: the same for each key; -1 for padding and for empty slots.
        window: W >= 1, or None for no limit.

    Returns:
        bool [b t s]. A padding query sees nothing.

    Raises:
        ValueError: `window` is below 1.

    *Cost*: 3 comparisons a pair, b t s bytes.
    *Source*: causal, Vaswani et al. 2017, arXiv:1706.03762; window, Beltagy et al. 2020, arXiv:2004.05150.

    >>> visible(torch.tensor([[3]]), torch.tensor([[4, 1, 2, 3]]), window=2).tolist()
    [[[False, False, True, True]]]
    """
    if window is not None and window < 1:
        raise ValueError(f"window={window}: allowed are None (no limit) and whole numbers from 1")
    query, key = query_positions[:, :, None], key_positions[:, None, :]
    seen = (key >= 0) & (key <= query)
    return seen if window is None else seen & (key > query - window)


def simplest(mask: Bool[Tensor, "b t s"]) -> tuple[Bool[Tensor, "b t s"] | None, bool]:
    """The least that a fused attention kernel must be told for this mask: (mask, causal).

    (None, False) if everything is visible, as in most decode steps; (None, True) if query i sees the first
    i + 1 of as many keys, as in a prefill without padding; else the mask itself. On a GPU the host waits
    for the answer, so a model asks once a forward pass.

    >>> full = torch.ones(1, 3, 3, dtype=torch.bool)
    >>> simplest(full[:, :1]), simplest(full.tril())
    ((None, False), (None, True))
    """
    if bool(mask.all()):
        return None, False
    square = mask.shape[1] == mask.shape[2]
    if square and bool((mask == torch.ones_like(mask[0]).tril()).all()):
        return None, True
    return mask, False


def positions_from_padding(attention_mask: Int[Tensor, "b t"] | Bool[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Number the real tokens of each row from 0 and give padding the position -1.

    Args:
        attention_mask: 1 (or True) for a real token, 0 for padding, as tokenizers return it.

    Returns:
        int64 [b t] positions.

    >>> positions_from_padding(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])).tolist()
    [[-1, -1, 0, 1], [0, 1, 2, 3]]
    """
    real = attention_mask.bool()
    return (real.long().cumsum(dim=1) - 1).masked_fill(~real, EMPTY)


def next_positions(
    length: int, batch: int, new: int, device: torch.device | str | None = None
) -> Int[Tensor, "b t"]:
    """Positions of `new` tokens in each row after `length` earlier ones, when nothing is padded.

    >>> next_positions(5, batch=1, new=3).tolist()
    [[5, 6, 7]]
    """
    return torch.arange(length, length + new, device=device).expand(batch, new)
