"""Several mixers in one block, each given the same input: attention heads beside state
space heads, or windowed heads beside full ones.

Symbols: b batch, t tokens, d model width.

Terms:
    parallel mixers: several mixers of the same input, combined -> ParallelMixers
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contract import Cache
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import PerForward


class ParallelMixers(nn.Module):
    """Several mixers side by side in one block: each is given the same x, and what they
    return is combined.

    Args:
        mixers: each called as `Attention` is.
        combine: from the list of their outputs to one, such as their sum or mean.

    Raises:
        ValueError: later, a cache that does not hold one for each mixer (a `ModelCache`
        of them does).

    *Source*: Dong et al. 2024, section 2.1, arXiv:2411.13676 (Hymba: attention heads
        beside state space heads).
    """

    def __init__(
        self,
        mixers: Sequence[nn.Module],
        combine: Callable[[list[Tensor]], Tensor] = sum,
    ) -> None:
        super().__init__()
        self.mixers, self.combine = nn.ModuleList(mixers), combine

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: Sequence[Cache] | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row, once with each mixer."""
        caches = [None] * len(self.mixers) if cache is None else cache
        if len(caches) != len(self.mixers):
            raise ValueError(
                f"cache holds {len(caches)}: allowed is one for each of the "
                f"{len(self.mixers)} mixers"
            )
        parts = zip(self.mixers, caches, strict=True)
        return self.combine(
            [mixer(x, positions, own, per_forward, mask_mod) for mixer, own in parts]
        )
