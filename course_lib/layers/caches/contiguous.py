"""KV cache, contiguous: keep the keys and values of earlier tokens, so that a new token
costs one row of scores.

Symbols: b batch, t new tokens, g KV groups, k key width, v value width.

Tensors go in and out as [b t g k]. They are kept as [b g slot k]: the keys of one group
lie next to each other, so a decode step reads memory in order, and what `update` hands
back is a view, not a copy.

Terms:
    KV cache, key-value cache, contiguous cache: the keys and values of earlier tokens,
        kept so that a step computes only the new token's -> ContiguousCache
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contract import Entries, RowCache, check_sizes, no_room
from course_lib.layers.masks import EMPTY


class Slots(RowCache):
    """Preallocated slots: keys [b g slot k], values [b g slot v], positions [b slot];
    the ring of `window` keeps them, too.
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
        check_sizes({"batch": batch, "kv_heads": kv_heads, "head_dim": head_dim})
        if value_dim != 0:  # 0 where a value is its key, too
            check_sizes({"value_dim": value_dim})
        like = {"dtype": dtype, "device": device}
        self._keys = torch.zeros(batch, kv_heads, slots, head_dim, **like)
        self._values = torch.zeros(batch, kv_heads, slots, value_dim, **like)
        self._positions = torch.full((batch, slots), EMPTY, device=device)

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes of the key and value slots, filled or not."""
        return self._keys.nbytes + self._values.nbytes

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self._keys, self._values = change(self._keys), change(self._values)
        self._positions = change(self._positions)

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
        keys = self._keys[:, :, :end].transpose(1, 2)
        values = self._values[:, :, :end].transpose(1, 2)
        return keys, values, self._positions[:, :end]


class ContiguousCache(Slots):
    """A cache that reserves room for every token when it is made.

    Token number i of a row lies in slot i. Nothing is copied when the cache grows, and
    nothing is freed.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        capacity: the most tokens a row can hold, prompt and output together.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: a size is below 1; later, when `update` would pass `capacity` or a
        shape does not fit.

    *Cost*: b * capacity * g * (k + v) * bytes an element, from the start.

    >>> cache = ContiguousCache(batch=1, capacity=4, kv_heads=1, head_dim=2)
    >>> three, one = torch.ones(1, 3, 1, 2), torch.ones(1, 1, 1, 2)
    >>> _ = cache.update(three, three, torch.tensor([[0, 1, 2]]))
    >>> keys, values, positions = cache.update(one, one, torch.tensor([[3]]))
    >>> positions.tolist(), cache.length, cache.nbytes
    ([[0, 1, 2, 3]], 4, 64)
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        check_sizes({"capacity": capacity})
        super().__init__(batch, capacity, kv_heads, head_dim, value_dim, dtype, device)
        self.capacity = capacity

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Store the new tokens after the earlier ones and return a view of all of
        them.
        """
        self._check(keys, values, positions)
        end = self.length + keys.shape[1]
        if end > self.capacity:
            raise no_room(keys.shape[1], self.length, self.capacity)
        self._write(self.length, keys, values, positions)
        self.length = end
        return self._read(end)
