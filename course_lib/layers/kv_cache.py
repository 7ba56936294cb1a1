"""Key/value caches: keep the keys and values of earlier tokens, so that a new token costs one row of scores.

Symbols: b batch, t new tokens, s tokens a query may see, g KV groups, k key width, v value width, W window.
Papers write n for s and n_kv or G for g. A cache belongs to one layer.

Tensors go in and out as [b t g k]. They are kept as [b g slot k]: the keys of one group lie next to each
other, so a decode step reads memory in order, and what `append` hands back is a view, not a copy.
Caches are for inference: call the model under `torch.no_grad()`.
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

    `append` takes the new keys, values and positions. It returns what *these* queries may need to see, with
    positions (-1 for a slot that holds nothing), and it keeps what *later* queries need.
    """

    @property
    def length(self) -> int:
        """Tokens appended so far in each row, with the padding that the cache stores."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the keys and values take, filled or not."""

    def append(
        self, keys: Float[Tensor, "b t g k"], values: Float[Tensor, "b t g v"], positions: Int[Tensor, "b t"]
    ) -> Entries: ...


class _Slots:
    """Preallocated slots: keys [b g slot k], values [b g slot v], positions [b slot]."""

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
        sizes = {"batch": batch, "kv_heads": kv_heads, "head_dim": head_dim, "value_dim": value_dim}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size}: allowed are whole numbers from 1")
        self.length = 0
        self._keys = torch.zeros(batch, kv_heads, slots, head_dim, dtype=dtype, device=device)
        self._values = torch.zeros(batch, kv_heads, slots, value_dim, dtype=dtype, device=device)
        self._positions = torch.full((batch, slots), EMPTY, dtype=torch.long, device=device)

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
                raise ValueError(f"{name} has shape {tuple(got)}: this cache takes {want}")

    def _write(self, slot: int, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Put the given tokens into the slots from `slot` on."""
        end = slot + keys.shape[1]
        self._keys[:, :, slot:end] = keys.transpose(1, 2)
        self._values[:, :, slot:end] = values.transpose(1, 2)
        self._positions[:, slot:end] = positions

    def _read(self, end: int) -> Entries:
        """A view of the first `end` slots."""
        keys, values = self._keys[:, :, :end].transpose(1, 2), self._values[:, :, :end].transpose(1, 2)
        return keys, values, self._positions[:, :end]


class ContiguousCache(_Slots):
    """A cache that reserves room for every token when it is made.

    Token number i of a row lies in slot i. Nothing is copied when the cache grows, and nothing is freed.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        capacity: the most tokens a row can hold, prompt and output together.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: a size is below 1; later, when `append` would pass `capacity` or a shape does not fit.

    *Cost*: b * capacity * g * (k + v) * bytes an element, from the start.

    >>> cache = ContiguousCache(batch=1, capacity=4, kv_heads=1, head_dim=2)
    >>> three, one = torch.ones(1, 3, 1, 2), torch.ones(1, 1, 1, 2)
    >>> _ = cache.append(three, three, torch.tensor([[0, 1, 2]]))
    >>> keys, values, positions = cache.append(one, one, torch.tensor([[3]]))
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
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: allowed are whole numbers from 1")
        super().__init__(batch, capacity, kv_heads, head_dim, value_dim, dtype, device)
        self.capacity = capacity

    def append(
        self, keys: Float[Tensor, "b t g k"], values: Float[Tensor, "b t g v"], positions: Int[Tensor, "b t"]
    ) -> Entries:
        """Store the new tokens after the earlier ones and return a view of all of them."""
        self._check(keys, values, positions)
        end = self.length + keys.shape[1]
        if end > self.capacity:
            room = self.capacity - self.length
            raise ValueError(
                f"{keys.shape[1]} new tokens: allowed are at most {room} (capacity {self.capacity})"
            )
        self._write(self.length, keys, values, positions)
        self.length = end
        return self._read(end)


class RingCache(_Slots):
    """A cache for a layer that sees W tokens: it never takes more than W slots.

    Token number i of a row lies in slot i mod W, so a new token overwrites the one that just left the
    window. With W = 4, one token at a time and then a chunk:

        new      slot 0  1  2  3   positions returned
        0             0  -  -  -   0
        1             0  1  -  -   0 1
        2             0  1  2  -   0 1 2
        3             0  1  2  3   0 1 2 3
        4             4  1  2  3   4 1 2 3           out of order: the mask goes by position
        5             4  5  2  3   4 5 2 3
        6 7 8         8  5  6  7   4 5 2 3 6 7 8     query 6 still needs 3, which 7 overwrites

    A single token reads its slots in place. A longer chunk gets the old window and the new tokens side by
    side (a copy), and its tokens are stored after.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        window: W, tokens a query sees, itself among them.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: a size is below 1; later, when a shape does not fit or a chunk has padding after a real
            token (it would push a token out of the ring too early; pad on the left). Not checked across
            calls: a later -1 alone takes a slot, and a token leaves too early.

    *Cost*: b * W * g * (k + v) * bytes an element, however long the text.
    *Source*: Mistral 7B, section 2, arXiv:2310.06825 ("rolling buffer cache").

    >>> cache = RingCache(batch=1, window=4, kv_heads=1, head_dim=1)
    >>> one = torch.ones(1, 1, 1, 1)
    >>> for i in range(6):
    ...     keys, values, positions = cache.append(one, one, torch.tensor([[i]]))
    >>> positions.tolist(), cache.length, cache.nbytes
    ([[4, 5, 2, 3]], 6, 32)
    """

    def __init__(
        self,
        batch: int,
        window: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if window < 1:
            raise ValueError(f"window={window}: allowed are whole numbers from 1")
        super().__init__(batch, window, kv_heads, head_dim, value_dim, dtype, device)
        self.window = window

    def append(
        self, keys: Float[Tensor, "b t g k"], values: Float[Tensor, "b t g v"], positions: Int[Tensor, "b t"]
    ) -> Entries:
        """Store the newest W tokens; return the old window and the new tokens."""
        self._check(keys, values, positions)
        if keys.shape[1] == 1:
            self._store(keys, values, positions)
            return self._read(min(self.length, self.window))
        _check_padding_first(positions)
        old = self._read(min(self.length, self.window))
        seen = tuple(torch.cat(pair, dim=1) for pair in zip(old, (keys, values, positions), strict=True))
        self._store(keys, values, positions)
        return seen

    def _store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Write the newest min(t, W) tokens: up to the end of the ring, then from its start."""
        self.length += keys.shape[1]
        new = min(keys.shape[1], self.window)
        first = (self.length - new) % self.window
        before_wrap = min(new, self.window - first)
        latest = [tensor[:, -new:] for tensor in (keys, values, positions)]
        self._write(first, *(tensor[:, :before_wrap] for tensor in latest))
        if before_wrap < new:
            self._write(0, *(tensor[:, before_wrap:] for tensor in latest))


def _check_padding_first(positions: Tensor) -> None:
    real = positions >= 0
    if bool((real[:, :-1] & ~real[:, 1:]).any()):
        raise ValueError(
            f"positions={positions.tolist()}: padding (-1) is allowed before a row's first token only"
        )
