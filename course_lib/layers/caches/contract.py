"""The cache interface: the methods that a model calls on any layer's cache, and those
that an attention layer calls on its KV cache.

Symbols: b batch, t new tokens, s tokens a query may attend to, g KV groups, k key
width, v value width. Papers write n for s and n_kv or G for g. A cache belongs to one
layer.

    all            length, nbytes, reset, reorder, select
    KV caches      update(keys, values, positions) -> what the new tokens attend to
    RecurrentState named tensors in place of tokens (`state`)

Caches are for inference: call the model under `torch.no_grad()`.

Terms:
    codec of a cache: numbers to codes and scales, and back -> Codec
    cache interface, cache update: the methods of every layer's cache: `update`,
        `length`, `nbytes`, `reset`, `reorder`, `select` -> Cache, LayerCache
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Entries = tuple[Float[Tensor, "b s g k"], Float[Tensor, "b s g v"], Int[Tensor, "b s"]]


@runtime_checkable
class Cache(Protocol):
    """What a model asks of the cache of any layer."""

    @property
    def length(self) -> int:
        """Tokens taken in so far in each row, with the padding that the cache
        stores.
        """

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the contents take, filled or not."""

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""

    def reorder(self, rows: Int[Tensor, " b"]) -> None:
        """Let row i go on from what row `rows[i]` held: the step of a beam search."""

    def select(self, rows: Int[Tensor, " n"]) -> None:
        """Keep these rows, in this order: the others have left the batch."""


@runtime_checkable
class LayerCache(Cache, Protocol):
    """What an attention layer asks of its cache.

    `update` takes the new keys, values and positions. It returns what *these* queries
    may need to attend to, with positions (-1 for a slot that holds nothing), and it
    keeps what *later* queries need.
    """

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries: ...


@runtime_checkable
class Codec(Protocol):
    """What a cache asks of the way in which one head's numbers are coded."""

    scale_dtype: torch.dtype

    def packed_width(self, width: int) -> int:
        """Bytes of the codes of `width` numbers."""

    def scale_count(self, width: int) -> int:
        """Numbers stored beside the codes of `width` numbers."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Packed codes and scales."""

    def decode(
        self, packed: Tensor, scales: Tensor, width: int, dtype: torch.dtype
    ) -> Tensor:
        """The numbers that the codes stand for."""


class RowCache:
    """`reset`, `reorder` and `select` for a cache that counts its tokens in `length`
    and keeps tensors with the rows of the batch on their first axis.

    A subclass says which tensors those are, in `_change`.
    """

    length: int = 0

    @property
    def batch(self) -> int:
        """Rows b."""
        raise NotImplementedError

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        """Put `change(tensor)` in the place of each tensor."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""
        self.length = 0

    def reorder(self, rows: Int[Tensor, " b"]) -> None:
        """Let row i go on from what row `rows[i]` held: the step of a beam search.

        Raises:
            ValueError: there are more or fewer `rows` than the batch has, or one is not
            in it.
        """
        if len(rows) != self.batch:
            raise ValueError(
                f"rows has {len(rows)} numbers: allowed is one for each of the "
                f"{self.batch} rows"
            )
        self.select(rows)

    def select(self, rows: Int[Tensor, " n"]) -> None:
        """Keep these rows, in this order: the others have left the batch.

        Raises:
            ValueError: there are none, or one is not in the batch.
        """
        check_rows(rows, self.batch)
        self._change(lambda kept: kept[rows])


def check_rows(rows: Int[Tensor, " n"], batch: int) -> None:
    """Refuse rows that are not in the batch, or none at all."""
    wrong = [row for row in rows.tolist() if not 0 <= row < batch]
    if wrong or not len(rows):
        raise ValueError(
            f"rows={rows.tolist()}: allowed are one or more of 0 to {batch - 1}"
        )


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Refuse a size below 1, by its name.

    >>> check_sizes({"batch": 1, "capacity": 0})
    Traceback (most recent call last):
    ValueError: capacity=0: allowed are whole numbers from 1
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}: allowed are whole numbers from 1")


def no_room(new: int, length: int, capacity: int) -> ValueError:
    """What is raised when `new` tokens do not fit after `length` earlier ones."""
    return ValueError(
        f"{new} new tokens: allowed are at most {capacity - length} "
        f"(capacity {capacity})"
    )
