"""The attention layer: project to queries, keys and values, rotate, mask, attend,
project back.

Symbols: d model width, h query heads, g KV groups, k key width, v value width, t
queries, s keys. `AttentionHeads` is what self-attention and cross-attention share;
`Attention` attends to the tokens it is given and to those in its cache.

Terms:
    attention layer, self-attention: projections to queries, keys and values, attention
        within one row, projection back -> Attention
    QKV projection, query projection, key projection: three matrices that make queries,
        keys and values of each token -> Attention.project
    QK norm, query-key normalisation: RMSNorm on queries and keys before they are
        rotated and multiplied -> AttentionHeads
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend, attend_sdpa, queries_per_kv_head
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import CAUSAL, MaskMod, sdpa_mask, sliding_window
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions.rope import Rope, apply_rope, once

QK_NORMS = ("none", "head", "width")


class AttentionHeads(nn.Module):
    """The projections of an attention layer and the choice of its form. `Attention`
    says what each option is.

    `source_width`: width of the vectors that keys and values are made from; d when left
        out.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        *,
        value_dim: int | None = None,
        source_width: int | None = None,
        bias_qkv: bool = False,
        bias_out: bool = False,
        qk_norm: str = "none",
        norm_eps: float = 1e-6,
        norm_offset: float = 0.0,
        softcap: float | None = None,
        scale: float | None = None,
        sinks: bool = False,
    ) -> None:
        super().__init__()
        queries_per_kv_head(heads, kv_heads)
        if qk_norm not in QK_NORMS:
            raise ValueError(f"qk_norm={qk_norm!r}: allowed are {', '.join(QK_NORMS)}")
        value_dim = head_dim if value_dim is None else value_dim
        source_width = d if source_width is None else source_width
        self.heads, self.kv_heads, self.head_dim, self.value_dim = (
            heads,
            kv_heads,
            head_dim,
            value_dim,
        )
        self.softcap, self.qk_norm = softcap, qk_norm
        self.scale = head_dim**-0.5 if scale is None else scale
        self.wq = nn.Linear(d, heads * head_dim, bias=bias_qkv)
        self.wk = nn.Linear(source_width, kv_heads * head_dim, bias=bias_qkv)
        self.wv = nn.Linear(source_width, kv_heads * value_dim, bias=bias_qkv)
        self.wo = nn.Linear(heads * value_dim, d, bias=bias_out)
        self.sinks = nn.Parameter(torch.zeros(heads)) if sinks else None
        if qk_norm != "none":
            q_heads, k_heads = (heads, kv_heads) if qk_norm == "width" else (1, 1)
            self.q_norm = RMSNorm(q_heads * head_dim, norm_eps, offset=norm_offset)
            self.k_norm = RMSNorm(k_heads * head_dim, norm_eps, offset=norm_offset)

    def queries(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h k"]:
        """The queries of the tokens, normed where the layer norms them, not turned."""
        return self._normed(self.wq(x), "q_norm")

    def keys(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g k"]:
        """The keys of the tokens, normed where the layer norms them, not turned."""
        return self._normed(self.wk(x), "k_norm")

    def values(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g v"]:
        """The values of the tokens."""
        return self.wv(x).unflatten(-1, (-1, self.value_dim))

    def _normed(self, projected: Tensor, norm: str) -> Tensor:
        if self.qk_norm == "width":
            projected = getattr(self, norm)(projected)
        projected = projected.unflatten(-1, (-1, self.head_dim))
        return getattr(self, norm)(projected) if self.qk_norm == "head" else projected

    def attend(
        self,
        qkv: tuple[Tensor, Tensor, Tensor],
        mask: Bool[Tensor, "b t s"],
        memo: dict | None,
        kind: tuple,
        *,
        bias: Callable[[], Tensor] | None = None,
        with_weights: bool = False,
    ) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h t s"] | None]:
        """Outputs, and weights when asked or when the form at hand makes them.

        `kind` names the mask and the bias in `memo`: layers of one kind share what the
        kernel is told.
        """
        if with_weights or self.softcap is not None or self.sinks is not None:
            options = {
                "scale": self.scale,
                "softcap": self.softcap,
                "sinks": self.sinks,
            }
            return attend(*qkv, mask, bias=None if bias is None else bias(), **options)
        if bias is not None:
            hidden = once(
                memo,
                ("bias", *kind),
                lambda: bias().masked_fill(~mask[:, None], float("-inf")),
            )
            return attend_sdpa(*qkv, scale=self.scale, bias=hidden), None
        mask, causal = once(memo, ("simplest", *kind), lambda: sdpa_mask(mask))
        return attend_sdpa(*qkv, mask, causal=causal, scale=self.scale), None


class Attention(AttentionHeads):
    """An attention layer: project, norm and turn queries and keys, look up the cache,
    attend, project back.

    Args:
        d: model width.
        heads, kv_heads: h and g; g divides h.
        head_dim, value_dim: k and v; v is k when left out. h * k need not be d.
        mask_mod: which query attends to which key; causal when left out. A call may
            bring another.
        window: W, tokens a query attends to, itself among them; None for no limit. It
            holds on top of any mask.
        rope: how queries and keys turn with the position; None for not at all.
        position_bias: a module from query and key positions to a bias [b h t s] on the
            scores; layers may share one.
        bias_qkv, bias_out: whether the projections have biases.
        qk_norm: "none", "head" (RMSNorm over each head's k numbers) or "width" (over
            all heads' numbers).
        norm_eps, norm_offset: of that norm.
        softcap, scale: as in `attend`.
        sinks: whether each head learns a score that joins its softmax.

    Raises:
        ValueError: `kv_heads` does not divide `heads`, `window` is below 1, or
        `qk_norm` is another word.

    *Cost*: d (h k + g k + g v) + h v d parameters without biases; cache g (k + v)
        numbers a token.

    >>> layer = Attention(8, heads=4, kv_heads=2, head_dim=2)
    >>> layer(torch.zeros(1, 3, 8), torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        *,
        mask_mod: MaskMod = CAUSAL,
        window: int | None = None,
        rope: Rope | None = None,
        position_bias: nn.Module | None = None,
        **options,
    ) -> None:
        super().__init__(d, heads, kv_heads, head_dim, **options)
        self.mask_mod, self.window, self.rope, self.position_bias = (
            mask_mod,
            window,
            rope,
            position_bias,
        )
        self._within = None if window is None else sliding_window(window)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        memo: dict | None = None,
        *,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row.

        Args:
            x: the tokens. positions: where each stands in its row, -1 for padding.
            cache: what earlier calls have left; it takes in the new tokens.
            memo: a dict for one forward pass (see `positions.once`).
            mask_mod: which query attends to which key in this call, in place of the
                layer's own.
        """
        return self.wo(self._read(x, positions, cache, memo, mask_mod)[0].flatten(2))

    def weights(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        *,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b h t t"]:
        """How much each query takes from each key of the same `x`, without a cache."""
        return self._read(x, positions, None, None, mask_mod, with_weights=True)[1]

    def project(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        memo: dict | None = None,
    ) -> tuple[
        Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g v"]
    ]:
        """Queries, keys and values of the tokens, normed and turned: what the cache is
        given.
        """
        q, k, v = self.queries(x), self.keys(x), self.values(x)
        if self.rope is None:
            return q, k, v
        cos, sin = once(
            memo, ("rope", self.rope), lambda: self.rope.tables(positions, x.dtype)
        )
        return (
            apply_rope(q, cos, sin, self.rope.pairing),
            apply_rope(k, cos, sin, self.rope.pairing),
            v,
        )

    def _read(self, x, positions, cache, memo, mask_mod, with_weights=False):
        queries, keys, values = self.project(x, positions, memo)
        mask_mod, key_positions = (
            self.mask_mod if mask_mod is None else mask_mod,
            positions,
        )
        if cache is not None:
            keys, values, key_positions = cache.update(keys, values, positions)
        kind = (type(cache), mask_mod, self.window, keys.shape[1])
        whole = mask_mod if self._within is None else mask_mod & self._within
        mask = once(memo, ("mask", *kind), lambda: whole.mask(positions, key_positions))
        bias = None
        if self.position_bias is not None:
            kind = (
                *kind,
                self.position_bias,
            )  # layers that share the module share the bias
            bias = partial(self._bias, positions, key_positions, x.dtype)
        return self.attend(
            (queries, keys, values),
            mask,
            memo,
            kind,
            bias=bias,
            with_weights=with_weights,
        )

    def _bias(
        self, positions: Tensor, key_positions: Tensor, dtype: torch.dtype
    ) -> Tensor:
        return self.position_bias(positions, key_positions).to(dtype)
