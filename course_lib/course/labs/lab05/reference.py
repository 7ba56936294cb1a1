"""Lab 5: the checks' own discretisation, scan, convolution and selective block, step by
step; each takes the name of a slip and then makes it.

Symbols: b batch, t tokens, d channels, n state, w tokens under a convolution.
"""

import torch
from torch import Tensor

Cache = tuple[Tensor, Tensor]


def zoh(a: Tensor, b: Tensor, dt: Tensor, slip: str = "") -> tuple[Tensor, Tensor]:
    """Zero-order hold, number by number."""
    z = dt * a
    still = z == 0
    safe = z.masked_fill(still, 1.0)
    ratio = torch.where(still, 1.0, torch.expm1(z) / safe)
    decay = {
        "no_dt": torch.exp(a + 0 * z),
        "sign": torch.exp(-z),
        "euler": 1 + z,
        "trapezoid": (1 + z / 2) / (1 - z / 2),
    }.get(slip, torch.exp(z))
    taken = {
        "euler_b": dt * b,
        "step_b": ratio * b,
        "rate_b": torch.expm1(z) * b,
        "no_b": dt * ratio + 0 * b,
        "decay_b": torch.exp(z) * dt * b,
        "trapezoid_b": dt * b / (1 - z / 2),
        "sign_b": -torch.expm1(z) / a * b,
    }.get(slip, dt * ratio * b)
    return decay, taken


def bilinear(a: Tensor, b: Tensor, dt: Tensor, slip: str = "") -> tuple[Tensor, Tensor]:
    """The trapezoid rule, number by number."""
    half = dt * a / 2
    decay = {
        "half": (1 + 2 * half) / (1 - 2 * half),
        "upside": (1 - half) / (1 + half),
        "euler": 1 + 2 * half,
        "implicit": 1 / (1 - 2 * half),
        "zoh": torch.exp(2 * half),
        "no_dt": (1 + a / 2) / (1 - a / 2) + 0 * half,
    }.get(slip, (1 + half) / (1 - half))
    taken = {
        "undivided": dt * b + 0 * half,
        "step_b": b / (1 - half),
        "half_b": dt * b / (1 - 2 * half),
        "zoh_b": torch.expm1(2 * half) / a * b,
        "mean_b": dt * b / 2 / (1 - half),
    }.get(slip, dt * b / (1 - half))
    return decay, taken


def scan(decay: Tensor, x: Tensor, start: Tensor, slip: str = "") -> Tensor:
    """h_t = decay_t h_{t-1} + x_t; all states [b t ...]."""
    h = torch.zeros_like(start) if slip == "start" else start
    rates, inputs, states = decay.unbind(1), x.unbind(1), []
    if slip == "backwards":
        rates, inputs = rates[::-1], inputs[::-1]
    for t, (rate, one) in enumerate(zip(rates, inputs, strict=True)):
        before = h
        if slip == "next_decay":
            rate = rates[min(t + 1, len(rates) - 1)]
        h = {
            "decay_late": rate * (h + one),
            "no_decay": h + one,
            "mean": rate * h + (1 - rate) * one,
        }.get(slip, rate * h + one)
        states.append(before if slip == "read_before" else h)
    return torch.stack(states[::-1] if slip == "backwards" else states, 1)


