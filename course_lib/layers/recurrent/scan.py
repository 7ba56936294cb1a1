"""The selective scan: a diagonal linear recurrence whose decay, input and output depend
on the token, in four forms of one function.

Symbols: b batch, t tokens, i inner channels, n state a channel, T tokens a chunk. Step
size dt [b t i], decay rates A [i n] below zero, input B [b t n], output C [b t n]. The
paper writes Delta for dt, x for u and N for n.

    h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t      state, [i n]
    y_t = C_t . h_t                               summed over n

    selective_scan_recurrent  a loop in Python: the reference
    selective_scan_chunked    the same loop in place, with a backward of its own
    selective_scan_parallel   pairs (decay, input) combined in log2(t) rounds
    two_cumsums               a popular shortcut, wrong in float32: not used

Terms:
    selective scan: a recurrence h_t = a_t h_{t-1} + x_t whose decay and input depend
        on the token -> selective_scan_recurrent, selective_scan_chunked
    associative scan, parallel scan, prefix scan: all states in log2(t) rounds, since
        steps combine in any grouping -> selective_scan_parallel
    recomputation of states: the backward makes states again from those at chunk starts,
        in place of keeping them all -> selective_scan_chunked
    two-cumsum trick: a scan as a quotient of running sums, which overflows ->
        two_cumsums
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Channels = Float[Tensor, "b t i"]
Rates = Float[Tensor, "i n"]
Shared = Float[Tensor, "b t n"]
State = Float[Tensor, "b i n"]

CHUNK = 32


def selective_scan_recurrent(
    u: Channels,
    dt: Channels,
    a: Rates,
    b: Shared,
    c: Shared,
    state: State | None = None,
) -> tuple[Channels, State]:
    """The scan as its equation reads: the reference for the other forms, and the step
    of a decode.

    Args:
        u, dt, b, c: of each token; dt from zero on. Where dt is 0 the state stays as
            it is.
        a: below zero.
        state: after the tokens before; zeros when left out.

    Returns:
        y [b t i] and the state after the last token [b i n].

    *Cost*: 5 i n FLOPs a token beside the exponentials; the state has i n numbers. The
        backward keeps several [b i n] tensors for each token. It takes time linear in
        t, since `unbind` has one backward for all tokens; a loop over slices x[:, t] of
        a [b t i n] tensor writes a gradient of the full size for each, in all t^2.
    *Source*: Gu and Dao 2023, Algorithm 2, arXiv:2312.00752.

    >>> one = torch.ones(1, 3, 1)
    >>> y, state = selective_scan_recurrent(one, one, -torch.ones(1, 1), one, one)
    >>> [round(number, 4) for number in y.flatten().tolist()]  # 1, 1 + 1/e, ...
    [1.0, 1.3679, 1.5032]
    """
    h = _start(u, a, state)
    outputs = []
    tokens = (one.unbind(1) for one in (u, dt, b, c))
    for u_t, dt_t, b_t, c_t in zip(*tokens, strict=True):
        decay = torch.exp(dt_t[:, :, None] * a)  # [b i n]
        h = decay * h + (dt_t * u_t)[:, :, None] * b_t[:, None]
        outputs.append((h * c_t[:, None]).sum(-1))
    return torch.stack(outputs, 1) if outputs else u, h


def selective_scan_chunked(
    u: Channels,
    dt: Channels,
    a: Rates,
    b: Shared,
    c: Shared,
    state: State | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Channels, State]:
    """The scan chunk by chunk: the decays and inputs of T tokens are made at once, the
    loop over them works in place, and the backward needs the states at chunk starts
    alone.

    Args:
        u, dt, a, b, c, state: as in `selective_scan_recurrent`.
        chunk: T; the last chunk may be shorter. It changes time and memory, not the
            result.

    Returns:
        y [b t i] and the state after the last token.

    Raises:
        ValueError: `chunk` is below 1.

    *Cost*: forward as the loop. It keeps b i n t / T numbers for the backward, which
        makes the states again, so that forward and backward take time linear in t.
    *Source*: recomputation: Gu and Dao 2023, section 3.3.2, arXiv:2312.00752.
    *Differs from source*: there a fused GPU kernel; here PyTorch operations, time
        first.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: allowed are whole numbers from 1")
    if not u.shape[1]:
        return u, _start(u, a, state)
    return _ChunkedScan.apply(u, dt, a, b, c, _start(u, a, state), chunk)


def selective_scan_parallel(
    u: Channels,
    dt: Channels,
    a: Rates,
    b: Shared,
    c: Shared,
    state: State | None = None,
) -> tuple[Channels, State]:
    """The scan in log2(t) rounds, each of which combines every step with the one 1, 2,
    4, ... places before it.

    *Equation*: two steps in a row, h -> a_1 h + x_1 and h -> a_2 h + x_2, are the one
        step h -> (a_2 a_1) h + (a_2 x_1 + x_2). This is associative, so that steps may
        be combined in any grouping.

    Args and Returns: as in `selective_scan_recurrent`.

    *Cost*: b t i n log2(t) multiply-adds and all b t i n states in memory: more work
        than the loop, in fewer steps one after the other.
    *Source*: Hillis and Steele 1986, Data parallel algorithms; for state spaces, Smith
        et al. 2022 (S5), arXiv:2208.04933.
    """
    if not u.shape[1]:
        return u, _start(u, a, state)
    decay = torch.exp(dt[..., None] * a)  # [b t i n]
    x = (dt * u)[..., None] * b[:, :, None]
    before = decay[:, :1] * _start(u, a, state)[:, None]
    x = torch.cat([x[:, :1] + before, x[:, 1:]], dim=1)
    reach = 1
    while reach < x.shape[1]:
        earlier, later = x[:, :-reach], decay[:, reach:]
        x = torch.cat([x[:, :reach], x[:, reach:] + later * earlier], dim=1)
        decay = torch.cat([decay[:, :reach], later * decay[:, :-reach]], dim=1)
        reach *= 2
    return (x * c[:, :, None]).sum(-1), x[:, -1]


