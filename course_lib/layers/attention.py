"""Attention with shared keys and values: MHA, GQA and MQA are one formula with another number of KV groups.

Symbols: h query heads, g KV groups, r = h / g heads in a group, k key width, v value width.
Papers write n_h and n_kv, or H and G. g = h is multi-head, g = 1 multi-query, between them grouped-query
attention. Query head i reads group i // r, so the heads of a group lie next to each other.

Three forms of one function, equal in the tests: `attention_naive` (loops, the reference), `attend` (two
einsums, readable, with weights, softcap and sinks) and `attend_fused` (PyTorch's kernel, the fast one).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.kv_cache import LayerCache
from course_lib.layers.masks import simplest, visible
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions import Rope, apply_rope, once

QK_NORMS = ("none", "head", "width")


def attention_naive(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t s"],
    scale: float | None = None,
) -> Float[Tensor, "b t h v"]:
    """Attention as the definition reads: one row, one head, one query at a time.

    *Equation*: y_i = sum_j softmax_j(scale * q_i . K_j) V_j over the j it sees; zeros if it sees none.
    *Source*: Vaswani et al. 2017, eq. 1, arXiv:1706.03762; Ainslie et al. 2023, arXiv:2305.13245 (groups).
    """
    batch, length, heads, width = queries.shape
    scale = width**-0.5 if scale is None else scale
    heads_per_group = heads_in_a_group(heads, keys.shape[2])
    out = values.new_zeros(batch, length, heads, values.shape[-1])
    for b in range(batch):
        for h in range(heads):
            group = h // heads_per_group
            for t in range(length):
                seen = mask[b, t]
                if seen.any():
                    weights = torch.softmax(keys[b, seen, group] @ queries[b, t, h] * scale, dim=0)
                    out[b, t, h] = weights @ values[b, seen, group]
    return out


def attend(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t s"],
    *,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Float[Tensor, " h"] | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h t s"]]:
    """Attention of h heads over g groups without repeating a key or a value.

    *Equation*: a = softmax(cap(scale * q . K)), y = a V, with cap(z) = c tanh(z / c) under a softcap c.

    Args:
        queries, keys, values: of h heads and g groups; g divides h.
        mask: True where a query sees a key.
        scale, softcap: factor on the scores, 1 / sqrt(k) when left out; c, the largest score in size.
        sinks: one learned score a head that joins the softmax and reads no value.

    Returns:
        (y, a): outputs and weights. A row of a sums to 1, to less with sinks, to 0 if its query sees nothing.

    Raises:
        ValueError: g does not divide h.

    *Cost*: 2 b t s h (k + v) FLOPs; reads b s g (k + v) numbers, h / g times fewer than g = h does.
    *Source*: Ainslie et al. 2023, section 2.2, arXiv:2305.13245; g = 1, Shazeer 2019, arXiv:1911.02150;
        softcap, Gemma 2, arXiv:2408.00118; sinks, gpt-oss model card, arXiv:2508.10925.

    >>> q, k, v = torch.zeros(1, 1, 4, 2), torch.zeros(1, 2, 1, 2), torch.tensor([0.0, 8.0])
    >>> y, weights = attend(q, k, v.reshape(1, 2, 1, 1), torch.ones(1, 1, 2, dtype=torch.bool))
    >>> y.flatten().tolist(), tuple(weights.shape)
    ([4.0, 4.0, 4.0, 4.0], (1, 4, 1, 2))
    """
    groups, seen = keys.shape[2], mask[:, None, None]  # axes b g r t s
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    grouped = queries.unflatten(2, (groups, heads_in_a_group(queries.shape[2], groups)))
    scores = torch.einsum("btgrk,bsgk->bgrts", grouped, keys) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    weights = _softmax(scores.masked_fill(~seen, torch.finfo(scores.dtype).min), sinks)
    weights = weights.masked_fill(~seen, 0.0)  # only changes the rows that see nothing
    y = torch.einsum("bgrts,bsgv->btgrv", weights, values)
    return y.flatten(2, 3), weights.flatten(1, 2)


def attend_fused(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t s"] | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "b t h v"]:
    """The same through PyTorch's fused kernel, which never writes the [t s] scores to memory.

    One new query (t = 1) is the decode step: the r heads of a group become r queries of one head, so that the
    kernel walks the keys of a group once. Without a mask every query sees every key, or, if `causal` and
    t > 1, query i the first i + 1 keys (the kernel then skips the upper half). `simplest` says which will do.

    *Source*: Dao et al. 2022, arXiv:2205.14135, through `torch.nn.functional.scaled_dot_product_attention`.
    """
    batch, length, heads, width = queries.shape
    groups, in_group = keys.shape[2], heads_in_a_group(heads, keys.shape[2])
    keys, values = keys.transpose(1, 2), values.transpose(1, 2)
    seen = None if mask is None else mask[:, None]
    if length == 1:
        queries = queries.reshape(batch, groups, in_group, width)
        seen = None if seen is None else seen.expand(-1, -1, in_group, -1)
        y = F.scaled_dot_product_attention(queries, keys, values, seen, scale=scale)
        return y.reshape(batch, 1, heads, -1)
    y = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys, values, seen, is_causal=causal, scale=scale, enable_gqa=in_group > 1
    )
    return y.transpose(1, 2)


class Attention(nn.Module):
    """An attention layer: project, norm and turn queries and keys, look up the cache, attend, project back.

    Args:
        d: model width.
        heads, kv_heads: h and g; g divides h.
        head_dim, value_dim: k and v; v is k when left out. h * k need not be d.
        rope: how queries and keys turn with the position; None for not at all.
        window: W, tokens a query sees, itself among them; None for all earlier ones.
        bias_qkv, bias_out: whether the projections have biases.
        qk_norm: "none", "head" (RMSNorm over each head's k numbers) or "width" (over all heads' numbers).
        norm_eps, norm_offset: of that norm.
        softcap, scale: as in `attend`.
        sinks: whether each head learns a score that joins its softmax.

    Raises:
        ValueError: `kv_heads` does not divide `heads`, or `qk_norm` is another word.

    *Cost*: d (h k + g k + g v) + h v d parameters without biases; cache g (k + v) numbers a token.

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
        value_dim: int | None = None,
        rope: Rope | None = None,
        window: int | None = None,
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
        heads_in_a_group(heads, kv_heads)
        if qk_norm not in QK_NORMS:
            raise ValueError(f"qk_norm={qk_norm!r}: allowed are {', '.join(QK_NORMS)}")
        value_dim = head_dim if value_dim is None else value_dim
        self.heads, self.kv_heads, self.head_dim, self.value_dim = heads, kv_heads, head_dim, value_dim
        self.rope, self.window, self.softcap, self.qk_norm = rope, window, softcap, qk_norm
        self.scale = head_dim**-0.5 if scale is None else scale
        self.wq = nn.Linear(d, heads * head_dim, bias=bias_qkv)
        self.wk = nn.Linear(d, kv_heads * head_dim, bias=bias_qkv)
        self.wv = nn.Linear(d, kv_heads * value_dim, bias=bias_qkv)
        self.wo = nn.Linear(heads * value_dim, d, bias=bias_out)
        self.sinks = nn.Parameter(torch.zeros(heads)) if sinks else None
        if qk_norm != "none":
            q_heads, k_heads = (heads, kv_heads) if qk_norm == "width" else (1, 1)
            self.q_norm = RMSNorm(q_heads * head_dim, norm_eps, offset=norm_offset)
            self.k_norm = RMSNorm(k_heads * head_dim, norm_eps, offset=norm_offset)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
        memo: dict | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Mix the tokens of each row; `memo` lives for one forward pass (see `positions.once`)."""
        return self.wo(self._attend(x, positions, cache, memo)[0].flatten(2))

    def weights(self, x: Float[Tensor, "b t d"], positions: Int[Tensor, "b t"]) -> Float[Tensor, "b h t t"]:
        """How much each query takes from each key of the same `x`, without a cache."""
        return self._attend(x, positions, None, None, with_weights=True)[1]

    def project(
        self, x: Float[Tensor, "b t d"], positions: Int[Tensor, "b t"], memo: dict | None = None
    ) -> tuple[Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g v"]]:
        """Queries, keys and values of the tokens, normed and turned: what the cache is given."""
        q, k, v = self.wq(x), self.wk(x), self.wv(x)
        if self.qk_norm == "width":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.view(*x.shape[:2], -1, self.head_dim), k.view(*x.shape[:2], -1, self.head_dim)
        v = v.view(*x.shape[:2], -1, self.value_dim)
        if self.qk_norm == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rope is None:
            return q, k, v
        cos, sin = once(memo, ("rope", self.rope), lambda: self.rope.tables(positions, x.dtype))
        return apply_rope(q, cos, sin, self.rope.pairing), apply_rope(k, cos, sin, self.rope.pairing), v

    def _attend(self, x, positions, cache, memo, with_weights=False):
        queries, keys, values = self.project(x, positions, memo)
        key_positions = positions
        if cache is not None:
            keys, values, key_positions = cache.append(keys, values, positions)
        kind = (type(cache), self.window, keys.shape[1])  # layers of one kind share a mask
        mask = once(memo, ("mask", *kind), lambda: visible(positions, key_positions, self.window))
        qkv = queries, keys, values
        if with_weights or self.softcap is not None or self.sinks is not None:
            return attend(*qkv, mask, scale=self.scale, softcap=self.softcap, sinks=self.sinks)
        mask, causal = once(memo, ("simplest", *kind), lambda: simplest(mask))
        return attend_fused(*qkv, mask, causal=causal, scale=self.scale), None


def heads_in_a_group(heads: int, kv_heads: int) -> int:
    """r = h / g; a ValueError when g does not divide h."""
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"kv_heads={kv_heads}: allowed are the divisors of heads={heads}")
    return heads // kv_heads


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over the keys; a sink takes its share and is then dropped. Axes b g r t s."""
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    groups, in_group = scores.shape[1:3]
    column = sinks.to(scores.dtype).view(1, groups, in_group, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat((scores, column), dim=-1), dim=-1)[..., :-1]
