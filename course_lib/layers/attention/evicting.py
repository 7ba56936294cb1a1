"""Attention that tells its cache how much each key received, so that the cache can drop
what got least.

Symbols: as in `layer`; the cache is a `HeavyHitterCache`.

Terms:
    attention with eviction: the weights of each step decide which keys stay ->
        EvictingAttention
"""

from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.heavy_hitters import HeavyHitterCache
from course_lib.layers.per_forward import PerForward


class EvictingAttention(Attention):
    """An attention layer whose cache keeps the most attended tokens and the newest.

    It takes the weights of an `Attention`, and its options without an output gate or a
    bias on the scores (ValueError). The weights are needed, so SDPA is not used.

    *Cost*: that of H + R + t tokens a step.
    *Source*: Zhang et al. 2023, section 4, arXiv:2306.14048.

    >>> import torch
    >>> layer = EvictingAttention(8, 2, 1, 4)
    >>> cache = HeavyHitterCache(1, heavy=2, recent=2, kv_heads=1, head_dim=4)
    >>> _ = layer(torch.zeros(1, 9, 8), torch.arange(9)[None], cache)
    >>> cache.kept().shape
    torch.Size([1, 4])
    """

    def __init__(self, *sizes: int, **options) -> None:
        super().__init__(*sizes, **options)
        if self.gate is not None or self.position_bias is not None:
            raise ValueError("output_gate, position_bias: supported are none")

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: HeavyHitterCache,
        per_forward: PerForward | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row with what the cache has kept."""
        queries, keys, values = self.project(x, positions, per_forward)
        keys, values, key_positions = cache.update(keys, values, positions)
        mask = self.mask_mod.mask(positions, key_positions)
        options = {"scale": self.scale, "softcap": self.softcap, "sinks": self.sinks}
        y, weights = attend(queries, keys, values, mask, **options)
        cache.observe(weights)
        return self.wo(y.flatten(2))
