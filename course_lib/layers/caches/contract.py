"""The cache interface of a layer (`update`, `length`, `nbytes`), and the slots that
most KV caches keep.

Symbols: b batch, t new tokens, s tokens a query may attend to, g KV groups, k key
width, v value width. Papers write n for s and n_kv or G for g. A cache belongs to one
layer.

Tensors go in and out as [b t g k]. They are kept as [b g slot k]: the keys of one group
lie next to each other, so a decode step reads memory in order, and what `update` hands
back is a view, not a copy. Caches are for inference: call the model under
`torch.no_grad()`.

Terms:
    cache interface, cache update: the methods of every layer's cache: `update`,
        `length`, `nbytes` -> LayerCache
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.masks import EMPTY

Entries = tuple[Float[Tensor, "b s g k"], Float[Tensor, "b s g v"], Int[Tensor, "b s"]]


@runtime_checkable
class LayerCache(Protocol):
    """What a layer asks of its cache.

    `update` takes the new keys, values and positions. It returns what *these* queries
    may need to see, with positions (-1 for a slot that holds nothing), and it keeps
    what *later* queries need.
    """

    @property
    def length(self) -> int:
        """Tokens appended so far in each row, with the padding that the cache
        stores.
        """

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the keys and values take, filled or not."""

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries: ...


class Slots:
    """Preallocated slots: keys [b g slot k], values [b g slot v], positions [b
    slot].
    """

    def __init__(
        self,
        batch: int,
        slots: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        value_dim = head_dim if value_dim is None else value_dim
        sizes = {
            "batch": batch,
            "kv_heads": kv_heads,
            "head_dim": head_dim,
            "value_dim": value_dim,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size}: allowed are whole numbers from 1")
        self.length = 0
        self._keys = torch.zeros(
            batch, kv_heads, slots, head_dim, dtype=dtype, device=device
        )
        self._values = torch.zeros(
            batch, kv_heads, slots, value_dim, dtype=dtype, device=device
        )
        self._positions = torch.full(
            (batch, slots), EMPTY, dtype=torch.long, device=device
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the key and value slots, filled or not."""
        return self._keys.nbytes + self._values.nbytes

    def _check(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        batch, groups, _, width = self._keys.shape
        new = keys.shape[1]
        for name, got, want in (
            ("keys", keys.shape, (batch, new, groups, width)),
            ("values", values.shape, (batch, new, groups, self._values.shape[-1])),
            ("positions", positions.shape, (batch, new)),
        ):
            if got != want:
                raise ValueError(
                    f"{name} has shape {tuple(got)}: this cache takes {want}"
                )

    def _write(
        self, slot: int, keys: Tensor, values: Tensor, positions: Tensor
    ) -> None:
        """Put the given tokens into the slots from `slot` on."""
        end = slot + keys.shape[1]
        self._keys[:, :, slot:end] = keys.transpose(1, 2)
        self._values[:, :, slot:end] = values.transpose(1, 2)
        self._positions[:, slot:end] = positions

    def _read(self, end: int) -> Entries:
        """A view of the first `end` slots."""
        keys, values = (
            self._keys[:, :, :end].transpose(1, 2),
            self._values[:, :, :end].transpose(1, 2),
        )
        return keys, values, self._positions[:, :end]
