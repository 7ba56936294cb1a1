"""Attention with what single families add to its projections: clipped numbers, norms
behind RoPE, queries stretched with the position, and chunks in place of a window.

Symbols: q, k, v as in `layer`, R_p the turn of position p, c tokens in a chunk.

    DBRX, OLMoE   q, k, v kept within +- clip
    HunYuan       q = norm(R_p q), k = norm(R_p k), with a learned gain
    Llama 4       the same with nothing learned where RoPE acts; where it does not,
                  q is stretched by 1 + a ln(1 + floor((p + 1) / n)); chunks of c

Terms:
    chunked attention, local attention in chunks: a query attends to the keys of its
        own chunk of c tokens that stand before it -> chunk
    clipped QKV, clip_qkv: queries, keys and values kept within a bound ->
        VariantAttention
"""

from functools import lru_cache

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import MaskMod
from course_lib.layers.norms import RMSNorm
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.stretch import stretch

NORMS = ("turned", "length")


@lru_cache(maxsize=64)  # one mask for all layers of a forward pass
def chunk(mask_mod: MaskMod, size: int) -> MaskMod:
    """The mask, and only keys of the query's own chunk of `size` tokens.

    >>> import torch
    >>> from course_lib.layers.masks import CAUSAL
    >>> positions = torch.tensor([[0, 1, 2, 3]])
    >>> chunk(CAUSAL, 2).mask(positions, positions).int().tolist()
    [[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]]
    """
    return mask_mod & MaskMod(lambda query, key: query // size == key // size)


class VariantAttention(Attention):
    """`Attention` with one or more of these.

    Args:
        those of `Attention`; `qk_norm` may also be "turned" (an RMSNorm over each head
            behind RoPE) or "length" (the same without a gain).
        clip: the bound on queries, keys and values; None for none.
        temperature: (every, by) of `stretch`; None for none.
        chunked: whether the window is a chunk.

    Raises:
        ValueError: as in `Attention`; `chunked` without a window.

    *Cost*: as `Attention`; "turned" has 2 k parameters.
    *Source*: DBRX, HunYuan-A13B and Llama 4 as transformers 5.23 builds them.
    """

    def __init__(
        self,
        *sizes: int,
        qk_norm: str = "none",
        norm_eps: float = 1e-6,
        clip: float | None = None,
        temperature: tuple[int, float] | None = None,
        chunked: bool = False,
        **options,
    ) -> None:
        plain = "none" if qk_norm in NORMS else qk_norm
        super().__init__(*sizes, qk_norm=plain, norm_eps=norm_eps, **options)
        if chunked and self.window is None:
            raise ValueError("chunked=True: a window is wanted with it")
        self.clip, self.temperature, self.chunked = clip, temperature, chunked
        self.norm_eps, self.normed_after = norm_eps, qk_norm if qk_norm in NORMS else ""
        if qk_norm == "turned":
            self.q_norm = RMSNorm(self.head_dim, norm_eps)
            self.k_norm = RMSNorm(self.head_dim, norm_eps)

    def queries(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h k"]:
        return self._clipped(super().queries(x))

    def keys(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g k"]:
        return self._clipped(super().keys(x))

    def values(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g v"]:
        return self._clipped(super().values(x))

    def project(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        per_forward: PerForward | None = None,
    ) -> tuple[
        Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g v"]
    ]:
        """Queries, keys and values of the tokens, turned, then normed and stretched."""
        q, k, v = super().project(x, positions, per_forward)
        if self.normed_after == "turned":
            q, k = self.q_norm(q), self.k_norm(k)
        elif self.normed_after == "length":
            q, k = (F.rms_norm(y, y.shape[-1:], eps=self.norm_eps) for y in (q, k))
        if self.temperature is not None:
            q = q * stretch(positions, *self.temperature, q.dtype)
        return q, k, v

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """As `Attention.forward`; a chunk holds on top of any mask."""
        if self.chunked:
            mask_mod = chunk(mask_mod or self.mask_mod, self.window)
        return super().forward(x, positions, cache, per_forward, mask_mod)

    def _clipped(self, numbers: Tensor) -> Tensor:
        if self.clip is None:
            return numbers
        return numbers.clamp(-self.clip, self.clip)


def is_variant(
    qk_norm: str,
    *,
    clip: float | None,
    temperature: tuple[int, float] | None,
    chunked: bool,
) -> bool:
    """Whether these options ask for more than `Attention` has.

    >>> is_variant("head", clip=None, temperature=None, chunked=False)
    False
    """
    bounded = clip is not None or temperature is not None
    return qk_norm in NORMS or bounded or chunked
