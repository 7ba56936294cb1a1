"""Attention masks: causal, sliding window, local window, bidirectional, prefix, packed
documents.

Symbols: positions of queries [b t] and of keys [b s]; window W, how many keys a query
attends to, its own included. Position -1 marks an empty cache slot or a padding token.
A mask made of positions then serves a full forward, left padding, a cache with free
slots, and a ring buffer whose slots are out of order.

A `MaskMod` compares positions, as FlexAttention's `mask_mod` compares indices. They
combine with & (both must hold) and | (one is enough):

    CAUSAL                         a decoder
    CAUSAL & sliding_window(W)     a decoder with a sliding window
    BIDIRECTIONAL                  an encoder; cross-attention
    BIDIRECTIONAL & local_window(n)  an encoder's local layer
    prefix(p)                      a prefix language model
    CAUSAL & same_document(ids)    several documents in one row

Terms:
    causal mask: a query attends to itself and to what stands before it, never to what
        comes after -> CAUSAL, causal_mask
    bidirectional mask, full attention: every token of a row attends to every token ->
        BIDIRECTIONAL
    sliding window, sliding-window attention, SWA, windowed layer, windowed attention: a
        query attends to the W newest keys, its own included -> sliding_window
    local window, local attention: a query attends to the keys at most n places away, on
        either side -> local_window
    prefix mask: bidirectional over the first p tokens, causal after them -> prefix
    document mask, packed documents: several documents in one row, none of which attends
        to another -> same_document
    mask_mod, FlexAttention: a mask written as a comparison of a query's position with a
        key's -> MaskMod
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

EMPTY = -1  # the position of a padding token or of a free cache slot


@dataclass(frozen=True, eq=False)
class MaskMod:
    """Which query attends to which key: a function of query positions [b t 1] and key
    positions [b 1 s] to bool [b t s].

    `mask` makes the mask and hides padding, which no `MaskMod` has to think of.

    *Source*: masks as functions of positions, combined: Dong et al. 2024,
        FlexAttention, arXiv:2412.05496.

    >>> first_two = MaskMod(lambda query, key: key < 2)
    >>> positions = torch.tensor([[0, 1, 2, 3]])
    >>> (CAUSAL & first_two).mask(positions, positions).int().tolist()
    [[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]]
    """

    allows: Callable[[Tensor, Tensor], Tensor]

    def __and__(self, other: "MaskMod") -> "MaskMod":
        return MaskMod(
            lambda query, key: self.allows(query, key) & other.allows(query, key)
        )

    def __or__(self, other: "MaskMod") -> "MaskMod":
        return MaskMod(
            lambda query, key: self.allows(query, key) | other.allows(query, key)
        )

    def mask(
        self, query_positions: Int[Tensor, "b t"], key_positions: Int[Tensor, "b s"]
    ) -> Bool[Tensor, "b t s"]:
        """Say for each query which keys it attends to; a padding query attends to
        nothing, and nothing attends to padding.

        *Cost*: a few comparisons a pair, b t s bytes.
        """
        query, key = query_positions[:, :, None], key_positions[:, None, :]
        return self.allows(query, key) & (key >= 0) & (query >= 0)


CAUSAL = MaskMod(lambda query, key: key <= query)
BIDIRECTIONAL = MaskMod(lambda query, key: torch.ones_like(query == key))


def sliding_window(window: int) -> MaskMod:
    """Keys among the W newest, the query's own included; keys ahead pass (add CAUSAL to
    refuse them).

    *Source*: Beltagy et al. 2020, arXiv:2004.05150.

    Raises:
        ValueError: `window` is below 1.
    """
    if window < 1:
        raise ValueError(
            f"window={window}: allowed are None (no limit) and whole numbers from 1"
        )
    return MaskMod(lambda query, key: key > query - window)


def local_window(distance: int) -> MaskMod:
    """Keys at most `distance` away on either side: an encoder's local layer attends to
    2 distance + 1 keys.

    Raises:
        ValueError: `distance` is below 0.
    """
    if distance < 0:
        raise ValueError(f"distance={distance}: allowed are whole numbers from 0")
    return MaskMod(lambda query, key: (query - key).abs() <= distance)


def prefix(lengths: int | Int[Tensor, " b"]) -> MaskMod:
    """Everyone attends to the first p tokens, the first p one another among them; the
    rest is causal.

    Args:
        lengths: p, one for all rows or one a row; 0 leaves a causal mask.

    Raises:
        ValueError: a length is below 0.

    *Source*: Raffel et al. 2020, section 3.2.1, arXiv:1910.10683.

    >>> positions = torch.tensor([[0, 1, 2]])
    >>> prefix(2).mask(positions, positions).int().tolist()
    [[[1, 1, 0], [1, 1, 0], [1, 1, 1]]]
    """
    lengths = torch.as_tensor(lengths)
    if bool((lengths < 0).any()):
        raise ValueError(
            f"lengths={lengths.tolist()}: allowed are whole numbers from 0"
        )
    return CAUSAL | MaskMod(
        lambda query, key: key < lengths.to(key.device).view(-1, 1, 1)
    )


def same_document(documents: Int[Tensor, "b t"]) -> MaskMod:
    """Tokens of the same document, where a row holds several, packed one after another.

    Positions then start again in each document (`packed_positions`), so a token's place
    is its document and its position there. Queries and keys must be the row's own
    tokens, all of them: no cache.

    Args:
        documents: which document each token belongs to.

    Raises:
        ValueError: when a mask is made and queries or keys are not the tokens that
        `documents` numbers.

    *Source*: Krell et al. 2021, arXiv:2107.02027.

    >>> ids = torch.tensor([[7, 7, 9]])
    >>> from course_lib.layers.positions.numbering import packed_positions
    >>> positions = packed_positions(ids)
    >>> (CAUSAL & same_document(ids)).mask(positions, positions).int().tolist()
    [[[1, 0, 0], [1, 1, 0], [0, 0, 1]]]
    """

    def allows(query: Tensor, key: Tensor) -> Tensor:
        got = query.shape[1], key.shape[2]
        if got != (documents.shape[1],) * 2:
            raise ValueError(
                f"documents has {documents.shape[1]} tokens a row: (queries, keys) are "
                f"{got}, and packed rows are given whole, without a cache"
            )
        return documents[:, :, None] == documents[:, None, :]

    return MaskMod(allows)


def causal_mask(
    query_positions: Int[Tensor, "b t"],
    key_positions: Int[Tensor, "b s"],
    window: int | None = None,
) -> Bool[Tensor, "b t s"]:
    """The mask of a decoder: for each query, the keys it attends to.

    *Equation*: mask = (key >= 0) and (key <= query) and (key > query - W), the last
        only under a window.

    Args:
        query_positions: where each query stands in its own sequence; -1 for padding.
        key_positions: the same for each key; -1 for padding and for empty slots.
        window: W >= 1, or None for no limit.

    Returns:
        bool [b t s]. A padding query attends to nothing.

    Raises:
        ValueError: `window` is below 1.

    *Cost*: a few comparisons a pair, b t s bytes.
    *Source*: causal, Vaswani et al. 2017, arXiv:1706.03762; window, Beltagy et al.
        2020, arXiv:2004.05150.

    >>> queries, keys = torch.tensor([[3]]), torch.tensor([[4, 1, 2, 3]])
    >>> causal_mask(queries, keys, window=2).tolist()
    [[[False, False, True, True]]]
    """
    mask_mod = CAUSAL if window is None else CAUSAL & sliding_window(window)
    return mask_mod.mask(query_positions, key_positions)


def sdpa_mask(mask: Bool[Tensor, "b t s"]) -> tuple[Bool[Tensor, "b t s"] | None, bool]:
    """The least that a fused attention kernel must be told for this mask: (mask,
    causal).

    (None, False) if every query attends to every key, as in most decode steps; (None,
    True) if query i attends to the first i + 1 of as many keys, as in a prefill without
    padding; else the mask itself. On a GPU the host waits for the answer, so a model
    asks once a forward pass.

    >>> full = torch.ones(1, 3, 3, dtype=torch.bool)
    >>> sdpa_mask(full[:, :1]), sdpa_mask(full.tril())
    ((None, False), (None, True))
    """
    if bool(mask[:, 0].all()) and bool(
        mask.all()
    ):  # a causal mask is told by its first row
        return None, False
    square = mask.shape[1] == mask.shape[2]
    if square and bool((mask == torch.ones_like(mask[0]).tril()).all()):
        return None, True
    return mask, False
