"""Scaled dot-product attention: MHA, GQA and MQA are one formula with another number of
KV groups.

Symbols: h query heads, g KV groups, r = h / g heads in a group, k key width, v value
width. Papers write n_h and n_kv, or H and G. g = h is multi-head, g = 1 multi-query,
between them grouped-query attention. Query head i attends with KV group i // r, so the
heads of a group lie next to each other.

Three forms of one function, equal in the tests: `attention_naive` (loops, the
reference), `attend` (two einsums, readable, with weights, softcap and sinks) and,
beside the layer that uses it `layer.attend_sdpa` (PyTorch's kernel, the fast one).
Each takes a mask [b t s], True where a query attends to a key, and a bias on the scores
(`positions.bias`).

Terms:
    attention, scaled dot-product attention, softmax attention: the mean of the values,
        weighted by softmax(q k / sqrt(d_k)) -> attend, attention_naive
    MHA, multi-head attention: each of h query heads has its own keys and values, g = h
        -> attend
    GQA, grouped-query attention: g KV heads, each shared by h / g query heads -> attend
    MQA, multi-query attention: one KV head for all query heads, g = 1 -> attend
    KV head, KV group, key/value head: one set of keys and values, and the h / g query
        heads that share it -> queries_per_kv_head
    attention sinks, attention sink: a learned score a head in the softmax that has no
        value, so that a row of weights may sum to less than 1 -> attend
    logit softcap, softcapping: scores are bent to c tanh(z / c), and stay between -c
        and c -> attend
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def attention_naive(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    mask: Bool[Tensor, "b t s"],
    scale: float | None = None,
    bias: Float[Tensor, "b h t s"] | None = None,
) -> Float[Tensor, "b t h v"]:
    """Attention as the definition reads: one row, one head, one query at a time.

    *Equation*: y_i = sum_j softmax_j(scale * q_i . K_j + bias_ij) V_j over the j it
        attends to; zeros if it attends to none.
    *Source*: Vaswani et al. 2017, eq. 1, arXiv:1706.03762; Ainslie et al. 2023,
        arXiv:2305.13245 (groups).
    """
    batch, length, heads, width = queries.shape
    scale = width**-0.5 if scale is None else scale
    heads_per_group = queries_per_kv_head(heads, keys.shape[2])
    out = values.new_zeros(batch, length, heads, values.shape[-1])
    for b in range(batch):
        for h in range(heads):
            group = h // heads_per_group
            for t in range(length):
                seen = mask[b, t]
                if seen.any():
                    scores = keys[b, seen, group] @ queries[b, t, h] * scale
                    scores = scores if bias is None else scores + bias[b, h, t, seen]
                    out[b, t, h] = torch.softmax(scores, dim=0) @ values[b, seen, group]
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
    bias: Float[Tensor, "b h t s"] | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h t s"]]:
    """Attention of h heads over g groups without repeating a key or a value.

    *Equation*: a = softmax(cap(scale * q . K) + bias), y = a V, cap(z) = c tanh(z / c)
        under a softcap c.

    Args:
        queries, keys, values: of h heads and g groups; g divides h.
        mask: True where a query attends to a key.
        scale, softcap: factor on the scores, 1 / sqrt(k) when left out; c, the largest
            score in size.
        sinks: one learned score a head that joins the softmax and has no value.
        bias: added to each head's scores, as ALiBi and T5 do.

    Returns:
        (y, a): outputs and weights. A row of a sums to 1, to less with sinks, to 0 if
        its query attends to nothing.

    Raises:
        ValueError: g does not divide h.

    *Cost*: 2 b t s h (k + v) FLOPs; reads b s g (k + v) numbers, h / g times fewer than
        g = h does.
    *Source*: Ainslie et al. 2023, section 2.2, arXiv:2305.13245; g = 1, Shazeer 2019,
        arXiv:1911.02150; softcap, Gemma 2, arXiv:2408.00118; sinks, gpt-oss model card,
        arXiv:2508.10925.

    >>> q, k = torch.zeros(1, 1, 4, 2), torch.zeros(1, 2, 1, 2)
    >>> v = torch.tensor([0.0, 8.0]).reshape(1, 2, 1, 1)
    >>> y, weights = attend(q, k, v, torch.ones(1, 1, 2, dtype=torch.bool))
    >>> y.flatten().tolist(), tuple(weights.shape)
    ([4.0, 4.0, 4.0, 4.0], (1, 4, 1, 2))
    """
    groups, seen = keys.shape[2], mask[:, None, None]  # axes b g r t s
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    grouped = queries.unflatten(
        2, (groups, queries_per_kv_head(queries.shape[2], groups))
    )
    scores = torch.einsum("btgrk,bsgk->bgrts", grouped, keys) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias.unflatten(1, (groups, -1))
    weights = _softmax(scores.masked_fill(~seen, torch.finfo(scores.dtype).min), sinks)
    weights = weights.masked_fill(
        ~seen, 0.0
    )  # only changes rows that attend to nothing
    y = torch.einsum("bgrts,bsgv->btgrv", weights, values)
    return y.flatten(2, 3), weights.flatten(1, 2)


def queries_per_kv_head(heads: int, kv_heads: int) -> int:
    """r = h / g; a ValueError when g does not divide h."""
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(
            f"kv_heads={kv_heads}: allowed are the divisors of heads={heads}"
        )
    return heads // kv_heads


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over the keys; a sink takes its share and is then dropped. Axes b g r t
    s.
    """
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    groups, in_group = scores.shape[1:3]
    column = (
        sinks.to(scores.dtype)
        .view(1, groups, in_group, 1, 1)
        .expand(*scores.shape[:-1], 1)
    )
    return torch.softmax(torch.cat((scores, column), dim=-1), dim=-1)[..., :-1]
