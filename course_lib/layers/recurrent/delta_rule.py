"""The delta rule: a state from keys to values that is corrected where it errs. What the
key recalls is taken out before the value is written, so that a key holds one value.

Symbols: b batch, t query position, s key position, h heads, k key width, v value width,
c chunk. State S [b h k v]; beta [b t h] how much of the error is corrected, 0 to 1; log
decay g, [b t h 1] one a head (gated DeltaNet) or [b t h k] one a channel (KDA), G its
sum since the chunk's start. Papers write alpha for exp(g), and S transposed.

    S <- exp(g_t) S;  S <- S + beta_t k_t (v_t - S^T k_t)^T;  y_t = S^T q_t

    recurrent  that, token by token
    parallel   the corrections u_t solve a triangular system: u_t is v_t less what S
               and the earlier u_s recall for k_t, times beta_t
    chunked    parallel within a chunk, and the state from chunk to chunk

With keys of length 1 and beta 1 the state returns for the last key exactly the last
value.

Terms:
    delta rule, DeltaNet, fast weights: what the key recalls is taken out before the
        value is written -> delta_rule_recurrent
    WY form, UT transform: the product of many corrections as one triangular system ->
        delta_rule_parallel
    channel-wise gate, fine-grained decay: each channel of a key forgets at its own
        rate -> delta_rule_recurrent
"""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.recurrent.linear_attention import (
    Keys,
    LogDecay,
    Mixed,
    State,
    Values,
    carried,
    decay_of,
    decayed_products,
    in_chunks,
)

Strength = Float[Tensor, "b t h"]


def delta_rule_recurrent(
    q: Keys,
    k: Keys,
    v: Values,
    beta: Strength,
    log_decay: LogDecay | None = None,
    *,
    state: State | None = None,
) -> Mixed:
    """The definition, token by token.

    *Equation*: S_t = (I - beta_t k_t k_t^T) exp(g_t) S_{t-1} + beta_t k_t v_t^T; y_t =
        S_t^T q_t.

    Args:
        q, k, v: queries, keys and values; keys of length 1 (`unit`) keep it stable.
        beta: how much of the error is corrected; 0 leaves the state, as padding needs.
        log_decay: g, at most 0; none when left out: the plain delta rule.
        state: of the tokens before; zeros when left out.

    Returns:
        y in the dtype of v, and the state after the last token, in float32 at least.

    *Cost*: 7 h k v FLOPs a token (1 to decay, 2 each to recall, to write, to read),
        state h k v.
    *Source*: Schlag et al. 2021, arXiv:2102.11174; gated, Yang et al. 2024, section 3,
        arXiv:2412.06464; a channel, Kimi Team 2025, arXiv:2510.26692.
    """
    dtype, (q, k, v, beta, log_decay, state) = _wide(q, k, v, beta, log_decay, state)
    rows, tensors = [], (q, k, v, beta, log_decay)
    for q_t, k_t, v_t, b_t, g_t in zip(*(x.unbind(1) for x in tensors), strict=True):
        state = g_t.exp()[..., None] * state
        recalled = torch.einsum("bhk,bhkv->bhv", k_t, state)
        correction = b_t[..., None] * (v_t - recalled)
        state = state + k_t[..., None] * correction[..., None, :]
        rows.append(torch.einsum("bhk,bhkv->bhv", q_t, state))
    y = torch.stack(rows, 1) if rows else torch.zeros_like(v)
    return y.to(dtype), state


def delta_rule_parallel(
    q: Keys,
    k: Keys,
    v: Values,
    beta: Strength,
    log_decay: LogDecay | None = None,
    *,
    state: State | None = None,
) -> Mixed:
    """The same for all tokens at once, the corrections by one triangular solve.

    *Equation*: (I + A) U = beta (V - exp(G) K S_0), A_ts = beta_t k_t . exp(G_t - G_s)
        k_s for s < t; then Y = exp(G) Q S_0 + (masked Q exp(G_t - G_s) K^T) U, linear
        attention with the corrections in the place of the values.

    *Cost*: h t^2 (2 k + 2 v) FLOPs and a triangular solve of t^2 v a head.
    *Source*: Yang et al. 2024, section 3, arXiv:2406.06484; gated, section 3,
        arXiv:2412.06464.
    *Differs from source*: the system is solved for the corrections themselves, with the
        state at the chunk's start on its right side, and no inverse is formed.
    """
    dtype, (q, k, v, beta, log_decay, state) = _wide(q, k, v, beta, log_decay, state)
    total = log_decay.cumsum(1)
    recalled = torch.einsum("bthk,bhkv->bthv", k * total.exp(), state)
    errors = (beta[..., None] * (v - recalled)).transpose(1, 2)  # [b h t v]
    system = decayed_products(beta[..., None] * k, k, total, total, strict=True)
    corrections = torch.linalg.solve_triangular(
        system, errors, upper=False, unitriangular=True
    ).transpose(1, 2)
    weights = decayed_products(q, k, total, total)
    y = torch.einsum("bhts,bshv->bthv", weights, corrections)
    y = y + torch.einsum("bthk,bhkv->bthv", q * total.exp(), state)
    return y.to(dtype), carried(state, k, corrections, log_decay, total)


def delta_rule_chunked(
    q: Keys,
    k: Keys,
    v: Values,
    beta: Strength,
    log_decay: LogDecay | None = None,
    *,
    state: State | None = None,
    chunk: int = 64,
) -> Mixed:
    """The same, `chunk` tokens at a time, the last chunk shorter where it must be.

    *Cost*: linear in t. With gates a channel, c^2 h k numbers a chunk are held for the
        decays: take a shorter chunk.
    """
    tensors = q, k, v, beta, decay_of(k, log_decay)
    return in_chunks(delta_rule_parallel, tensors, state, chunk)


def unit(x: Keys, eps: float = 1e-6) -> Keys:
    """Bring each vector to length 1: x / sqrt(sum of x^2 + eps).

    >>> unit(torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)).flatten()
    tensor([0.6000, 0.8000])
    """
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)


def _wide(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay, state
) -> tuple[torch.dtype, tuple[Tensor, ...]]:
    """The dtype of v, and all tensors in float32 at least, with what is left out."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    if state is None:
        state = v.new_zeros(k.shape[0], *k.shape[2:], v.shape[-1])
    tensors = q, k, v, beta, decay_of(k, log_decay), state
    return v.dtype, tuple(x.to(dtype) for x in tensors)
