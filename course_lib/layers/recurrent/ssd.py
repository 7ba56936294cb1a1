"""State-space duality (SSD): with one decay a head, the scan is masked attention, and
chunks of it are matrix products.

Symbols: b batch, t tokens (s for earlier ones), h heads, v numbers a head (P in the
paper), g groups of B and C, n state (N), T tokens a chunk. Inputs x [b t h v], step
sizes dt [b t h], decay rates A [h] below zero, B and C [b t g n], state H [b h v n].

    H_t = exp(dt_t A) H_{t-1} + dt_t x_t B_t^T      y_t = H_t C_t

    ssd_recurrent  a loop over tokens: the reference
    ssd_parallel   masked attention: C are queries, B keys, x values; the mask decays
    ssd_chunked    attention inside a chunk, the state between chunks

Terms:
    state-space duality, structured masked attention, semiseparable matrix: one matrix
        of t x t, multiplied as a recurrence or as masked attention -> ssd_parallel
    chunked SSD, SSD algorithm: attention inside a chunk, a recurrence between chunks ->
        ssd_chunked
    segment sum: the log decay from one token to a later one, as a difference of running
        sums, never above zero -> log_decays
"""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.caches.contract import check_sizes

Inputs = Float[Tensor, "b t h v"]
Steps = Float[Tensor, "b t h"]
Rates = Float[Tensor, " h"]
Shared = Float[Tensor, "b t g n"]
State = Float[Tensor, "b h v n"]

CHUNK = 64


