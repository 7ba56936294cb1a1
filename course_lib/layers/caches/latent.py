"""Latent KV cache of MLA: one latent and one rotary key a token, for all heads
together.

Symbols: b batch, r latent width (`kv_rank`), p width of the rotary key (`rope_dim`).

Terms:
    latent cache, MLA cache: one latent and one rotary key a token, instead of keys and
        values for each head -> LatentCache
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contract import Entries, RowCache, check_sizes, no_room
from course_lib.layers.masks import EMPTY


class LatentCache(RowCache):
    """A layer cache for MLA: the latent and the rotary key of each token side by side,
    and nothing else.

    It has one KV group. Its key is [c ; k_r]; its value is the key's first r numbers, a
    view.

    Args:
        batch: rows b.
        capacity: the most tokens a row can hold.
        kv_rank: r.
        rope_dim: p.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: a size is below 1; later, when `update` would pass `capacity` or a
        shape does not fit.

    *Cost*: b * capacity * (r + p) * bytes an element, from the start.
    *Source*: DeepSeek-V2, section 2.1.4 and table 1, arXiv:2405.04434.

    >>> cache = LatentCache(1, 1, kv_rank=512, rope_dim=64, dtype=torch.bfloat16)
    >>> cache.nbytes  # 576 numbers
    1152
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        kv_rank: int,
        rope_dim: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        check_sizes({"batch": batch, "capacity": capacity})
        check_sizes({"kv_rank": kv_rank, "rope_dim": rope_dim})
        self.capacity, self.kv_rank = capacity, kv_rank
        self._entries = torch.zeros(
            batch, capacity, 1, kv_rank + rope_dim, dtype=dtype, device=device
        )
        self._positions = torch.full(
            (batch, capacity), EMPTY, dtype=torch.long, device=device
        )

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of the latents and rotary keys, filled or not."""
        return self._entries.nbytes

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self._entries = change(self._entries)
        self._positions = change(self._positions)

    def update(
        self,
        keys: Float[Tensor, "b t 1 k"],
        values: Float[Tensor, "b t 1 r"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Store [c ; k_r] of the new tokens and return a view of all. `values` is in
        `keys` already.
        """
        start, stop = self.length, self.length + keys.shape[1]
        want = (len(self._entries), keys.shape[1], *self._entries.shape[2:])
        if keys.shape != want or values.shape != (*want[:3], self.kv_rank):
            shapes = tuple(keys.shape), tuple(values.shape)
            raise ValueError(
                f"keys and values have shapes {shapes}: this cache takes {want} and "
                f"{self.kv_rank}"
            )
        if stop > self.capacity:
            raise no_room(want[1], start, self.capacity)
        self._entries[:, start:stop], self._positions[:, start:stop] = keys, positions
        self.length, stored = stop, self._entries[:, :stop]
        return stored, stored[..., : self.kv_rank], self._positions[:, :stop]
