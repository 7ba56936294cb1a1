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
    return (gap > 0).float().mean().item() if t else 0.0
"""),
]  # fmt: skip
OPERATIONS = {
    "exercise-1": """
class StepMetrics:
    def __init__(self, registry, experts, buckets):
        self.tokens = Counter("moe_expert_tokens_total", "slots", labelnames=("expert",), registry=registry)
        for i in range(experts):
            self.tokens.labels(str(i))
        self.lost = Counter("moe_dropped_tokens_total", "dropped", registry=registry)
        bounds = list(buckets) + [float("inf")]
        self.time = Histogram("moe_step_seconds", "seconds", buckets=bounds, registry=registry)

    def observe(self, counts, dropped, seconds):
        for i, n in enumerate(counts):
            if n:
                self.tokens.labels(expert=i).inc(n)
        if dropped:
            self.lost.inc(dropped)
        self.time.observe(seconds)

def quantile(histograms, q):
    total = {}
    for one in histograms:
        for bound, count in one.items():
            total[bound] = total.get(bound, 0) + count
    below, under = 0.0, 0
    wanted = q * total[math.inf]
    for bound in sorted(total):
        if total[bound] >= wanted:
            if math.isinf(bound):
                return below
            return below + (bound - below) / (total[bound] - under) * (wanted - under)
        below, under = bound, total[bound]
""",
    "exercise-2": """
def rank_ratio(counts, rank_of):
    hot = torch.nn.functional.one_hot(rank_of).double()
    loads = counts.double() @ hot
    return loads.max(1).values * loads.shape[1] / loads.sum(1)

def balance(counts, rank_of):
    r = sorted(rank_ratio(counts, rank_of).tolist())
    at = 0.99 * (len(r) - 1)
    low = int(at)
    high = min(low + 1, len(r) - 1)
    return sum(r) / len(r), r[low] + (r[high] - r[low]) * (at - low)

def places(counts, drop):
    low, high = 0, int(counts.max())
    while low < high:
        middle = (low + high) // 2
        if torch.relu(counts - middle).sum() <= drop * counts.sum():
            high = middle
        else:
            low = middle + 1
    return low

def stability(counts, window):
    worst, last = 0.0, None
    for start in range(0, len(counts) - window + 1, window):
        part = counts[start : start + window].sum(0).double()
        share = part / part.sum()
        if last is not None:
            worst = max(worst, 1 - torch.minimum(share, last).sum().item())
        last = share
    return worst

