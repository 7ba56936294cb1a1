"""Right answers to the lab on recurrences, written differently from the solutions."""

SSM = {
    "exercise-1": """
def zoh(a, b, dt):
    z = a * dt
    series = 1 + z / 2 + z * z / 6 + z**3 / 24
    ratio = torch.where(z.abs() < 1e-3 if z.dtype == torch.float64 else z.abs() < 1e-2, series,
                        torch.expm1(z) / torch.where(z == 0, torch.ones_like(z), z))
    return z.exp(), b * (ratio * dt)

def bilinear(a, b, dt):
    half = dt * a * 0.5
    inverse = torch.reciprocal(1 - half)
    return inverse * (1 + half), inverse * dt * b
""",
    "exercise-2": """
def scan(decay, x, start):
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, decay, x, start):
            states, h = torch.empty_like(x), start
            for t in range(x.shape[1]):
                h = torch.addcmul(x[:, t], decay[:, t], h)
                states[:, t] = h
            ctx.save_for_backward(decay, states, start)
            return states
        @staticmethod
        def backward(ctx, grad):
            decay, states, start = ctx.saved_tensors
            g = torch.empty_like(grad)
            carried = torch.zeros_like(start)
            for t in reversed(range(grad.shape[1])):
                torch.add(grad[:, t], carried, out=g[:, t])
                carried = decay[:, t] * g[:, t]
            before = torch.cat((start.unsqueeze(1), states[:, :-1]), 1)
            return g * before, g, carried
    return Own.apply(decay, x, start)

def scan_gradient(decay, states, start, grad):
    t = grad.shape[1]
    later = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], 1).flip(1)
    flipped, rows = grad.flip(1), []
    carried = torch.zeros_like(start)
    for i in range(t):
        carried = flipped[:, i] + later[:, i] * carried
        rows.insert(0, carried)
    g = torch.stack(rows, 1)
    before = torch.empty_like(states)
    before[:, 0], before[:, 1:] = start, states[:, :-1]
    return before * g, g, decay[:, 0] * g[:, 0]
""",
    "exercise-3": """
import torch.nn.functional as F

def short_conv(x, weight, bias, kept):
    d, w = weight.shape
    if kept is None:
        line = F.pad(x.transpose(1, 2), (w - 1, 0))
    else:
        line = torch.cat((kept.transpose(1, 2), x.transpose(1, 2)), -1)
    y = F.conv1d(line, weight.unsqueeze(1), bias, groups=d).transpose(1, 2)
    after = line.transpose(1, 2)
    return y, after[:, after.shape[1] - (w - 1) :].clone()
""",
    "exercise-4": """
import torch.nn.functional as F

def select(u, weights):
    i, r = weights["step"].shape
    mixed = F.linear(u, weights["select"])
    n = (mixed.shape[-1] - r) // 2
    dt = F.linear(mixed[..., :r], weights["step"], weights["offset"])
    dt = torch.logaddexp(dt, torch.zeros_like(dt))
    return dt, mixed[..., r : r + n].clone(), mixed[..., -n:].clone()

def block(x, weights, cache):
    i, w = weights["conv"].shape
    both = F.linear(x, weights["in"])
    entered, z = both[..., :i], both[..., i:]
    if cache is None:
        cache = x.new_zeros(len(x), w - 1, i), x.new_zeros(len(x), i, weights["a_log"].shape[1])
    line = torch.cat([cache[0], entered], 1)
    u = F.conv1d(line.transpose(1, 2), weights["conv"][:, None], weights["conv_bias"], groups=i)
    u = F.silu(u.transpose(1, 2))
    mixed = F.linear(u, weights["select"])
    r = weights["step"].shape[1]
    step, b, c = mixed.tensor_split([r, r + weights["a_log"].shape[1]], dim=-1)
    dt = F.softplus(F.linear(step, weights["step"], weights["offset"]))
    h, rows = cache[1], []
    for t in range(x.shape[1]):
        decay = torch.exp(-dt[:, t, :, None] * weights["a_log"].exp())
        h = decay * h + torch.einsum("bi,bn->bin", dt[:, t] * u[:, t], b[:, t])
        rows.append(torch.einsum("bin,bn->bi", h, c[:, t]))
    y = torch.stack(rows, 1) + u * weights["skip"]
    return F.linear(y * z * torch.sigmoid(z), weights["out"]), (line[:, line.shape[1] - w + 1 :].clone(), h)
""",
    "exercise-5": """
def wkv(k, v, log_decay, bonus, state):
    b, t, d = k.shape
    if state is None:
        state = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0]), torch.full_like(k[:, 0], -1e38)
    mean, weight, top = state  # the mean itself, and its weight
    place = torch.arange(t)
    exponents = (place[:, None] - 1 - place)[:, :, None] * log_decay + k[:, None]
    past = (place[:, None] > place)[None, :, :, None]
    exponents = torch.where(past, exponents, -torch.inf)
    own = torch.diag_embed((bonus + k).transpose(1, 2)).permute(0, 2, 3, 1)
    now = torch.eye(t, dtype=torch.bool)[None, :, :, None]
    exponents = torch.where(now, own, exponents)
    size = top + weight.clamp(min=torch.finfo(k.dtype).tiny).log()
    first = (place[:, None] * log_decay)[None] + size[:, None]
    first = torch.where(weight[:, None] > 0, first, -torch.inf)
    shares = torch.cat([first[:, :, None], exponents], 2).softmax(2)
    y = shares[:, :, 0] * mean[:, None] + (shares[:, :, 1:] * v[:, None]).sum(2)
    left = (t - 1 - place)[:, None] * log_decay + k
    before = torch.where(weight > 0, size + t * log_decay, -torch.inf)
    every = torch.cat([before[:, None], left], 1)
    kept = every.softmax(1)
    return y, (kept[:, 0] * mean + (kept[:, 1:] * v).sum(1), torch.ones_like(mean), every.logsumexp(1))
""",
    "exercise-6": """
def delta(q, k, v, beta, log_decay, state):
    b, t, width = k.shape
    S = torch.zeros(b, width, v.shape[2], dtype=v.dtype) if state is None else state.clone()
    one, rows = torch.eye(width, dtype=v.dtype), []
    for i in range(t):
        key, strength = k[:, i, :, None], beta[:, i, None, None]
        S = (one - strength * key @ key.mT) @ (S * log_decay[:, i, None, None].exp())
        S = S + strength * key @ v[:, i, None, :]
        rows.append((q[:, i, None, :] @ S).squeeze(1))
    return torch.stack(rows, 1), S

def delta_chunked(q, k, v, beta, log_decay, state, chunk):
    S = v.new_zeros(len(v), k.shape[-1], v.shape[-1]) if state is None else state
    rows = []
    for i in range(0, k.shape[1], chunk):
        qc, kc, vc, bc, gc = (x[:, i : i + chunk] for x in (q, k, v, beta, log_decay))
        c = qc.shape[1]
        G = gc.cumsum(1)
        causal = torch.ones(c, c, dtype=torch.bool).tril()
        D = torch.where(causal, G.unsqueeze(2) - G.unsqueeze(1), -torch.inf).exp()
        A = (bc.unsqueeze(2) * D * torch.einsum("btk,bsk->bts", kc, kc)).tril(-1)
        T = torch.linalg.inv(torch.eye(c, dtype=v.dtype) + A) * bc.unsqueeze(1)
        U = T @ vc - (T * G.exp().unsqueeze(1)) @ kc @ S
        rows.append(torch.einsum("btk,bkv->btv", qc * G.exp().unsqueeze(2), S) + (D * (qc @ kc.mT)) @ U)
        end = G[:, -1:, None]
        S = end.exp() * S + torch.einsum("btk,btv->bkv", kc * (end - G[:, :, None]).exp(), U)
    return torch.cat(rows, 1), S
""",
    "exercise-7": """
def successors(memory, tokens, codes):
    numbers = tokens.tolist()
    q = torch.stack([codes[a] for a in numbers[1:-1]])
    k = torch.stack([codes[a] for a in numbers[:-2]])
    recalled = memory(q, k, q.clone())
    met, right, counted = {numbers[0]}, 0, 0
    for place, (now, after) in enumerate(zip(numbers[1:-1], numbers[2:])):
        if now in met:
            counted += 1
            right += int((codes @ recalled[place]).argmax()) == after
        met.add(now)
    return right / counted if counted else 0.0

def growth(lengths, costs):
    x = torch.tensor(lengths, dtype=torch.float64).log2()
    y = torch.tensor(costs, dtype=torch.float64).log2()
    line = torch.stack([x, torch.ones_like(x)], 1)
    return torch.linalg.lstsq(line, y[:, None]).solution[0, 0].item()

def table(results):
    found = []
    for task, mixer, better, quality, lengths, seconds, nbytes in (
        tuple(r[key] for key in ("task", "mixer", "better", "quality", "lengths", "seconds", "bytes"))
        for r in results
    ):
        of_task = [r for r in results if r["task"] == task and r["mixer"] == "attention"]
        if not of_task:
            raise ValueError(task)
        sign = {"higher": 1, "lower": -1}[better]
        found.append(dict(memory=growth(lengths, nbytes), time=growth(lengths, seconds), mixer=mixer,
                          gap=sign * (quality - of_task[0]["quality"]), task=task))
    return found
""",
    "exercise-stretch": """
def combine(first, second):
    return first[0] * second[0], torch.addcmul(second[1], second[0], first[1])

def parallel_scan(decay, x):
    t = x.shape[1]
    if t == 1:
        return x.clone()
    even = 2 * (t // 2)
    pairs = combine((decay[:, 0:even:2], x[:, 0:even:2]), (decay[:, 1:even:2], x[:, 1:even:2]))
    odd = parallel_scan(*pairs)  # the states after tokens 1, 3, 5, ...
    first = torch.cat([torch.zeros_like(x[:, :1]), odd], 1)[:, : (t + 1) // 2]
    evens = decay[:, ::2] * first + x[:, ::2]
    out = torch.empty_like(x)
    out[:, ::2], out[:, 1::2] = evens, odd
    return out
""",
}
SSM_MORE = [
    ("exercise-1", """
def zoh(a, b, dt):
    z, dt = torch.broadcast_tensors(dt * a, dt)
    out = dt.clone()
    moves = z != 0
    out[moves] = dt[moves] * torch.expm1(z[moves]) / z[moves]
    return torch.exp(z), out * b

def bilinear(a, b, dt):
    half = a.mul(dt).div(2)
    return (2 / (1 - half)) - 1, b * dt / (1 - half)
"""),
    ("exercise-2", """
def scan(decay, x, start):
    a = decay
    x = torch.cat([x[:, :1] + a[:, :1] * start[:, None], x[:, 1:]], 1)
    reach = 1
    while reach < x.shape[1]:
        x = torch.cat([x[:, :reach], x[:, reach:] + a[:, reach:] * x[:, :-reach]], 1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], 1)
        reach *= 2
    return x.clone() if x.shape[1] == 1 else x

def scan_gradient(decay, states, start, grad):
    g = [None] * grad.shape[1]
    g[-1] = grad[:, -1]
    for t in range(grad.shape[1] - 2, -1, -1):
        g[t] = torch.addcmul(grad[:, t], decay[:, t + 1], g[t + 1])
    g = torch.stack(g, dim=1)
    earlier = states.roll(1, dims=1)
    earlier[:, 0] = start
    return earlier.mul_(g), g, (decay[:, :1] * g[:, :1]).squeeze(1)
"""),
    ("exercise-3", """
def short_conv(x, weight, bias, kept):
    w = weight.shape[1]
    past = [torch.zeros_like(x[:, 0])] * (w - 1) if kept is None else list(kept.unbind(1))
    rows = []
    for now in x.unbind(1):
        past.append(now)
        rows.append(torch.einsum("wbd,dw->bd", torch.stack(past[-w:]), weight) + bias)
    last = past[len(past) - (w - 1) :]
    return torch.stack(rows, 1), torch.stack(last, 1) if last else x.new_zeros(len(x), 0, x.shape[2])
"""),
    ("exercise-4", """
def select(u, weights):
    r, n = weights["step"].shape[1], (len(weights["select"]) - weights["step"].shape[1]) // 2
    w_step, w_b, w_c = weights["select"].split([r, n, n])
    raw = torch.einsum("bti,ri,jr->btj", u, w_step, weights["step"]) + weights["offset"]
    return torch.nn.Softplus()(raw), u @ w_b.T, u @ w_c.T

def block(x, weights, cache=None):
    silu = torch.nn.SiLU()
    i = weights["skip"].numel()
    u, z = (x @ part.T for part in weights["in"].split(i))
    u, kept = short_conv(u, weights["conv"], weights["conv_bias"], cache[0] if cache else None)
    u = silu(u)
    dt, b, c = select(u, weights)
    rates = weights["a_log"].exp().neg()
    start = cache[1] if cache else x.new_zeros(x.shape[0], *rates.shape)
    decay = torch.einsum("bti,in->btin", dt, rates).exp()
    wide = scan(decay.flatten(2), torch.einsum("bti,bti,btn->btin", dt, u, b).flatten(2), start.flatten(1))
    states = wide.unflatten(2, rates.shape)
    y = torch.einsum("btin,btn->bti", states, c) + u * weights["skip"]
    return (y * silu(z)) @ weights["out"].T, (kept, states[:, -1].clone())
"""),
    ("exercise-5", """
def wkv(k, v, log_decay, bonus, state):
    # log-sum-exp of the weights, and the mean of the past itself
    if state is None:
        mean, size = torch.zeros_like(v[:, 0]), torch.full_like(v[:, 0], float("-inf"))
    else:
        mean, size, _ = state
    rows = []
    for k_t, v_t in zip(torch.unbind(k, 1), torch.unbind(v, 1)):
        share = torch.sigmoid(bonus + k_t - size)
        rows.append(mean + share * (v_t - mean))
        share = torch.sigmoid(k_t - (size + log_decay))
        mean = mean + share * (v_t - mean)
        size = torch.logaddexp(size + log_decay, k_t)
    return torch.stack(rows, 1), (mean, size, torch.zeros_like(size))
"""),
    ("exercise-6", """
def delta(q, k, v, beta, log_decay, state):
    if state is None:
        state = torch.zeros(v.size(0), k.size(2), v.size(2)).to(v)
    y = []
    for t in range(v.size(1)):
        state = state * log_decay[:, t].exp().view(-1, 1, 1)
        old = (k[:, t].unsqueeze(-1) * state).sum(1)
        new = torch.lerp(old, v[:, t], beta[:, t].unsqueeze(-1))
        state = state + torch.bmm(k[:, t].unsqueeze(2), (new - old).unsqueeze(1))
        y.append(torch.bmm(q[:, t].unsqueeze(1), state)[:, 0])
    return torch.stack(y, dim=1), state

def delta_chunked(q, k, v, beta, log_decay, state, chunk):
    if state is None:
        state = k.new_zeros(k.shape[0], k.shape[2], v.shape[2])
    if k.shape[1] > chunk:
        cut = [x[:, :chunk] for x in (q, k, v, beta, log_decay)]
        rest = [x[:, chunk:] for x in (q, k, v, beta, log_decay)]
        y, state = delta_chunked(*cut, state, chunk)
        z, state = delta_chunked(*rest, state, chunk)
        return torch.cat([y, z], 1), state
    G = torch.cumsum(log_decay, 1)
    gap = (G[:, :, None] - G[:, None, :]).clamp(max=0.0).exp().tril()
    errors = beta[..., None] * (v - G.exp()[..., None] * torch.bmm(k, state))
    L = (beta[..., None] * gap * torch.bmm(k, k.transpose(1, 2))).tril(-1)
    w = torch.linalg.solve(torch.eye(L.shape[1]).to(L) + L, errors)
    y = torch.bmm(gap * torch.bmm(q, k.transpose(1, 2)), w) + G.exp()[..., None] * torch.bmm(q, state)
    out = torch.bmm((k * (G[:, -1:] - G).exp()[..., None]).transpose(1, 2), w)
    return y, out + G[:, -1, None, None].exp() * state
"""),
    ("exercise-7", """
def successors(memory, tokens, codes):
    keys, now, after = (tokens[a : len(tokens) - 2 + a] for a in range(3))
    read = memory(q=codes[now], k=codes[keys], v=codes[now])
    guess = torch.einsum("pd,md->pm", read, codes).max(-1).indices
    before = torch.ones(len(now), len(tokens)).tril().bool()
    known = ((tokens[None] == now[:, None]) & before).any(1)
    if known.sum() == 0:
        return 0.0
    return float((guess == after).logical_and(known).sum()) / int(known.sum())

def growth(lengths, costs):
    n = len(lengths)
    x, y = [math.log10(a) for a in lengths], [math.log10(a) for a in costs]
    above = n * sum(a * b for a, b in zip(x, y)) - sum(x) * sum(y)
    return above / (n * sum(a * a for a in x) - sum(x) ** 2)

def table(results):
    def gap(one):
        for other in results:
            if (other["task"], other["mixer"]) == (one["task"], "attention"):
                better = one["quality"] - other["quality"]
                return better if one["better"] != "lower" else 0 - better
        raise ValueError("attention is missing in " + one["task"])
    return [
        {"task": r["task"], "mixer": r["mixer"], "gap": gap(r),
         "time": growth(r["lengths"], r["seconds"]), "memory": growth(r["lengths"], r["bytes"])}
        for r in results
    ]
"""),
    ("exercise-stretch", """
def combine(first, second):
    (a, x), (b, y) = first, second
    return a * b, b * x + y

def parallel_scan(decay, x):
    t, shape, reach = x.shape[1], (x.shape[0], 0, *x.shape[2:]), 1
    a = decay
    while reach < t:
        nothing = torch.ones_like(a[:, :reach]), torch.zeros_like(x[:, :reach])
        earlier = torch.cat([nothing[0], a[:, :-reach]], 1), torch.cat([nothing[1], x[:, :-reach]], 1)
        a, x = combine(earlier, (a, x))
        reach <<= 1
    return x
"""),
]  # fmt: skip
