"""Right answers to the labs on mixtures of experts, written differently from the solutions."""

MOE = {
    "exercise-1": """
def mixtral_routing(logits, k):
    order = logits.argsort(dim=1, descending=True)[:, :k]
    kept = torch.gather(logits, 1, order)
    if k == 1:
        return order, (kept - logits.logsumexp(1, keepdim=True)).exp()
    return order.flip(1), torch.softmax(kept, dim=-1).flip(1)

def v3_routing(logits, bias, k, groups, kept, scale):
    n, e = logits.shape
    s = 1 / (1 + torch.exp(-logits))
    biased = (s + bias).detach()
    picks = []
    for row in biased:
        ranks = [sum(sorted(part.tolist())[-2:]) for part in row.chunk(groups)]
        best = sorted(range(groups), key=lambda g: -ranks[g])[:kept]
        size = e // groups
        allowed = [i for g in best for i in range(g * size, (g + 1) * size)]
        picks.append(sorted(allowed, key=lambda i: -float(row[i]))[:k])
    picks = torch.tensor(picks)
    w = torch.stack([s[t, picks[t]] for t in range(n)])
    return picks, w.mul(scale).div(w.sum(-1, keepdim=True))

def noisy_logits(logits, spread, noise, training):
    width = torch.logaddexp(spread, torch.zeros_like(spread))
    return torch.addcmul(logits, noise, width, value=float(training))
""",
    "exercise-2": """
def by_expert(picks, experts):
    slots = [[] for _ in range(experts)]
    for slot, expert in enumerate(picks.reshape(-1).tolist()):
        slots[expert].append(slot)
    return torch.tensor(sum(slots, [])), torch.tensor([len(s) for s in slots])

def combine(rows, slots, weights):
    n, k = weights.shape
    scaled = rows * weights.reshape(-1)[slots].unsqueeze(1)
    return torch.zeros(n, rows.shape[1], dtype=rows.dtype).index_add(0, slots // k, scaled)

def moe(x, picks, weights, experts):
    y = torch.zeros_like(x)
    for number, expert in enumerate(experts):
        token, choice = torch.where(picks == number)
        if token.numel():
            y = y.index_add(0, token, weights[token, choice].unsqueeze(-1) * expert(x[token]))
    return y
""",
    "exercise-3": """
def capacity(tokens, k, experts, factor):
    return int(-(-factor * k * tokens // experts))

def within_capacity(picks, real, experts, capacity):
    taken, rows = {}, []
    for row, counts in zip(picks.tolist(), real.tolist()):
        kept = []
        for expert in row:
            place = taken.get(expert, 0)
            kept.append(counts and place < capacity)
            taken[expert] = place + counts
        rows.append(kept)
    return torch.tensor(rows, dtype=torch.bool).reshape(picks.shape)

def waste(kept, real, experts, capacity):
    asked = real.unsqueeze(1).expand_as(kept)
    lost = (asked & ~kept).sum().item() / max(asked.sum().item(), 1)
    places = experts * capacity
    return lost, (places - kept.sum().item()) / places
""",
    "exercise-4": """
def balance_loss(logits, picks, real):
    n, e = logits.shape
    hot = torch.zeros(n, e).to(logits).scatter_add(1, picks, torch.ones(picks.shape).to(logits))
    mask = real.to(logits.dtype)
    f = torch.einsum("n,ne->e", mask, hot) / (mask.sum() * picks.shape[1])
    p = torch.einsum("n,ne->e", mask, torch.softmax(logits, -1)) / mask.sum()
    return e * torch.dot(f, p)

def z_loss(logits, real):
    z = torch.logsumexp(logits, -1).square()
    return torch.where(real, z, 0.0).sum() / real.sum()
""",
    "exercise-5": """
def update_bias(bias, counts, rate):
    mean = sum(counts.tolist()) / len(counts)
    moves = [rate * ((c < mean) - (c > mean)) for c in counts.tolist()]
    new = bias + torch.tensor(moves, dtype=bias.dtype)
    return new.sub(new.sum() / len(new))

def balance(scores, k, rate, steps):
    bias = scores.new_zeros(scores.shape[1])
    while steps > 0:
        order = (scores + bias).argsort(1, descending=True)[:, :k]
        counts = torch.nn.functional.one_hot(order, len(bias)).sum((0, 1))
        bias, steps = update_bias(bias, counts, rate), steps - 1
    return bias
""",
    "exercise-6": """
def skip(weights, threshold):
    top = weights.max(1).values.unsqueeze(1)
    out = torch.where(weights / top < threshold, 0.0, weights)
    return out * (weights.sum(1) / out.sum(1)).unsqueeze(1)

def keep_experts(counts, share):
    numbers = sorted(range(len(counts)), key=lambda i: (-int(counts[i]), i))
    served, kept, total = 0, [], int(counts.sum())
    for number in numbers:
        if served >= share * total:
            break
        served += int(counts[number])
        kept.append(number)
    return torch.tensor(sorted(kept))

def choose(options, base, margin):
    best = None
    for option in options:
        if option["loss"] - base > margin:
            continue
        key = option["slots"], option["experts"], option["loss"]
        if best is None or key < best[0]:
            best = key, option
    if best is None:
        raise ValueError("none")
    return best[1]
""",
    "exercise-stretch": """
def expert_choice(logits, capacity):
    p = torch.softmax(logits, -1)
    rank = p.argsort(0, descending=True).argsort(0)
    return p * (rank < capacity)

def changed_past(route, logits, other, t):
    was, now = route(logits), route(torch.where(torch.arange(len(logits))[:, None] < t, logits, other))
    changed = [not torch.equal(was[i], now[i]) for i in range(t)]
    return sum(changed) / max(t, 1)
""",
}
MOE_MORE = [
    ("exercise-1", """
import torch.nn.functional as F

def mixtral_routing(logits, k):
    p = F.softmax(logits, dim=-1)
    top = p.topk(k, dim=-1, sorted=False)
    w = top.values if k == 1 else F.normalize(top.values, p=1, dim=-1)
    return top.indices, w

def v3_routing(logits, bias, k, groups, kept, scale):
    s = torch.sigmoid(logits)
    choice = s + bias[None]
    by_group = choice.reshape(len(s), groups, -1)
    rank = by_group.sort(-1, descending=True).values[..., :2].sum(-1)
    limit = rank.sort(-1, descending=True).values[:, kept - 1 : kept]
    shut = (rank < limit).repeat_interleave(by_group.shape[-1], dim=1)
    picks = torch.where(shut, float("-inf"), choice).sort(-1, descending=True).indices[:, :k]
    w = torch.take_along_dim(s, picks, 1)
    return picks, w / (w.sum(-1, keepdim=True) + 1e-20) * scale

def noisy_logits(logits, spread, noise, training):
    return logits + noise * F.softplus(spread) if training else logits.clone()
"""),
    ("exercise-2", """
def by_expert(picks, experts):
    order = picks.reshape(-1).sort(stable=True)
    return order.indices, (order.values[None] == torch.arange(experts)[:, None]).sum(1)

def combine(rows, slots, weights):
    place = slots.argsort()
    sorted_back = torch.index_select(rows, 0, place).reshape(*weights.shape, -1)
    return torch.einsum("nkd,nk->nd", sorted_back, weights)

def moe(x, picks, weights, experts):
    slots, counts = by_expert(picks, len(experts))
    ends = [0, *counts.cumsum(0).tolist()]
    copies = x.repeat_interleave(picks.shape[1], dim=0)[slots]
    out = [expert(copies[a:b]) for expert, a, b in zip(experts, ends, ends[1:]) if b > a]
    return combine(torch.cat(out, 0), slots, weights)
"""),
    ("exercise-3", """
from fractions import Fraction

def capacity(tokens, k, experts, factor):
    return math.ceil(Fraction(factor) * k * tokens / experts)

def within_capacity(picks, real, experts, capacity):
    kept = torch.zeros(picks.shape, dtype=torch.bool)
    for expert in range(experts):
        asked = (picks == expert) & real[:, None]
        kept[asked] = torch.arange(int(asked.sum())) < capacity
    return kept

def waste(kept, real, experts, capacity):
    total = real.sum().item() * kept.shape[1]
    used = kept.float().sum().item()
    return (total - used) / total if total else 0.0, 1.0 - used / experts / capacity
"""),
    ("exercise-4", """
def balance_loss(logits, picks, real):
    keep = real.nonzero()[:, 0]
    p = torch.softmax(logits.index_select(0, keep), 1)
    share = torch.stack([(picks[keep] == i).double().mean() for i in range(logits.shape[1])])
    return (share * p.mean(0)).mean() * logits.shape[1] ** 2

def z_loss(logits, real):
    top = logits.amax(1)
    z = top + (logits - top[:, None]).exp().sum(1).log()
    return torch.dot(z * real, z) / real.count_nonzero()
"""),
    ("exercise-5", """
def update_bias(bias, counts, rate):
    step = torch.sign(counts.sum() - len(counts) * counts).to(bias.dtype)
    new = bias + step * rate
    return new - torch.mean(new)

def balance(scores, k, rate, steps):
    def again(bias, left):
        if not left:
            return bias
        picks = torch.topk(scores + bias, k).indices
        return again(update_bias(bias, picks.flatten().bincount(minlength=bias.numel()), rate), left - 1)
    return again(torch.zeros_like(scores[0]), steps)
"""),
    ("exercise-6", """
def skip(weights, threshold):
    small = weights < threshold * weights.max(dim=1, keepdim=True)[0]
    out = weights.masked_fill(small, 0)
    return out / (out.sum(1) / weights.sum(1))[:, None]

def keep_experts(counts, share):
    counted, order = torch.sort(counts, descending=True, stable=True)
    ends = torch.cumsum(counted, 0).double() / counted.sum()
    last = int((ends >= share).nonzero()[0, 0])
    return torch.arange(len(counts))[torch.isin(torch.arange(len(counts)), order[: last + 1])]

def choose(options, base, margin):
    ranked = sorted(options, key=lambda o: [o[name] for name in ("slots", "experts", "loss")])
    for option in ranked:
        if not option["loss"] > base + margin:
            return option
    raise ValueError(options)
"""),
    ("exercise-stretch", """
def expert_choice(logits, capacity):
    p = logits.softmax(-1).T.contiguous()
    out = torch.zeros_like(p)
    for expert, row in enumerate(p):
        best = row.argsort(descending=True)[:capacity]
        out[expert, best] = row[best]
    return out.T

def changed_past(route, logits, other, t):
    mixed = logits.clone()
    mixed[t:] = other[t:]
    gap = (route(mixed) - route(logits))[:t].abs().sum(1)
    return float((gap > 0).sum()) / t if t else 0.0
"""),
]  # fmt: skip