def two_cumsums(
    log_decay: Float[Tensor, "*axes t"], x: Float[Tensor, "*axes t"]
) -> Float[Tensor, "*axes t"]:
    """A scan from two running sums, which is right on paper and overflows: shown, and
    used nowhere.

    *Equation*: with L_t the sum of the log decays up to t, h_t = exp(L_t) sum over
        s <= t of exp(-L_s) x_s.

    exp(-L_s) grows as the decay shrinks. In float32 it is infinite beyond e^88.7, and
    infinity times exp(L_t), which is near zero, is infinite or no number at all.
    Differences L_t - L_s, which are never above zero, do not overflow (`mamba2`).

    >>> decay = torch.full((200,), -0.5)  # dt A
    >>> sums = two_cumsums(decay, torch.ones(200))
    >>> int(sums.isfinite().sum())  # the 176th step is the first that fails
    175
    """
    total = log_decay.cumsum(-1)
    return total.exp() * ((-total).exp() * x).cumsum(-1)


def _start(u: Tensor, a: Tensor, state: Tensor | None) -> Tensor:
    """The state before the first token."""
    return u.new_zeros(len(u), *a.shape) if state is None else state


class _ChunkedScan(torch.autograd.Function):
    """`selective_scan_chunked`. Inside, time is the first axis: a token's numbers then
    lie together, and the loop over them writes to memory in order.
    """

    @staticmethod
    def forward(ctx, u, dt, a, b, c, start, chunk):
        u, dt, b, c = (one.transpose(0, 1).contiguous() for one in (u, dt, b, c))
        y, h, starts = torch.empty_like(u), start, []
        for first in range(0, len(u), chunk):
            now = slice(first, first + chunk)
            starts.append(h)
            decay = (dt[now, :, :, None] * a).exp_()  # [T b i n]
            states = (dt[now] * u[now])[..., None] * b[now, :, None]
            _run(decay, states, h)
            y[now] = torch.matmul(states, c[now, ..., None]).squeeze(-1)
            h = states[-1].clone()  # a view would hold the whole chunk
        ctx.chunk = chunk
        ctx.save_for_backward(u, dt, a, b, c, torch.stack(starts))
        return y.transpose(0, 1), h

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_last):
        u, dt, a, b, c, starts = ctx.saved_tensors
        grad_y = grad_y.transpose(0, 1).contiguous()
        grad_u, grad_dt = torch.empty_like(u), torch.empty_like(dt)
        grad_a, grad_b, grad_c = (
            torch.zeros_like(a),
            torch.empty_like(b),
            torch.empty_like(c),
        )
        carried = grad_last  # dL/dh after the chunk, from what comes later
        for index in reversed(range(len(starts))):
            now = slice(index * ctx.chunk, (index + 1) * ctx.chunk)
            dt_now, g = dt[now], grad_y[now]
            # 1. the states of the chunk again, behind the one it starts from
            decay, moved = (dt_now[..., None] * a).exp_(), dt_now * u[now]
            states = torch.cat(
                [starts[index][None], moved[..., None] * b[now, :, None]]
            )
            _run(decay, states[1:], starts[index])
            # 2. dL/dh, from the last token to the first
            grad_c[now] = torch.einsum("tbi,tbin->tbn", g, states[1:])
            grad_h = g[..., None] * c[now, :, None]
            grad_h[-1] += carried
            for t in range(len(grad_h) - 2, -1, -1):
                torch.addcmul(grad_h[t], decay[t + 1], grad_h[t + 1], out=grad_h[t])
            carried = decay[0] * grad_h[0]
            # 3. the input dt u B, then the decay exp(dt A)
            grad_moved = torch.matmul(grad_h, b[now, ..., None]).squeeze(-1)
            grad_b[now] = torch.einsum("tbin,tbi->tbn", grad_h, moved)
            grad_u[now] = grad_moved * dt_now
            grad_log = grad_h.mul_(decay).mul_(states[:-1])  # dL / d(dt A)
            grad_dt[now] = grad_moved * u[now]
            grad_dt[now] += torch.einsum("tbin,in->tbi", grad_log, a)
            grad_a += torch.einsum("tbin,tbi->in", grad_log, dt_now)
        of_tokens = (one.transpose(0, 1) for one in (grad_u, grad_dt, grad_b, grad_c))
        grad_u, grad_dt, grad_b, grad_c = of_tokens
        return grad_u, grad_dt, grad_a, grad_b, grad_c, carried, None


def _run(decay: Tensor, states: Tensor, start: Tensor) -> None:
    """Turn the inputs in `states` into the states, in place, from the first on."""
    h = start
    for decay_t, state_t in zip(decay.unbind(), states.unbind(), strict=True):
        h = torch.addcmul(state_t, decay_t, h, out=state_t)
