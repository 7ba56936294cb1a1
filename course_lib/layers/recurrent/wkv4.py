"""RWKV-4's recurrence (WKV): for each channel, a mean of the values so far. Each value
has the weight e^k; weights decay with distance, and the current token has a bonus.

Symbols: b batch, t query position, s key position, d channels; log decay g below 0,
bonus u. The state is numerator A, denominator B and running maximum m: A and B are kept
divided by e^m, so that no exponential is above 1. Papers write w for -g, and the code
of the authors aa, bb, pp for A, B, m.

    recurrent  read with the bonus, then decay and write: one step a token
    parallel   a softmax over the past for each channel, with scores k_s + (t - 1 - s) g
    chunked    parallel within a chunk, and the state from chunk to chunk

The token before the current one has not decayed (g counts t - 1 - s times, not t - s),
and the bonus is on the current token alone: once it is part of the past, u is gone.

Terms:
    WKV, RWKV-4 recurrence: a mean over the past whose weights decay, with a bonus for
        the current token -> wkv4_recurrent, wkv4_parallel
    running maximum, stable form of WKV: sums are kept divided by e to the largest
        exponent so far -> wkv4_recurrent
    bonus, time_first: a weight of its own for the current token -> wkv4_recurrent
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.layers.recurrent.linear_attention import in_chunks

Channels = Float[Tensor, "b t d"]
Channel = Float[Tensor, " d"]
Sums = tuple[Float[Tensor, "b d"], Float[Tensor, "b d"], Float[Tensor, "b d"]]

NOTHING = -1e38
"""In the place of minus infinity for the running maximum: it can be subtracted from
itself."""


def wkv4_naive(
    k: Channels, v: Channels, log_decay: Channel, bonus: Channel
) -> Channels:
    """RWKV-4's mean as its equation reads, without state and without a maximum: in
    float32 a key above 88 makes it infinity over infinity.

    *Source*: Peng et al. 2023, section 3, arXiv:2305.13048.
    """
    rows, num, den = [], 0.0, 0.0
    for k_t, v_t in zip(k.unbind(1), v.unbind(1), strict=True):
        own = (bonus + k_t).exp()
        rows.append((num + own * v_t) / (den + own))
        num = log_decay.exp() * num + k_t.exp() * v_t
        den = log_decay.exp() * den + k_t.exp()
    return torch.stack(rows, 1)


def wkv4_recurrent(
    k: Channels,
    v: Channels,
    log_decay: Channel,
    bonus: Channel,
    *,
    state: Sums | None = None,
    kept: Bool[Tensor, "b t"] | None = None,
) -> tuple[Channels, Sums]:
    """RWKV-4's mean, token by token, stable for keys of any size.

    *Equation*: y_t = (A e^m + e^(u + k_t) v_t) / (B e^m + e^(u + k_t)); then A e^m <-
        e^(g + m) A + e^(k_t) v_t, B alike, and m the larger of g + m and k_t.

    Args:
        k, v: keys (exponents) and values.
        log_decay, bonus: g, below 0, and u, for each channel.
        state: A, B and m of the tokens before; zeros for none, whatever m is.
        kept: which tokens are no padding; all when left out.

    Returns:
        y, and (A, B, m) after the last token.

    *Cost*: 8 d FLOPs and 4 exponentials a channel and token; state 3 d.
    *Source*: Peng et al. 2023, arXiv:2305.13048.
    """
    (k, v), dtype, (num, den, top) = _wide(k, v), v.dtype, _sums(k, state)
    kept = torch.ones_like(k[..., 0], dtype=torch.bool) if kept is None else kept
    rows, tokens = [], zip(k.unbind(1), v.unbind(1), kept.unbind(1), strict=True)
    for k_t, v_t, kept_t in tokens:
        most = torch.maximum(top, bonus + k_t)  # read, with the bonus
        past, own = (top - most).exp(), (bonus + k_t - most).exp()
        rows.append((past * num + own * v_t) / (past * den + own))
        most = torch.maximum(top + log_decay, k_t)  # write, without it
        past, own = (top + log_decay - most).exp(), (k_t - most).exp()
        after = past * num + own * v_t, past * den + own, most
        num, den, top = (
            torch.where(kept_t[:, None], new, old)
            for new, old in zip(after, (num, den, top), strict=True)
        )
    y = torch.stack(rows, 1) if rows else torch.zeros_like(v)
    return y.to(dtype), (num, den, top)


def wkv4_parallel(
    k: Channels,
    v: Channels,
    kept: Bool[Tensor, "b t"],
    log_decay: Channel,
    bonus: Channel,
    *,
    state: Sums | None = None,
) -> tuple[Channels, Sums]:
    """The same for all tokens at once: a softmax over the past for each channel, whose
    scores do not depend on the query. The state is one more entry of it.

    *Cost*: t^2 exponentials a channel.
    """
    (k, v), dtype, (num, den, top) = _wide(k, v), v.dtype, _sums(k, state)
    t, own = k.shape[1], kept[..., None].to(k.dtype)
    count = own.cumsum(1)  # tokens up to this one [b t 1]
    before, whole = count - own, count[:, -1:]
    future = torch.ones(t, t, dtype=torch.bool, device=k.device).triu()
    hidden = (future | ~kept[:, None])[..., None]  # [b t s 1]

    past = k[:, None] + log_decay * (before[:, :, None] - count[:, None])
    past = past.masked_fill(hidden, float("-inf"))
    first = top[:, None] + log_decay * before
    scores = torch.cat([first[:, :, None], (bonus + k)[:, :, None], past], 2)
    shares = (scores - scores.amax(2, keepdim=True)).exp()  # state, own, past
    above = shares[:, :, 0] * num[:, None] + shares[:, :, 1] * v
    above = above + torch.einsum("btsd,bsd->btd", shares[:, :, 2:], v)
    y = above / (shares[:, :, 0] * den[:, None] + shares[:, :, 1:].sum(2))

    left = k + log_decay * (whole - count)
    left = left.masked_fill(~kept[..., None], float("-inf"))
    first = top + log_decay * whole[:, 0]
    most = torch.maximum(first, left.amax(1))
    share, shares = (first - most).exp(), (left - most[:, None]).exp()
    num, den = share * num + (shares * v).sum(1), share * den + shares.sum(1)
    return y.to(dtype), (num, den, most)


def wkv4_chunked(
    k: Channels,
    v: Channels,
    log_decay: Channel,
    bonus: Channel,
    *,
    state: Sums | None = None,
    kept: Bool[Tensor, "b t"] | None = None,
    chunk: int = 32,
) -> tuple[Channels, Sums]:
    """The same, `chunk` tokens at a time: c exponentials a channel and token."""
    kept = torch.ones_like(k[..., 0], dtype=torch.bool) if kept is None else kept
    fixed = {"log_decay": log_decay, "bonus": bonus}
    return in_chunks(wkv4_parallel, (k, v, kept), state, chunk, **fixed)


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    return tuple(x.to(wide) for x in tensors)


def _sums(k: Channels, state: Sums | None) -> Sums:
    if state is None:
        state = (torch.zeros_like(k[:, 0]),) * 3
    num, den, top = _wide(*state)
    return num, den, torch.where(den == 0, NOTHING, top)  # no token yet
