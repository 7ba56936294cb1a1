"""RWKV from version 4 to 7 in one recurrence table.

Symbols: b batch, t query position, s key position, h heads, k and v widths of keys and
values, state S [b h k v]; log decay g below 0, receptance r (the query), bonus u, and
in version 7 the key kappa by which is removed, at the rate a. Papers write w for exp(g)
and S transposed.

    S_t = (diag(exp(g_t)) - (a_t kappa_t) kappa_t^T) S_{t-1} + k_t v_t^T
    y_t = (S_{t-1} + u k_t v_t^T)^T r_t  with a bonus, else  S_t^T r_t

    4  keys e^k of width 1, values (v, 1), r = 1: a head is a channel, and y is the
       ratio of both numbers; g is fixed (`wkv4` has the stable form)
    5  a matrix a head; g is fixed
    6  the same, but g depends on the token
    7  g depends on the token, and kappa removes what it recalls, as the delta rule
       does; a bonus comes behind the recurrence

In 4 to 6 the state is read before it decays: the pair before the current one counts
exp(g)^0, not exp(g)^1.

Terms:
    RWKV-5, Eagle, RWKV-6, Finch, RWKV-7, Goose: versions of RWKV with a matrix as their
        state -> VERSIONS, wkv_recurrent
    generalised delta rule, in-context learning rate: what is removed, by which key and
        how much a channel, is apart from what is written -> wkv_recurrent
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.layers.recurrent.linear_attention import (
    Bonus,
    Keys,
    LogDecay,
    Mixed,
    State,
    Values,
    carried,
    decayed_products,
    in_chunks,
    linear_attention_chunked,
)


@dataclass(frozen=True)
class Version:
    """What one version of RWKV has of the recurrence.

    Attributes:
        per_head: numbers in the state of a head of key width k and value width v.
        decay: "fixed", or "token" where it depends on the token.
        bonus: whether the state is read before the current token is written, which
            counts u by itself.
        removes: whether what a key recalls is removed before a value is written.
        source: where its equations stand.
    """

    per_head: str
    decay: str
    bonus: bool
    removes: bool
    source: str


VERSIONS = {
    4: Version("3 (k = v = 1)", "fixed", True, False, "arXiv:2305.13048"),
    5: Version("k v", "fixed", True, False, "arXiv:2404.05892"),
    6: Version("k v", "token", True, False, "arXiv:2404.05892"),
    7: Version("k v", "token", False, True, "arXiv:2503.14456"),
}
"""The versions whose recurrence `wkv_recurrent` computes."""


def wkv_recurrent(
    r: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay,
    *,
    bonus: Bonus | None = None,
    kappa: Keys | None = None,
    rate: Keys | None = None,
    state: State | None = None,
) -> Mixed:
    """The recurrence of all versions, token by token.

    *Equation*: that of this module's header.

    Args:
        r, k, v: receptance (the query), keys and values.
        log_decay: g, one a head or one a channel, below 0.
        bonus: u, in versions 4 to 6.
        kappa, rate: in version 7, the key by which is removed, of length 1, and how
            much of what it recalls is removed, 0 to 1 for each channel.
        state: of the tokens before; zeros when left out.

    Returns:
        y in the dtype of v, and the state after the last token, in float32 at least.

    With the same rate beta in all channels, keys beta kappa and no decay, this is the
    delta rule.

    *Cost*: 5 h k v FLOPs a token, 9 where something is removed; state h k v.
    *Source*: Peng et al. 2024, arXiv:2404.05892; Peng et al. 2025,
        arXiv:2503.14456.
    """
    dtype, state = v.dtype, _start(k, v) if state is None else state
    kappa, rate = _removal(k, kappa, rate)
    tensors, rows = _wide(r, k, v, log_decay, kappa, rate), []
    for r_t, k_t, v_t, g_t, kappa_t, a_t in zip(
        *(x.unbind(1) for x in tensors), strict=True
    ):
        before, pair = state, k_t[..., None] * v_t[..., None, :]
        recalled = torch.einsum("bhk,bhkv->bhv", kappa_t, before)
        state = g_t.exp()[..., None] * before + pair
        state = state - (a_t * kappa_t)[..., None] * recalled[..., None, :]
        read = state if bonus is None else before + bonus[..., None] * pair
        rows.append(torch.einsum("bhk,bhkv->bhv", r_t, read))
    y = torch.stack(rows, 1) if rows else torch.zeros_like(v)
    return y.to(dtype), state


def wkv_chunked(
    r: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay,
    *,
    bonus: Bonus | None = None,
    kappa: Keys | None = None,
    rate: Keys | None = None,
    state: State | None = None,
    chunk: int = 32,
) -> Mixed:
    """The same, `chunk` tokens at a time: linear attention with a bonus where nothing
    is removed, else `wkv7_parallel`.

    Raises:
        ValueError: a bonus and kappa together, which no version has.
    """
    kept, (given, rate) = {"state": state, "chunk": chunk}, _removal(k, kappa, rate)
    if kappa is None:
        return linear_attention_chunked(r, k, v, log_decay, bonus=bonus, **kept)
    if bonus is not None:
        raise ValueError("bonus is set: allowed with kappa is None")
    tensors = r, k, v, log_decay, given, rate
    return in_chunks(wkv7_parallel, tensors, state, chunk)


def wkv7_parallel(
    r: Keys,
    k: Keys,
    v: Values,
    log_decay: LogDecay,
    kappa: Keys,
    rate: Keys,
    *,
    state: State | None = None,
) -> Mixed:
    """The same for all tokens at once: what the keys recall solves a triangular system.

    *Equation*: (I + A) P = exp(G - g) kappa S_0 + B V, with A and B the products of
        kappa_t with a_s kappa_s and with k_s, decayed from s to before t, for s < t.

    *Cost*: as `delta_rule_parallel`, with twice its products.
    """
    dtype, tensors = v.dtype, _wide(r, k, v, log_decay, kappa, rate)
    r, k, v, log_decay, kappa, rate = tensors
    state = _start(k, v) if state is None else state
    total = log_decay.cumsum(1)
    before = total - log_decay
    found = decayed_products(kappa, k, before, total, strict=True) @ v.transpose(1, 2)
    found = found + torch.einsum("bthk,bhkv->bhtv", kappa * before.exp(), state)
    system = decayed_products(kappa, rate * kappa, before, total, strict=True)
    recalled = torch.linalg.solve_triangular(
        system, found, upper=False, unitriangular=True
    ).transpose(1, 2)
    removed = -rate * kappa
    y = decayed_products(r, k, total, total) @ v.transpose(1, 2)
    y = y + decayed_products(r, removed, total, total) @ recalled.transpose(1, 2)
    y = y.transpose(1, 2) + torch.einsum("bthk,bhkv->bthv", r * total.exp(), state)
    after = carried(state, k, v, log_decay, total)
    zero = torch.zeros_like(after)
    return y.to(dtype), after + carried(zero, removed, recalled, log_decay, total)


def _removal(k: Keys, kappa: Keys | None, rate: Keys | None) -> tuple[Keys, Keys]:
    if (kappa is None) != (rate is None):
        raise ValueError("kappa and rate: allowed are both or neither")
    nothing = torch.zeros_like(k)
    return (nothing, nothing) if kappa is None else (kappa, rate)


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    return tuple(x.to(wide) for x in tensors)


def _start(k: Keys, v: Values) -> State:
    wide = torch.promote_types(v.dtype, torch.float32)
    return v.new_zeros(k.shape[0], *k.shape[2:], v.shape[-1], dtype=wide)
