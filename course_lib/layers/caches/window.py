"""Rolling-buffer KV cache for sliding-window attention: a ring of W slots that new
tokens overwrite.

Symbols: b batch, t new tokens, g KV groups, k key width, v value width, W window.

Terms:
    rolling buffer cache, rolling buffer, ring buffer, windowed cache: W slots for a
        sliding window; position p overwrites slot p mod W -> RingCache
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contiguous import Slots
from course_lib.layers.caches.contract import Entries, check_sizes


class RingCache(Slots):
    """A cache for a layer that attends to W tokens: it never takes more than W slots.

    Token number i of a row lies in slot i mod W, so a new token overwrites the one that
    just left the window. With W = 4, one token at a time and then a chunk:

        new      slot 0  1  2  3   positions returned
        0             0  -  -  -   0
        1             0  1  -  -   0 1
        2             0  1  2  -   0 1 2
        3             0  1  2  3   0 1 2 3
        4             4  1  2  3   4 1 2 3         out of order: masks go by position
        5             4  5  2  3   4 5 2 3
        6 7 8         8  5  6  7   4 5 2 3 6 7 8   query 6 needs 3, which 7 overwrites

    A single token reads its slots in place. A longer chunk gets the old window and the
    new tokens side by side (a copy), and its tokens are stored after.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        window: W, tokens a query attends to, itself among them.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: a size is below 1; later, when a shape does not fit or a chunk has
            padding after a real token (it would push a token out of the ring too early;
            pad on the left). Not checked across calls: a later -1 alone takes a slot,
            and a token leaves too early.

    *Cost*: b * W * g * (k + v) * bytes an element, however long the text.
    *Source*: Mistral 7B, section 2, arXiv:2310.06825 ("rolling buffer cache").

    >>> cache = RingCache(batch=1, window=4, kv_heads=1, head_dim=1)
    >>> one = torch.ones(1, 1, 1, 1)
    >>> for i in range(6):
    ...     keys, values, positions = cache.update(one, one, torch.tensor([[i]]))
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
        check_sizes({"window": window})
        super().__init__(batch, window, kv_heads, head_dim, value_dim, dtype, device)
        self.window = window

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Store the newest W tokens; return the old window and the new tokens."""
        self._check(keys, values, positions)
        if keys.shape[1] == 1:
            self._store(keys, values, positions)
            return self._read(min(self.length, self.window))
        check_padding_first(positions)
        old = self._read(min(self.length, self.window))
        seen = tuple(
            torch.cat(pair, dim=1)
            for pair in zip(old, (keys, values, positions), strict=True)
        )
        self._store(keys, values, positions)
        return seen

    def _store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Write the newest min(t, W) tokens: up to the end of the ring, then from its
        start.
        """
        self.length += keys.shape[1]
        new = min(keys.shape[1], self.window)
        first = (self.length - new) % self.window
        before_wrap = min(new, self.window - first)
        latest = [tensor[:, -new:] for tensor in (keys, values, positions)]
        self._write(first, *(tensor[:, :before_wrap] for tensor in latest))
        if before_wrap < new:
            self._write(0, *(tensor[:, before_wrap:] for tensor in latest))


def check_padding_first(positions: Int[Tensor, "b t"]) -> None:
    """Refuse padding after a row's first real token."""
    real = positions >= 0
    if bool((real[:, :-1] & ~real[:, 1:]).any()):
        raise ValueError(
            f"positions={positions.tolist()}: padding (-1) is allowed before a row's "
            "first token only"
        )