def scan_gradient(
    decay: Tensor, states: Tensor, start: Tensor, grad: Tensor, slip: str = ""
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of decay, x and start, from that of the states."""
    carried, found, last = torch.zeros_like(start), [], decay.shape[1] - 1
    for t in range(last, -1, -1):
        now = grad[:, t] + carried
        found.append(grad[:, t] if slip == "no_carry" else now)
        carried = now if slip == "no_decay" else decay[:, t] * now
    g = torch.stack(found[::-1], 1)
    if slip == "own_decay":  # the decay of the token itself, not of the next one
        g = torch.zeros_like(grad)
        g[:, last] = grad[:, last]
        for t in range(last - 1, -1, -1):
            g[:, t] = grad[:, t] + decay[:, t] * g[:, t + 1]
    of_start = g[:, 0] if slip == "first_decay" else decay[:, 0] * g[:, 0]
    g = g.flip(1) if slip == "reversed" else g
    first = torch.zeros_like(start) if slip == "start" else start
    before = torch.cat([first[:, None], states[:, :-1]], 1)
    return g * (states if slip == "own_state" else before), g, of_start


def short_conv(
    x: Tensor, weight: Tensor, bias: Tensor, kept: Tensor | None, slip: str = ""
) -> tuple[Tensor, Tensor]:
    """y_t = bias + sum over j of weight_j x_{t-w+1+j}, and the last w - 1 inputs."""
    width, t = weight.shape[1], x.shape[1]
    again = kept is None and slip == "zeros"
    if kept is None or slip == "kept":
        kept = x.new_zeros(len(x), width - 1, x.shape[2])
    kept = kept + x[:, :1] if again else kept
    line = torch.cat([x, kept] if slip == "behind" else [kept, x], 1)
    if slip == "late":
        line = torch.cat([kept.new_zeros(len(x), 1, x.shape[2]), line[:, :-1]], 1)
    ahead = torch.cat([line, torch.zeros_like(line)], 1)[:, width // 2 :]
    source = ahead if slip == "future" else line
    weights = weight.flip(1) if slip == "flipped" else weight
    y = sum(source[:, j : j + t] * weights[:, j] for j in range(width))
    y = y if slip == "bias" else y + bias
    return y, torch.cat([kept, x], 1)[:, t:]


def select(
    u: Tensor, weights: dict[str, Tensor], slip: str = ""
) -> tuple[Tensor, Tensor, Tensor]:
    """Step size [b t i], B [b t n] and C [b t n] of each token."""
    rank = weights["step"].shape[1]
    n = (len(weights["select"]) - rank) // 2
    step, b, c = (u @ weights["select"].mT).split((rank, n, n), -1)
    if slip == "order":
        b, c, step = (u @ weights["select"].mT).split((n, n, rank), -1)
    raw, soft = step @ weights["step"].mT, torch.nn.functional.softplus
    dt = {
        "linear": raw + weights["offset"],
        "twice": soft(soft(raw + weights["offset"])),
        "outside": soft(raw) + weights["offset"],
        "offset": soft(raw),
        "exp": (raw + weights["offset"]).exp(),
        "relu": (raw + weights["offset"]).relu(),
    }.get(slip, soft(raw + weights["offset"]))
    return (dt, c, b) if slip == "swapped" else (dt, b, c)


def block(
    x: Tensor, weights: dict[str, Tensor], cache: Cache | None, slip: str = ""
) -> tuple[Tensor, Cache]:
    """A Mamba mixer of x [b t d]; the cache holds convolution inputs and state."""
    silu = torch.nn.functional.silu
    u, gate = (x @ weights["in"].mT).chunk(2, -1)
    if slip == "halves":
        u, gate = gate, u
    anew = cache is None or slip == "no_cache"
    kept, state = (None, None) if anew else cache
    kept = None if slip == "conv_cache" else kept
    state = None if slip == "state_cache" else state
    entered = u
    u, kept = short_conv(u, weights["conv"], weights["conv_bias"], kept)
    u = u if slip == "conv_silu" else silu(u)
    dt, b, c = select(u, weights)
    dt = torch.nn.functional.softplus(dt) if slip == "twice" else dt
    if slip == "swapped":
        b, c = c, b
    a = -weights["a_log"].exp()
    a = {"positive": -a, "raw": weights["a_log"], "minus_log": -weights["a_log"]}.get(
        slip, a
    )
    z = a.expand(*dt.shape, -1) if slip == "no_dt" else dt[..., None] * a
    taken = u if slip == "input_dt" else dt * u
    x_bar = taken[..., None] * b[:, :, None]
    if slip == "exact_b":
        x_bar = (u * torch.expm1(z).div(a)[..., 0])[..., None] * b[:, :, None]
    start = u.new_zeros(len(u), *a.shape) if state is None else state
    states = scan(z.exp(), x_bar, start, "read_before" if slip == "early" else "")
    y = (states * c[:, :, None]).sum(-1)
    skipped = weights["skip"] * (entered if slip == "skip_before" else u)
    gated = {"gate_plain": gate, "gate_sigmoid": gate.sigmoid()}.get(slip, silu(gate))
    out = {"skip": y * gated, "skip_after": y * gated + skipped}.get(
        slip, (y + skipped) * gated
    )
    out = y + skipped if slip == "gate" else out
    return out @ weights["out"].mT, (kept, scan(z.exp(), x_bar, start)[:, -1])
