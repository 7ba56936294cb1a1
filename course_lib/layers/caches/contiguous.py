"""KV cache, contiguous: keep the keys and values of earlier tokens, so that a new token
costs one row of scores.

Symbols: b batch, t new tokens, g KV groups, k key width, v value width.

Terms:
    KV cache, key-value cache, contiguous cache: the keys and values of earlier tokens,
        kept so that a step computes only the new token's -> ContiguousCache
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contract import Entries, Slots


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
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: allowed are whole numbers from 1")
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
            room = self.capacity - self.length
            raise ValueError(
                f"{keys.shape[1]} new tokens: allowed are at most {room} (capacity "
                f"{self.capacity})"
            )
        self._write(self.length, keys, values, positions)
        self.length = end
        return self._read(end)