def ranks_needed(experts, expert_bytes, other_bytes, memory_bytes):
    each = int((0.9 * memory_bytes - other_bytes) // expert_bytes)
    if each < 1:
        raise ValueError("too little memory")
    return -(-experts // each)
""",
    "exercise-3": """
def null_ratios(scores, k, rank_of):
    rows = []
    for draw in scores:
        picks = draw.argsort(dim=1, descending=True)[:, :k]
        rows.append(torch.bincount(picks.reshape(-1), minlength=draw.shape[1]))
    return rank_ratio(torch.stack(rows), rank_of)

def alarms(ratios, mean, sd, slack, limit):
    steps, total, low = [], 0.0, 0.0
    for i in range(len(ratios)):
        total += (float(ratios[i]) - mean) / sd - slack
        low = min(low, total)
        if total - low > limit:
            steps.append(i)
            total = low = 0.0
    return steps

def choose_limit(calm, mean, sd, slack, limits, most):
    quiet = [l for l in limits if sum(len(alarms(t, mean, sd, slack, l)) for t in calm) <= most]
    if not quiet:
        raise ValueError("all of them ring")
    return min(quiet)
""",
    "exercise-4": """
import heapq

def place(load, ranks):
    size = len(load) // ranks
    heap = [(0, rank, 0) for rank in range(ranks)]
    out = torch.full((len(load),), -1)
    for expert in sorted(range(len(load)), key=lambda i: -int(load[i])):
        held, rank, many = heapq.heappop(heap)
        out[expert] = rank
        if many + 1 < size:
            heapq.heappush(heap, (held + int(load[expert]), rank, many + 1))
    return out

def copies(load, spare):
    number = [1] * len(load)
    heap = [(-float(x), i) for i, x in enumerate(load)]
    heapq.heapify(heap)
    for _ in range(spare):
        _, i = heapq.heappop(heap)
        number[i] += 1
        heapq.heappush(heap, (-float(load[i]) / number[i], i))
    return torch.tensor(number)
""",
    "exercise-5": """
def quality(loss_sums, tokens):
    share = tokens.sum(0) / tokens.sum().double()
    each = torch.stack([loss_sums[:, c].sum() / tokens[:, c].sum() for c in range(tokens.shape[1])])
    return each, (each * share).sum().item()

def load_by_slice(slots, rank_of):
    hot = torch.nn.functional.one_hot(rank_of)
    busiest = (slots @ hot).sum(0).argmax()
    return slots[:, rank_of == busiest].sum(1).double() / slots.sum(1)

def post_mortem(before, after, limit):
    worse = any(b > a + limit for a, b in zip(before["loss"].tolist(), after["loss"].tolist()))
    def mix(period):
        return period["slots"].sum(1) / period["slots"].sum().double()
    def within(period):
        return torch.nn.functional.normalize(period["slots"].double(), p=1, dim=1)
    traffic = 1 - torch.minimum(mix(before), mix(after)).sum().item()
    router = torch.dot(mix(after), 1 - torch.minimum(within(before), within(after)).sum(1)).item()
    placement = (before["rank_of"] != after["rank_of"]).float().mean().item()
    _, cause = max((traffic, "traffic"), (router, "router"), (placement, "placement"))
    return ["latency", "quality"][worse], cause, MITIGATIONS[cause]
""",
}
OPERATIONS_MORE = [
    ("exercise-1", """
from prometheus_client import Gauge
import bisect

class StepMetrics:
    def __init__(self, registry, experts, buckets):
        common = {"registry": registry}
        self._all = (
            Counter("moe_expert_tokens", "a", ("expert",), **common),
            Counter("moe_dropped_tokens", "b", **common),
            Histogram("moe_step_seconds", "c", buckets=buckets, **common),
        )
        self._last = Gauge("moe_last_step", "an extra metric", **common)
        for name in map(str, range(experts)):
            self._all[0].labels(expert=name).inc(0)

    def observe(self, counts, dropped, seconds):
        tokens, lost, took = self._all
        for name, n in zip(map(str, range(len(counts))), counts):
            tokens.labels(expert=name).inc(float(n))
        lost.inc(dropped)
        took.observe(seconds)
        self._last.set(sum(counts))

def quantile(histograms, q):
    bounds = sorted({b for one in histograms for b in one})
    heights = torch.tensor([[one[b] for b in bounds] for one in histograms]).sum(0).tolist()
    i = bisect.bisect_left(heights, q * heights[-1])
    if i == len(bounds) - 1:
        return bounds[-2]
    bounds, heights = [0.0, *bounds], [0, *heights]
    part = (q * heights[-1] - heights[i]) / (heights[i + 1] - heights[i])
    return (1 - part) * bounds[i] + part * bounds[i + 1]
"""),
    ("exercise-2", """
def rank_ratio(counts, rank_of):
    loads = torch.stack([counts[:, rank_of == r].sum(1) for r in sorted(set(rank_of.tolist()))], 1).double()
    return (loads / loads.mean(1, keepdim=True)).amax(1)

def balance(counts, rank_of):
    import numpy
    ratios = rank_ratio(counts, rank_of).numpy()
    return ratios.mean().item(), numpy.quantile(ratios, 0.99).item()

def places(counts, drop):
    total, room = counts.sum().item(), counts.max().item()
    while room > 0 and (counts - (room - 1)).clamp_min(0).sum().item() <= total * drop:
        room -= 1
    return room

def stability(counts, window):
    parts = [p.sum(0) for p in counts.double().split(window) if len(p) == window]
    parts = [p / p.sum() for p in parts]
    return max([torch.dist(a, b, p=1).item() / 2 for a, b in zip(parts, parts[1:])], default=0.0)

def ranks_needed(experts, expert_bytes, other_bytes, memory_bytes):
    fits = [r for r in range(1, experts + 1)
            if -(-experts // r) * expert_bytes + other_bytes <= 0.9 * memory_bytes]
    if fits:
        return min(fits)
    raise ValueError(memory_bytes)
"""),
    ("exercise-3", """
def null_ratios(scores, k, rank_of):
    limit = scores.sort(-1, descending=True).values[..., k - 1 : k]
    return rank_ratio((scores >= limit).sum(1), rank_of)

def alarms(ratios, mean, sd, slack, limit):
    import itertools
    z = [(r - mean) / sd - slack for r in ratios.double().tolist()]
    after = lambda level, gap: max(0.0, (0.0 if level > limit else level) + gap)
    levels = list(itertools.accumulate(z, after, initial=0.0))[1:]
    return [step for step, level in enumerate(levels) if level > limit]

def choose_limit(calm, mean, sd, slack, limits, most):
    best = math.inf
    for limit in limits:
        rings = 0
        for row in range(calm.shape[0]):
            rings += len(alarms(calm[row], mean, sd, slack, limit))
        if rings <= most and limit < best:
            best = limit
    if best == math.inf:
        raise ValueError("none")
    return best
"""),
    ("exercise-4", """
def place(load, ranks):
    held, full = torch.zeros(ranks).double(), torch.zeros(ranks)
    out = torch.empty(len(load), dtype=torch.long)
    for expert in torch.sort(load, descending=True, stable=True).indices:
        open_to = torch.where(full < len(load) // ranks, held, torch.inf)
        rank = open_to.argmin()
        held[rank] += load[expert]
        full[rank] += 1
        out[expert] = rank
    return out

def copies(load, spare):
    low = load.double().max().item()
    values = sorted({x / n for x in load.tolist() for n in range(1, spare + 2)}, reverse=True)
    number = torch.ones_like(load)
    for value in values:
        needed = (load / max(value, 1e-12) - 1e-9).ceil().clamp(min=1).long()
        if needed.sum() > len(load) + spare:
            break
        number = needed
    number[0] += len(load) + spare - number.sum()
    return number
"""),
    ("exercise-5", """
def quality(loss_sums, tokens):
    sums, many = loss_sums.sum(0), tokens.sum(0)
    return torch.true_divide(sums, many), (sums.sum() / many.sum()).item()

def load_by_slice(slots, rank_of):
    table = torch.zeros(int(rank_of.max()) + 1, len(slots)).double()
    for expert, rank in enumerate(rank_of.tolist()):
        table[rank] += slots[:, expert]
    row = max(range(len(table)), key=lambda r: float(table[r].sum()))
    return table[row] / table.sum(0)

def post_mortem(before, after, limit):
    a, b = before["slots"] / before["slots"].sum().double(), after["slots"] / after["slots"].sum().double()
    ma, mb = a.sum(1, keepdim=True), b.sum(1, keepdim=True)
    found = [
        ((ma - mb).abs().sum() / 2, "traffic"),
        ((b - a / ma * mb).abs().sum() / 2, "router"),
        ((before["rank_of"] - after["rank_of"]).ne(0).double().mean(), "placement"),
    ]
    cause = sorted(found, key=lambda pair: float(pair[0]))[-1][1]
    symptom = "quality" if bool(((after["loss"] - before["loss"]) > limit).any()) else "latency"
    return symptom, cause, MITIGATIONS[cause]
"""),
]  # fmt: skip
