"""Attention whose keys and values are made by one projection (K = V).

Symbols: d model width, h query heads, g KV groups, k head width, t tokens. Gemma 4's
configuration says `attention_k_eq_v`.

A value is the projected vector, divided by its root mean square where the layer norms
queries and keys; a key is the same vector times the norm's learned gain, turned by its
position. So a key can be made from its value, and the cache keeps the values alone:
half as many numbers. Keys are then made again from all cached values at every step.

Terms:
    K = V, shared keys and values, attention_k_eq_v: one projection makes a vector that
        is the value and, scaled and turned, the key -> SharedKVAttention
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.layers.positions.rope import apply_rope


class SharedKVAttention(Attention):
    """An attention layer in which each KV head has one vector a token, key and value in
    one.

    *Equation*: u = W_K x; v = u / rms(u), k = R_p (gamma * v) under QK norm, v = u, k =
        R_p u without; R_p turns by position p.

    Args: those of `Attention`.

    Raises:
        ValueError: as in `Attention`; `value_dim` is not `head_dim`; `qk_norm` is
        "width".

    *Cost*: d (h k + g k) + h k d parameters; cache g k numbers a token, half of
        `Attention`'s; in a step each cached key is turned again, 4 g k FLOPs a token.
    *Source*: `Gemma4TextAttention` of transformers 5.23 (`attention_k_eq_v`).
    *Differs from source*: that class keeps keys and values in its cache, both.

    >>> layer = SharedKVAttention(8, heads=4, kv_heads=2, head_dim=2)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, d: int, heads: int, kv_heads: int, head_dim: int, **options):
        super().__init__(d, heads, kv_heads, head_dim, **options)
        if self.value_dim != head_dim:
            raise ValueError(
                f"value_dim={self.value_dim}: allowed with K = V is head_dim={head_dim}"
            )
        if self.qk_norm == "width":
            raise ValueError("qk_norm='width': allowed with K = V are none, head")
        del self.wv

    def values(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g v"]:
        """The vectors of the tokens: values, and keys before gain and turn."""
        u = self.wk(x).unflatten(-1, (-1, self.head_dim))
        if self.qk_norm == "none":
            return u
        wide = u.to(torch.promote_types(u.dtype, torch.float32))
        return F.rms_norm(wide, (self.head_dim,), eps=self.k_norm.eps).to(u.dtype)

    def keys_of(
        self, values: Float[Tensor, "b s g v"], positions: Int[Tensor, "b s"]
    ) -> Float[Tensor, "b s g k"]:
        """The keys that belong to values at their positions."""
        keys = values
        if self.qk_norm == "head":
            keys = values * (self.k_norm.weight + self.k_norm.offset)
        if self.rope is None:
            return keys
        cos, sin = self.rope.tables(positions, values.dtype)
        return apply_rope(keys, cos, sin, self.rope.pairing)

    def project(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        per_forward: PerForward | None = None,
    ) -> tuple[
        Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g v"]
    ]:
        """Queries, keys and values of the tokens, normed and turned."""
        q, v = self.queries(x), self.values(x)
        if self.rope is not None:
            cos, sin = self.rope.tables(positions, x.dtype)
            q = apply_rope(q, cos, sin, self.rope.pairing)
        return q, self.keys_of(v, positions), v

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row; arguments as in `Attention.forward`. The cache
        takes the values as its keys, and values of width 0.
        """
        per_forward = PerForward() if per_forward is None else per_forward
        queries, keys, values = self.project(x, positions)
        key_positions = positions
        if cache is not None:
            values, _, key_positions = cache.update(values, values[..., :0], positions)
            keys = self.keys_of(values, key_positions)
        mask_mod = self.mask_mod if mask_mod is None else mask_mod
        shared = self.window, self.position_bias, type(cache), keys.shape[1]
        y, _ = self.mix(
            (queries, keys, values),
            MaskKind(mask_mod, *shared),
            *(positions, key_positions, per_forward),
        )
        y = y.flatten(2)
        return self.wo(y if self.gate is None else y * torch.sigmoid(self.gate(x)))
