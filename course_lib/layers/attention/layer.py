"""The attention layer: project, turn, look up the cache, mask, attend, project back.

Symbols: d model width, h query heads, g KV groups, k key width, v value width, t
queries, s keys. `AttentionHeads` is what self-attention and cross-attention share;
`Attention` attends to the tokens it is given and to those in its cache. `attend_sdpa`
is the fast one of the forms of attention (the others: `forms`).

Terms:
    SDPA, fused attention: scaled dot-product attention by PyTorch's kernel
        `scaled_dot_product_attention` -> attend_sdpa
    attention layer, self-attention: projections to queries, keys and values, attention
        within one row, projection back -> Attention
    QKV projection, query projection, key projection: three matrices that make queries,
        keys and values of each token -> Attention.project
    QK norm, query-key normalisation: RMSNorm on queries and keys before they are
        rotated and multiplied -> AttentionHeads
    output gate, gated attention: each head's output times a sigmoid of the layer's
        input, before the projection back -> Attention
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend, queries_per_kv_head
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.masks import CAUSAL, MaskMod, sliding_window
from course_lib.layers.norms import RMSNorm
from course_lib.layers.per_forward import MaskKind, PerForward
from course_lib.layers.positions.rope import Rope, apply_rope

QK_NORMS = ("none", "head", "width")


def attend_sdpa(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t s"] | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    bias: Float[Tensor, "b h t s"] | None = None,
) -> Float[Tensor, "b t h v"]:
    """Attention through PyTorch's fused kernel (SDPA), which never writes the [t s]
    scores to memory.

    One new query (t = 1) is the decode step: the r heads of a group become r queries of
    one head, so that the kernel walks the keys of a group once. Without a mask every
    query attends to every key, or, if `causal` and t > 1, query i to the first i + 1
    keys (the kernel then skips the upper half). `sdpa_mask` says which will do. A bias
    goes to the kernel in the mask's place, minus infinity where a query does not attend
    to a key.

    *Source*: Dao et al. 2022, arXiv:2205.14135, through
        `torch.nn.functional.scaled_dot_product_attention`.
    """
    batch, length, heads, width = queries.shape
    groups, in_group = keys.shape[2], heads // keys.shape[2]
    keys, values = keys.transpose(1, 2), values.transpose(1, 2)
    added = None if mask is None else mask[:, None]
    if bias is not None:
        if causal:
            mask = torch.ones_like(bias[:, 0], dtype=torch.bool).tril()
        added = bias if mask is None else bias.masked_fill(~mask[:, None], -torch.inf)
    if length == 1:
        queries = queries.reshape(batch, groups, in_group, width)
        if added is not None:  # [b 1 1 s] or [b h 1 s]: as many rows as queries
            added = added.expand(-1, heads, -1, -1).reshape(batch, groups, in_group, -1)
        y = F.scaled_dot_product_attention(queries, keys, values, added, scale=scale)
        return y.reshape(batch, 1, heads, -1)
    y = F.scaled_dot_product_attention(
        queries.transpose(1, 2),
        keys,
        values,
        added,
        is_causal=causal and bias is None,
        scale=scale,
        enable_gqa=in_group > 1,
    )
    return y.transpose(1, 2)


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
        output_gate: bool = False,
    ) -> None:
        super().__init__()
        queries_per_kv_head(heads, kv_heads)
        if qk_norm not in QK_NORMS:
            raise ValueError(f"qk_norm={qk_norm!r}: allowed are {', '.join(QK_NORMS)}")
        value_dim = head_dim if value_dim is None else value_dim
        source_width = d if source_width is None else source_width
        self.heads, self.kv_heads = heads, kv_heads
        self.head_dim, self.value_dim = head_dim, value_dim
        self.softcap, self.qk_norm = softcap, qk_norm
        self.scale = head_dim**-0.5 if scale is None else scale
        self.wq = nn.Linear(d, heads * head_dim, bias=bias_qkv)
        self.wk = nn.Linear(source_width, kv_heads * head_dim, bias=bias_qkv)
        self.wv = nn.Linear(source_width, kv_heads * value_dim, bias=bias_qkv)
        self.wo = nn.Linear(heads * value_dim, d, bias=bias_out)
        self.sinks = nn.Parameter(torch.zeros(heads)) if sinks else None
        self.gate = None
        if output_gate:
            self.gate = nn.Linear(d, heads * value_dim, bias=bias_qkv)
        if qk_norm != "none":
            q_heads, k_heads = (heads, kv_heads) if qk_norm == "width" else (1, 1)
            self.q_norm = RMSNorm(q_heads * head_dim, norm_eps, offset=norm_offset)
            self.k_norm = RMSNorm(k_heads * head_dim, norm_eps, offset=norm_offset)

    def queries(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h k"]:
        """The queries of the tokens, normed where the layer norms them, not turned."""
        q = self.q_norm(self.wq(x)) if self.qk_norm == "width" else self.wq(x)
        q = q.unflatten(-1, (-1, self.head_dim))
        return self.q_norm(q) if self.qk_norm == "head" else q

    def keys(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g k"]:
        """The keys of the tokens, normed where the layer norms them, not turned."""
        k = self.k_norm(self.wk(x)) if self.qk_norm == "width" else self.wk(x)
        k = k.unflatten(-1, (-1, self.head_dim))
        return self.k_norm(k) if self.qk_norm == "head" else k

    def values(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s g v"]:
        """The values of the tokens."""
        return self.wv(x).unflatten(-1, (-1, self.value_dim))

    def mix(
        self,
        qkv: tuple[Tensor, Tensor, Tensor],
        kind: MaskKind,
        positions: Int[Tensor, "b t"],
        key_positions: Int[Tensor, "b s"],
        per_forward: PerForward,
        *,
        with_weights: bool = False,
    ) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h t s"] | None]:
        """Attend by SDPA, or by the form with softcap, sinks and weights where one of
        them is wanted. The weights are None where SDPA does it.
        """
        if self.softcap is None and self.sinks is None and not with_weights:
            found = per_forward.for_sdpa.get(kind)
            mask, causal, bias = found or per_forward.make_for_sdpa(
                kind, positions, key_positions, qkv[0].dtype
            )
            options = {"causal": causal, "scale": self.scale, "bias": bias}
            return attend_sdpa(*qkv, mask, **options), None
        mask, bias = per_forward.mask(kind, positions, key_positions), None
        if kind.position_bias is not None:
            bias = kind.position_bias(positions, key_positions).to(qkv[0].dtype)
        options = {"scale": self.scale, "softcap": self.softcap, "sinks": self.sinks}
        return attend(*qkv, mask, bias=bias, **options)


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
        output_gate: whether the heads' outputs are multiplied by sigmoid(W x) before
            the projection back, x the layer's input (Qwen3-Next).

    Raises:
        ValueError: `kv_heads` does not divide `heads`, `window` is below 1, or
        `qk_norm` is another word.

    *Cost*: d (h k + g k + g v) + h v d parameters without biases, d h v more for an
        output gate; cache g (k + v) numbers a token.

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
        if window is not None:
            sliding_window(window)  # refuses a wrong number here, not in the first call
        self.mask_mod, self.window = mask_mod, window
        self.rope, self.position_bias = rope, position_bias

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        per_forward: PerForward | None = None,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row.

        Args:
            x: the tokens. positions: where each stands in its row, -1 for padding.
            cache: what earlier calls have left; it takes in the new tokens.
            per_forward: what the layers of this forward pass share.
            mask_mod: which query attends to which key in this call, in place of the
                layer's own.
        """
        per_forward = PerForward() if per_forward is None else per_forward
        queries, keys, values = self.project(x, positions, per_forward)
        key_positions = positions
        if cache is not None:
            keys, values, key_positions = cache.update(keys, values, positions)
        mask_mod = self.mask_mod if mask_mod is None else mask_mod
        shared = self.window, self.position_bias, type(cache), keys.shape[1]
        y, _ = self.mix(
            (queries, keys, values),
            MaskKind(mask_mod, *shared),
            *(positions, key_positions, per_forward),
        )
        y = y.flatten(2)
        return self.wo(y if self.gate is None else y * torch.sigmoid(self.gate(x)))

    def weights(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        *,
        mask_mod: MaskMod | None = None,
    ) -> Float[Tensor, "b h t t"]:
        """How much each query takes from each key of the same `x`, without a cache."""
        mask_mod = self.mask_mod if mask_mod is None else mask_mod
        shared = self.window, self.position_bias, type(None), x.shape[1]
        return self.mix(
            self.project(x, positions),
            MaskKind(mask_mod, *shared),
            *(positions, positions, PerForward()),
            with_weights=True,
        )[1]

    def project(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        per_forward: PerForward | None = None,
    ) -> tuple[
        Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g v"]
    ]:
        """Queries, keys and values of the tokens, normed and turned: what the cache is
        given.
        """
        q, k, v = self.queries(x), self.keys(x), self.values(x)
        if self.rope is None:
            return q, k, v
        per_forward = PerForward() if per_forward is None else per_forward
        found, pairing = per_forward.rope_tables.get(self.rope), self.rope.pairing
        cos, sin = found or per_forward.make_rope_tables(self.rope, positions, x.dtype)
        q, k = apply_rope(q, cos, sin, pairing), apply_rope(k, cos, sin, pairing)
        if self.rope.growth is not None:
            q = q * self.rope.query_scale(positions, q.dtype)
        return q, k, v