def ssd_recurrent(
    x: Inputs, dt: Steps, a: Rates, b: Shared, c: Shared, state: State | None = None
) -> tuple[Inputs, State]:
    """SSD as its equation reads: the reference for the other forms, and the step of a
    decode.

    Args:
        x, dt: of each token and head; where dt is 0 the state stays as it is.
        a: below zero. b, c: shared by the h / g heads of a group.
        state: after the tokens before; zeros when left out.

    Returns:
        y [b t h v] and the state after the last token.

    *Cost*: 5 h v n FLOPs a token; the state has h v n numbers.
    *Source*: Dao and Gu 2024, eq. 2 and section 5, arXiv:2405.21060.
    """
    heads, groups = x.shape[2], b.shape[2]
    b, c = (one.repeat_interleave(heads // groups, dim=2) for one in (b, c))
    state, outputs = _start(x, b, state), []
    tokens = (one.unbind(1) for one in (x, dt, b, c))
    for x_t, dt_t, b_t, c_t in zip(*tokens, strict=True):
        written = (dt_t[..., None] * x_t)[..., None] * b_t[:, :, None]
        state = torch.exp(dt_t * a)[..., None, None] * state + written
        outputs.append((state * c_t[:, :, None]).sum(-1))
    return torch.stack(outputs, 1) if outputs else x, state


def ssd_parallel(
    x: Inputs, dt: Steps, a: Rates, b: Shared, c: Shared, state: State | None = None
) -> tuple[Inputs, State]:
    """SSD as attention without a softmax: one matrix a head, masked by the decay.

    *Equation*: y = (L * C B^T) (dt x), with L_ts = exp(A (dt_{s+1} + ... + dt_t)) for s
        <= t and 0 for s > t; what an earlier state adds decays by exp(A (dt_1 + ... +
        dt_t)).

    Args and Returns: as in `ssd_recurrent`.

    *Cost*: 2 h t^2 (n + v) FLOPs, h t^2 numbers in memory.
    *Source*: Dao and Gu 2024, section 4 and eq. 16, arXiv:2405.21060.
    """
    b, c = (one.repeat_interleave(x.shape[2] // b.shape[2], dim=2) for one in (b, c))
    state, written = _start(x, b, state), x * dt[..., None]
    if not x.shape[1]:
        return x, state
    total = (dt * a).transpose(1, 2).cumsum(-1)  # [b h t]
    scores = torch.einsum("bthn,bshn->bhts", c, b) * log_decays(total).exp_()
    y = torch.einsum("bhts,bshv->bthv", scores, written)
    before = torch.einsum("bthn,bhvn->bthv", c, state)
    y = y + total.exp().transpose(1, 2)[..., None] * before
    to_end = (total[..., -1:] - total).exp()
    added = torch.einsum("bht,bthv,bthn->bhvn", to_end, written, b)
    return y, total[..., -1].exp()[..., None, None] * state + added


def ssd_chunked(
    x: Inputs,
    dt: Steps,
    a: Rates,
    b: Shared,
    c: Shared,
    state: State | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Inputs, State]:
    """SSD in chunks: the diagonal blocks of the matrix as attention, the blocks below
    them through the states at chunk starts.

    Args:
        x, dt, a, b, c, state: as in `ssd_recurrent`.
        chunk: T. Time inside chunks grows with t T, the rest with t.

    Returns:
        y [b t h v] and the state after the last token.

    Raises:
        ValueError: `chunk` is below 1.

    *Cost*: 2 t h (T (n + v) + 2 n v) FLOPs, all in matrix products.
    *Source*: Dao and Gu 2024, section 6 and Listing 1, arXiv:2405.21060.
    """
    check_sizes({"chunk": chunk})
    length, groups = x.shape[1], b.shape[2]
    state = _start(x, b, state)
    if not length:
        return x, state
    chunk = min(chunk, length)  # a short text is one chunk, without padding
    # c chunk, r head in its group; a step size of 0 in the padding keeps the state
    xs = _in_chunks(x * dt[..., None], chunk).unflatten(
        3, (groups, -1)
    )  # [b c T g r v]
    logs = _in_chunks(dt * a, chunk).unflatten(3, (groups, -1))  # [b c T g r]
    bs, cs = _in_chunks(b, chunk), _in_chunks(c, chunk)  # [b c T g n]
    logs = logs.permute(0, 1, 3, 4, 2)  # [b c g r T]
    total = logs.cumsum(-1)
    # 1. diagonal blocks: attention inside each chunk
    scores = torch.einsum("bctgn,bcsgn->bcgts", cs, bs)
    weights = scores[:, :, :, None] * log_decays(total).exp_()
    y = torch.einsum("bcgrts,bcsgrv->bctgrv", weights, xs)
    # 2. what each chunk adds to the state at its end
    to_end = (total[..., -1:] - total).exp().permute(0, 1, 4, 2, 3)  # [b c T g r]
    added = torch.einsum("bcsgrv,bcsgn->bcgrvn", xs * to_end[..., None], bs)
    # 3. the state at the start of each chunk
    kept, h, starts = total[..., -1].exp(), state.unflatten(1, (groups, -1)), []
    for kept_c, added_c in zip(kept.unbind(1), added.unbind(1), strict=True):
        starts.append(h)
        h = kept_c[..., None, None] * h + added_c
    # 4. blocks below the diagonal: what the state at the start gives to each token
    from_start = total.exp().permute(0, 1, 4, 2, 3)  # [b c T g r]
    before = torch.einsum("bctgn,bcgrvn->bctgrv", cs, torch.stack(starts, 1))
    y = y + from_start[..., None] * before
    return y.flatten(3, 4).flatten(1, 2)[:, :length], h.flatten(1, 2)


def log_decays(total: Float[Tensor, "*axes t"]) -> Float[Tensor, "*axes t t"]:
    """The log decay from each token s to each later t, minus infinity for s > t.

    Args:
        total: running sums of the log decays, each below zero.

    A difference of two running sums is never above zero, so that its exp cannot
    overflow; a product of exp(total_t) and exp(-total_s) can (`scan.two_cumsums`).

    >>> log_decays(torch.tensor([-1.0, -3.0, -6.0])).exp()[2].log().round().tolist()
    [-5.0, -3.0, 0.0]
    """
    later = torch.ones(total.shape[-1:] * 2, dtype=torch.bool, device=total.device)
    between = total[..., :, None] - total[..., None, :]
    return between.masked_fill_(~later.tril(), -torch.inf)


def _start(x: Tensor, b: Tensor, state: Tensor | None) -> Tensor:
    """The state before the first token."""
    batch, _, heads, width = x.shape
    return x.new_zeros(batch, heads, width, b.shape[-1]) if state is None else state


def _in_chunks(x: Tensor, chunk: int) -> Tensor:
    """[b t ...] to [b c T ...], zeros behind the last token."""
    missing = -x.shape[1] % chunk
    filled = torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], dim=1)
    return filled.unflatten(1, (-1, chunk))
