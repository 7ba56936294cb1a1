"""The cache of a model: one a layer, KV caches and recurrent states side by side.

Terms:
    model cache, past key values: one cache for each layer, KV caches and recurrent
        states alike -> ModelCache
"""

from collections.abc import Iterator, Sequence

from jaxtyping import Int
from torch import Tensor

from course_lib.layers.caches.contract import Cache


class ModelCache(Sequence[Cache]):
    """One cache a layer, in the order of the layers; of whatever kind each layer needs.

    The same class holds the caches of one layer that has several mixers.

    Raises:
        ValueError: `layers` is empty.

    >>> from course_lib.layers.caches.contiguous import ContiguousCache
    >>> from course_lib.layers.caches.state import RecurrentState
    >>> state = RecurrentState(1, {"sum": (6,)})
    >>> cache = ModelCache([state, ContiguousCache(1, 8, 1, 2)])
    >>> len(cache), cache.length, cache.nbytes  # 6, and 8 slots of 2 + 2 numbers
    (2, 0, 152)
    """

    def __init__(self, layers: Sequence[Cache]) -> None:
        if not layers:
            raise ValueError("layers is empty: a model cache needs at least one layer")
        self._layers = tuple(layers)

    def __getitem__(self, index: int) -> Cache:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Cache]:
        return iter(self._layers)

    @property
    def length(self) -> int:
        """Tokens taken in so far in each row, padding included: that of the layer that
        has taken in most.
        """
        return max(layer.length for layer in self._layers)

    @property
    def nbytes(self) -> int:
        """Bytes that all layers take: keys, values and states."""
        return sum(layer.nbytes for layer in self._layers)

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""
        for layer in self._layers:
            layer.reset()

    def reorder(self, rows: Int[Tensor, " b"]) -> None:
        """Let row i go on from what row `rows[i]` held, in every layer: the step of a
        beam search. ValueError: as in `RowCache.reorder`.
        """
        for layer in self._layers:
            layer.reorder(rows)

    def select(self, rows: Int[Tensor, " n"]) -> None:
        """Keep these rows, in this order, in every layer. ValueError: as in
        `RowCache.select`.
        """
        for layer in self._layers:
            layer.select(rows)
