"""StreamingLLM's cache: the first tokens of a text and the newest ones, for a text
without an end.

Symbols: b batch, t new tokens, g KV groups, k key width, v value width, S sinks, R
recent tokens.

A model that was trained on full attention puts much of it on the first tokens, whatever
they say. A window that drops them breaks it; a window that keeps them does not. What
lies between is gone: the text may be endless, but the context is S + R tokens.

The keys are kept before rotation. With S = 2 and R = 3, a query at position 9 finds

    slot                  0  1 | 2  3  4         2, 3, 4 are a ring
    position in the text  0  1 | 9  7  8
    place in the cache    0  1 | 4  2  3         what RoPE turns by

(`StreamingAttention` does), so that no key is ever further away than the cache is long.

Terms:
    sink cache, StreamingLLM, SinkCache: the first S tokens and the R newest, keys not
        yet rotated -> SinkCache
    sink tokens, initial tokens: the first tokens of a text, on which trained heads put
        the weight that they do not need elsewhere -> SinkCache, first_tokens
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contiguous import Slots
from course_lib.layers.caches.contract import Entries, check_sizes
from course_lib.layers.caches.window import check_padding_first
from course_lib.layers.masks import EMPTY, MaskMod


def first_tokens(count: int) -> MaskMod:
    """Keys among the first `count` of the text. ValueError: `count` is below 0.

    >>> at = torch.arange(3)[None]
    >>> first_tokens(1).mask(at, at)[0, 2].tolist()
    [True, False, False]
    """
    if count < 0:
        raise ValueError(f"count={count}: allowed are whole numbers from 0")
    return MaskMod(lambda query, key: (key < count) & (query >= 0))


class SinkCache(Slots):
    """A cache of the first S tokens of each row and of the R newest.

    The token at position i < S lies in slot i for good; token number j of a row lies in
    slot S + j mod R, too, but only one of the two shows its position.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        sinks: S; with 0 it is a `RingCache`.
        recent: R, the newest tokens, the query's own among them.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: `sinks` is below 0 or another size below 1; later, as `RingCache`
        does.

    *Cost*: b (S + R) g (k + v) bytes an element, however long the text.
    *Source*: Xiao et al. 2023, section 3.2, arXiv:2309.17453.
    *Differs from source*: several tokens may come in one call.

    >>> cache = SinkCache(batch=1, sinks=2, recent=3, kv_heads=1, head_dim=1)
    >>> one = torch.ones(1, 1, 1, 1)
    >>> for i in range(10):
    ...     keys, values, positions = cache.update(one, one, torch.tensor([[i]]))
    >>> positions.tolist(), cache.length, cache.nbytes
    ([[0, 1, 9, 7, 8]], 10, 40)
    """

    def __init__(
        self,
        batch: int,
        sinks: int,
        recent: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        first_tokens(sinks)  # refuses a wrong number
        check_sizes({"recent": recent})
        sizes = batch, sinks + recent, kv_heads, head_dim, value_dim
        super().__init__(*sizes, dtype, device)
        self.sinks, self.recent = sinks, recent

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""
        super().reset()
        self._positions.fill_(EMPTY)

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Store the tokens; return the sinks, the recent ones and, if there are several
        new ones, those beside them. The keys are given and returned before rotation.
        """
        self._check(keys, values, positions)
        if keys.shape[1] == 1:
            self._store(keys, values, positions)
            return self._read(self.sinks + min(self.length, self.recent))
        check_padding_first(positions)
        old = self._read(self.sinks + min(self.length, self.recent))
        seen = tuple(
            torch.cat(pair, dim=1)
            for pair in zip(old, (keys, values, positions), strict=True)
        )
        self._store(keys, values, positions)
        return seen

    def _store(self, keys: Tensor, values: Tensor, positions: Tensor) -> None:
        """Sinks into the slots of their positions; the newest min(t, R) tokens into the
        ring, where a sink shows no position.
        """
        is_sink = (positions >= 0) & (positions < self.sinks)
        rows, tokens = is_sink.nonzero(as_tuple=True)
        slots = positions[rows, tokens]
        self._keys[rows, :, slots] = keys[rows, tokens]
        self._values[rows, :, slots] = values[rows, tokens]
        self._positions[rows, slots] = slots

        self.length += keys.shape[1]
        new = min(keys.shape[1], self.recent)
        first = (self.length - new) % self.recent
        before_wrap = min(new, self.recent - first)
        shown = positions.masked_fill(is_sink, EMPTY)
        latest = [tensor[:, -new:] for tensor in (keys, values, shown)]
        self._write(self.sinks + first, *(part[:, :before_wrap] for part in latest))
        if before_wrap < new:
            self._write(self.sinks, *(part[:, before_wrap:] for part in latest))
