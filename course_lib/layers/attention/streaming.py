"""Attention over sinks and recent tokens, with positions inside the cache
(StreamingLLM).

Symbols: S sinks, R recent tokens, C = S + R, p a query's position in the text.

    p < C      nothing is missing yet: positions are those of the text
    p >= C     the query stands at C - 1, a recent key as far behind it as in the text,
               sink i at place i. So sink i is C - 1 - i away, however long the text

One new token: one turn for each key, by its place. Several at once: a recent key and a
sink differ in how far they are from each query, so each key takes part in one of two
score matrices, which lie side by side in a head of double width. The outputs are the
same.

Terms:
    positions inside the cache: RoPE turns by the place among the kept tokens, not by
        that in the text -> StreamingAttention
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.layer import Attention, attend_sdpa
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.sinks import first_tokens
from course_lib.layers.masks import CAUSAL, sliding_window
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.rope import apply_rope


class StreamingAttention(Attention):
    """An attention layer that attends to the first S tokens and the R newest.

    It takes the weights of an `Attention` that was trained on full attention.

    Args:
        those of `Attention`, without a window, softcap, learned sinks, bias on the
            scores or output gate.
        sinks, recent: S and R, as those of its `SinkCache`.

    Raises:
        ValueError: as in `Attention`; `sinks` is below 0 or `recent` below 1; or an
        option is not supported.

    *Cost*: that of S + R tokens a step; several tokens at once take twice the FLOPs of
        the scores.
    *Source*: Xiao et al. 2023, section 3.2, arXiv:2309.17453.

    >>> layer = StreamingAttention(8, 2, 1, 4, sinks=1, recent=2)
    >>> layer(torch.zeros(1, 5, 8), torch.arange(5)[None]).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, *sizes: int, sinks: int, recent: int, **options) -> None:
        super().__init__(*sizes, **options)
        plain = self.window, self.position_bias, self.softcap, self.sinks, self.gate
        if any(part is not None for part in plain):
            raise ValueError(
                "window, position_bias, softcap, sinks, output_gate: supported are none"
            )
        self.mask_mod = CAUSAL & (sliding_window(recent) | first_tokens(sinks))
        self.first, self.capacity = sinks, sinks + recent

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row; arguments as in `Attention.forward`. The cache is
        given keys before rotation.
        """
        queries, keys, values = self.queries(x), self.keys(x), self.values(x)
        key_positions = positions
        if cache is not None:
            keys, values, key_positions = cache.update(keys, values, positions)
        mask = self.mask_mod.mask(positions, key_positions)
        if self.rope is not None:
            turned = self._turned_once if x.shape[1] == 1 else self._turned_twice
            queries, keys = turned(queries, keys, positions, key_positions)
        y = attend_sdpa(queries, keys, values, mask, scale=self.scale)
        return self.wo(y.flatten(2))

    def places(
        self, positions: Int[Tensor, "b t"], key_positions: Int[Tensor, "b s"]
    ) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b s"]]:
        """Where the queries and the recent keys stand in the cache at the first query;
        later queries stand further on.

        >>> layer = StreamingAttention(8, 2, 1, 4, sinks=2, recent=3)
        >>> query, keys = layer.places(torch.tensor([[9]]), torch.tensor([[9, 7, 8]]))
        >>> query.tolist(), keys.tolist()
        ([[4]], [[4, 2, 3]])
        """
        real = positions.masked_fill(positions < 0, int(positions.max()))
        first = real.min(-1, keepdim=True).values
        gone = (first - (self.capacity - 1)).clamp(min=0)  # tokens that were dropped
        return positions - gone, key_positions - gone

    def _turned_once(self, queries, keys, positions, key_positions):
        """Every key at its place."""
        query_at, key_at = self.places(positions, key_positions)
        key_at = torch.where(self._is_sink(key_positions), key_positions, key_at)
        return self._turn(queries, query_at), self._turn(keys, key_at)

    def _turned_twice(self, queries, keys, positions, key_positions):
        """Queries [near; far] and keys [recent, 0] or [0, sink]: one product chooses.
        Near, queries stand at their places; far, at the last place of the cache.
        """
        is_sink = self._is_sink(key_positions)[..., None, None]
        query_at, key_at = self.places(positions, key_positions)
        far = self._turn(queries, positions.clamp(max=self.capacity - 1))
        recent = self._turn(keys, key_at).masked_fill(is_sink, 0.0)
        sinks = self._turn(keys, key_positions).masked_fill(~is_sink, 0.0)
        near = self._turn(queries, query_at)
        return torch.cat((near, far), -1), torch.cat((recent, sinks), -1)

    def _is_sink(self, key_positions: Tensor) -> Tensor:
        return (key_positions >= 0) & (key_positions < self.first)

    def _turn(self, x: Tensor, places: Tensor) -> Tensor:
        return apply_rope(x, *self.rope.tables(places, x.dtype), self.rope.pairing)
