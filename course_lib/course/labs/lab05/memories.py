"""Lab 5: the checks' own WKV and delta rule, step by step; each takes the name of a
slip and then makes it.

Symbols: b batch, t tokens, d channels, k key width, v value width; a chunk's log decays
add up to `total`.
"""

import torch
from torch import Tensor

Sums = tuple[Tensor, Tensor, Tensor]


def wkv(
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Sums | None,
    slip: str = "",
) -> tuple[Tensor, Sums]:
    """RWKV-4's mean with a running maximum."""
    if slip == "raw_decay":
        log_decay = -log_decay.exp()
    decay = -log_decay if slip == "sign" else log_decay
    if slip == "no_decay":
        decay = torch.zeros_like(log_decay)
    own_bonus = torch.zeros_like(bonus) if slip == "bonus" else bonus
    if state is None or slip == "state":
        none = torch.full_like(k[:, 0], -torch.inf)
        state = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0]), none
    num, den, top = state
    rows = []
    for k_t, v_t in zip(k.unbind(1), v.unbind(1), strict=True):
        past_top = top + decay if slip == "decay_first" else top
        most = torch.maximum(past_top, own_bonus + k_t)
        past, own = (past_top - most).exp(), (own_bonus + k_t - most).exp()
        own = torch.zeros_like(own) if slip == "past_only" else own
        above, below = past * num + own * v_t, past * den + own
        if slip == "den_bonus":
            below = past * den + (k_t - most).exp()
        rows.append(above * most.exp() if slip == "sum" else above / below)
        most = torch.maximum(top + decay, k_t)
        past, own = (top + decay - most).exp(), (k_t - most).exp()
        num, den, top = past * num + own * v_t, past * den + own, most
    return torch.stack(rows, 1), (num, den, top)


def delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor | None,
    slip: str = "",
) -> tuple[Tensor, Tensor]:
    """The gated delta rule, token by token; state [b k v]."""
    if state is None or slip == "state":
        state = v.new_zeros(len(v), k.shape[2], v.shape[2])
    rows, tensors = [], (q, k, v, beta, log_decay)
    for q_t, k_t, v_t, b_t, g_t in zip(*(x.unbind(1) for x in tensors), strict=True):
        before, rate = state, g_t.exp()[:, None, None]
        rate = torch.ones_like(rate) if slip == "no_decay" else rate
        rate = g_t[:, None, None] if slip == "log_decay" else rate
        late = slip == "decay_late"
        kept = state if late else rate * state
        source = state if slip == "stale" else kept
        recalled = torch.einsum("bk,bkv->bv", k_t, source)
        error = b_t[:, None] * (v_t - recalled)
        error = {
            "sum": b_t[:, None] * v_t,
            "beta_value": b_t[:, None] * v_t - recalled,
            "beta_recalled": v_t - b_t[:, None] * recalled,
            "no_beta": v_t - recalled,
            "wrong_way": b_t[:, None] * (v_t + recalled),
        }.get(slip, error)
        state = kept + k_t[:, :, None] * error[:, None]
        state = rate * state if late else state
        read = before if slip == "read_before" else state
        asked = k_t if slip == "key_asked" else q_t
        asked = q_t / q_t.shape[1] ** 0.5 if slip == "scaled" else asked
        rows.append(torch.einsum("bk,bkv->bv", asked, read))
    return torch.stack(rows, 1), state


def delta_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    slip: str = "",
) -> tuple[Tensor, Tensor]:
    """One chunk of the gated delta rule: the corrections by a triangular solve."""
    total = log_decay.cumsum(1)
    gaps = total[:, :, None] - total[:, None]  # [b t s]
    seen = torch.ones_like(gaps[0], dtype=torch.bool).tril()
    share = gaps.masked_fill(~seen, -torch.inf).exp()
    if slip == "system_decay":
        share_of_system = seen.to(share.dtype).expand_as(share)
    else:
        share_of_system = share
    short = slip in ("inflow", "inflow_all")
    inflow = total - log_decay if short else total
    inflow = torch.zeros_like(total) if slip == "inflow_none" else inflow
    recalled = inflow.exp()[..., None] * (k @ state)
    products = beta[..., None] * share_of_system * (k @ k.mT)
    if slip == "no_system":
        products = torch.zeros_like(products)
    corrections = torch.linalg.solve_triangular(
        products, beta[..., None] * (v - recalled), upper=False, unitriangular=True
    )
    weights = share * (q @ k.mT)
    weights = weights.tril(-1) if slip == "diagonal" else weights
    y = weights @ corrections + inflow.exp()[..., None] * (q @ state)
    if slip == "inflow_read":
        y = weights @ corrections + q @ state
    left = total[:, -1:] - total
    left = left + log_decay if slip == "carry" else left
    left = torch.zeros_like(left) if slip == "carry_none" else left
    kept = (inflow if slip == "inflow_all" else total)[:, -1].exp()
    kept = torch.ones_like(kept) if slip == "state_decay" else kept
    state = kept[:, None, None] * state
    return y, state + (left.exp()[..., None] * k).mT @ corrections


def delta_chunked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor | None,
    chunk: int,
    slip: str = "",
) -> tuple[Tensor, Tensor]:
    """The same, `chunk` tokens at a time."""
    if state is None or slip == "start":
        state = v.new_zeros(len(v), k.shape[2], v.shape[2])
    rows, start = [], state
    for first in range(0, q.shape[1], chunk):
        now = slice(first, first + chunk)
        given = (x[:, now] for x in (q, k, v, beta, log_decay))
        y, state = delta_chunk(*given, start if slip == "fixed" else state, slip)
        rows.append(y)
    return torch.cat(rows, 1), state
