"""Right answers to the lab on hybrids, written differently from the solutions."""

HYBRIDS = {
    "exercise-1": """
from collections import Counter

def price(pattern, sizes, context):
    d, hk, gk, k = sizes.width, sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim, sizes.head_dim
    near = sizes.window
    rows = {
        "a": (2 * d * (hk + gk), 0, 4 * hk * context, 4 * gk * context),
        "w": (2 * d * (hk + gk), 0, 4 * hk * min(context, near), 4 * gk * min(context, near - 1)),
        "d": (d * (5 * hk + 2 * sizes.heads) + 12 * hk, 2 * sizes.heads + k, 7 * hk * k,
              4 * hk * k + 24 * hk),
        "c": (d * (4 * d + 3), 0, 0, 6 * d),
    }
    counts = Counter(pattern)
    if set(counts) - set(rows):
        raise ValueError(pattern)
    w, v, f, b = (sum(n * rows[one][i] for one, n in counts.items()) for i in range(4))
    layers, table = len(pattern), sizes.vocab * d
    w += layers * 3 * d * sizes.ffn + table
    v += d * (2 * layers + 1)
    return dict(cache_bytes=b, flops=f + 2 * w, params=w + v + (not sizes.tied) * table)

def exceeded(price, budget):
    limits = {name: math.inf if limit is None else limit for name, limit in budget.items()}
    return list(filter(lambda name: price[name] > limits[name], limits))

def design(sizes, layers, context, budget):
    fitting = []
    for a in range(layers + 1):
        pattern = ["d"] * layers
        for number in range(1, a + 1):
            pattern[-(-number * layers // a) - 1] = "a"
        if exceeded(price("".join(pattern), sizes, context), budget) == []:
            fitting.append("".join(pattern))
    if not fitting:
        raise ValueError("none")
    return max(fitting, key=lambda one: one.count("a"))
""",
    "exercise-2": """
import numpy as np

def matched_ffn(pattern, sizes, context, what, target, multiple):
    def cost(f):
        return price(pattern, replace(sizes, ffn=f), context)[what]
    f = multiple
    while cost(f + multiple) <= target:
        f += multiple
    return min((f, f + multiple), key=lambda one: abs(cost(one) - target))

def mismatches(first, second, within):
    one, other = first["losses"].keys(), second["losses"].keys()
    apart = {
        "params": max(first["params"] / second["params"], second["params"] / first["params"]) > 1 + within,
        "flops": max(first["flops"] / second["flops"], second["flops"] / first["flops"]) > 1 + within,
        "tokens": first["tokens"] != second["tokens"],
        "data": first["data"] != second["data"],
        "seeds": len(one & other) < 5 or bool(one ^ other),
    }
    return [name for name in apart if apart[name]]

def paired(first, second):
    if first.keys() != second.keys() or len(first) <= 1:
        raise ValueError("seeds")
    keys = sorted(first)
    gap = np.array([first[s] for s in keys]) - np.array([second[s] for s in keys])
    half = t_quantile(0.975, gap.size - 1) * gap.std(ddof=1) / gap.size**0.5
    return [float(gap.mean()), float(gap.mean() - half), float(gap.mean() + half)]
""",
    "exercise-3": """
def front(points):
    names, x = list(points), torch.tensor(list(points.values()), dtype=torch.float64)
    no_larger = (x[:, None] <= x[None]).all(-1)
    smaller = (x[:, None] < x[None]).any(-1)
    beaten = (no_larger & smaller).any(0)
    return [name for name, out in zip(names, beaten.tolist()) if not out]

def random_search(draw, fits, score, evaluations, tries):
    scores, order = {}, []
    while tries > 0 and len(order) < evaluations:
        tries -= 1
        one = draw()
        if one in scores or not fits(one):
            continue
        scores[one] = score(one)
        order.append(one)
    return {one: scores[one] for one in order}

def chosen(found, again, test, top, seeds):
    ranked = [name for _, name in sorted((value, name) for name, value in found.items())][:top]
    table = {(name, seed): again(name, seed) for seed in seeds for name in ranked}
    means = [sum(table[name, seed] for seed in seeds) / len(seeds) for name in ranked]
    at = means.index(min(means))
    lucky = sum(means) / len(ranked) - sum(found[name] for name in ranked) / len(ranked)
    winner = ranked[at]
    return dict(curse=lucky, winner=winner, fresh=means[at], searched=found[winner], test=test(winner))
""",
    "exercise-4": """
import torch.nn.functional as F

def memory_attention(x, memory, weights, size):
    with torch.no_grad():
        kept = torch.cat((memory, x), 1).flip(1)[:, :size].flip(1).clone()
    s, t = memory.size(1), x.size(1)
    line = torch.cat((memory.clone().detach(), x), 1)
    q, k, v = F.linear(x, weights["q"]), F.linear(line, weights["k"]), F.linear(line, weights["v"])
    seen = torch.arange(s + t) <= torch.arange(s, s + t)[:, None]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return F.linear(y, weights["o"]), kept

def fire(x, beta, threshold):
    membrane, rows = x.new_zeros(x.shape[0], x.shape[2]), []
    for i in range(x.shape[1]):
        if rows:
            fall = rows[-1].detach() * threshold
            membrane = membrane - fall / beta if beta else -fall
        membrane = (beta * membrane if beta else membrane) + x[:, i]
        rows.append(spike(membrane - threshold))
    return torch.stack(rows).transpose(0, 1)

def retrieve(codes, spans, query, asked, n):
    hidden = torch.tensor([doc == asked[0] and not last <= asked[1] for doc, first, last in spans])
    products = torch.mv(codes, query).masked_fill(hidden, -torch.inf)
    found = torch.topk(products, min(n, int((~hidden).sum()))).indices
    return [int(i) for i in found]

class Variant:
    def names(self):
        return ["sum", "conv", "events"], ["v", "k", "q", "near", "fired"]

    def mix(self, x, memory, weights, parts):
        b, t, d = x.shape
        carried, last = (x.new_zeros(b, d), x.new_zeros(b, 1, d)) if memory is None else memory
        value, key = x @ weights["v"].mT, torch.sigmoid(x @ weights["k"].mT)
        state, rows = carried if "sum" in parts else x.new_zeros(b, d), []
        for i in range(t):
            state = 0.9 * state + key[:, i] * value[:, i]
            rows.append(state)
        y = torch.stack(rows, 1) * torch.tanh(x @ weights["q"].mT)
        if "conv" in parts:
            before = torch.cat([last, x[:, :-1]], 1)
            y = y + before @ weights["near"].mT
        if "events" in parts:
            y = y + fire(x, 0.5, 0.5) @ weights["fired"].mT
        return y, (state.detach(), x[:, -1:].detach())

def ablate(parts, run, seeds):
    left = {"": tuple(parts)} | {one: tuple(p for p in parts if p != one) for one in parts}
    losses = {(one, seed): run(on, seed) for seed in seeds for one, on in left.items()}
    rows = {}
    for one in parts:
        rows[one] = paired({s: losses[one, s] for s in seeds}, {s: losses["", s] for s in seeds})
    return rows
""",
    "exercise-5": """
def numbers(runs):
    table, costs = {}, {}
    for one in runs:
        name = one["name"]
        table.setdefault(name, {})[one["seed"]] = one["loss"]
        costs.setdefault(name, set()).add((one["params"], one["flops"], one["tokens"]))
    try:
        base = table["base"]
    except KeyError:
        raise ValueError("base") from None
    if len({t for rows in costs.values() for _, _, t in rows}) > 1:
        raise ValueError("tokens")
    rows = {}
    for name, losses in table.items():
        gap = paired(losses, base)
        word = "cannot tell"
        if gap[2] < 0 or gap[1] > 0:
            word = "better" if gap[0] < 0 else "worse"
        params, flops, _ = min(costs[name])
        loss = sum(losses.values()) / len(losses)
        sizes = {"flops": flops, "params": params}
        rows[name] = dict(zip(("gap", "low", "high"), gap), verdict=word, loss=loss, **sizes)
    return rows

def report(runs):
    found = numbers(runs)
    seeds = len(set(one["seed"] for one in runs))
    text = f"From {seeds} seeds each; base: {found['base']['loss']:.5f} nats" + chr(10) * 2
    for name, row in found.items():
        if name == "base":
            continue
        ends = f"{row['low']:+.4f} to {row['high']:+.4f}"
        more = f"params {row['params']} flops {row['flops']} (base {found['base']['flops']})"
        line = f"  {name}: {row['verdict']} by {row['gap']:+.4f} ({ends}), loss {row['loss']:.4f}, {more}"
        text += line + chr(10)
    return text
""",
    "exercise-stretch": """
def crowding(points):
    found = [0.0 for _ in points]
    for column in zip(*points):
        pairs = sorted((value, i) for i, value in enumerate(column))
        spread = pairs[-1][0] - pairs[0][0]
        for (low, _), (_, i), (high, _) in zip(pairs, pairs[1:], pairs[2:]):
            found[i] += (high - low) / spread if spread else 0
        found[pairs[0][1]] = found[pairs[-1][1]] = float("inf")
    return found
""",
}
HYBRIDS_MORE = [
    ("exercise-1", """
def price(pattern, sizes, context):
    def layer(letter):
        d, h, g, k = sizes.width, sizes.heads, sizes.kv_heads, sizes.head_dim
        match letter:
            case "a":
                return torch.tensor([2 * d * k * (h + g), 0, 4 * h * k * context, 4 * g * k * context])
            case "w":
                t = torch.tensor(context)
                seen, kept = (int(t.clamp(max=m)) for m in (sizes.window, sizes.window - 1))
                return torch.tensor([2 * d * k * (h + g), 0, 4 * h * k * seen, 4 * g * k * kept])
            case "d":
                return torch.tensor([5 * d * h * k + 2 * d * h + 12 * h * k, 2 * h + k, 7 * h * k * k,
                                     4 * h * k * k + 24 * h * k])
            case "c":
                return torch.tensor([4 * d * d + 3 * d, 0, 0, 6 * d])
        raise ValueError(letter)
    mixers = sum(map(layer, pattern)).tolist()
    ends = sizes.vocab * sizes.width
    weights = mixers[0] + 3 * len(pattern) * sizes.width * sizes.ffn + ends
    norms = (2 * len(pattern) + 1) * sizes.width
    params = weights + norms + mixers[1] + (0 if sizes.tied else ends)
    return {"params": params, "flops": 2 * weights + mixers[2], "cache_bytes": mixers[3]}

def exceeded(price, budget):
    return [n for n in budget if budget[n] is not None if not price[n] <= budget[n]]

def design(sizes, layers, context, budget, count=None):
    count = layers if count is None else count
    if count < 0:
        raise ValueError("nothing fits")
    flags = torch.arange(1, layers + 1) * count // layers - torch.arange(layers) * count // layers
    pattern = "".join("da"[flag] for flag in flags.tolist())
    if exceeded(price(pattern, sizes, context), budget):
        return design(sizes, layers, context, budget, count - 1)
    return pattern
"""),
    ("exercise-2", """
def matched_ffn(pattern, sizes, context, what, target, multiple):
    empty = price(pattern, replace(sizes, ffn=0), context)[what]
    per_unit = price(pattern, replace(sizes, ffn=1), context)[what] - empty
    exact = (target - empty) / (per_unit * multiple)
    below = max(1, math.floor(exact))
    return multiple * (below if exact - below <= 0.5 else below + 1)

def mismatches(first, second, within):
    found = list()
    for name in "params flops tokens data losses".split():
        a, b = first[name], second[name]
        if name in ("params", "flops"):
            wrong = abs(a - b) > within * min(a, b)
        elif name == "losses":
            name, wrong = "seeds", sorted(a) != sorted(b) or len(a) <= 4
        else:
            wrong = not a == b
        found.extend([name] * wrong)
    return found

def paired(first, second):
    seeds = sorted(set(first) | set(second))
    try:
        gaps = torch.tensor([first[s] - second[s] for s in seeds], dtype=torch.float64)
    except KeyError as error:
        raise ValueError("a seed is missing") from error
    if gaps.numel() < 2:
        raise ValueError("one seed")
    mean, n = gaps.mean(), gaps.numel()
    half = t_quantile(0.025, n - 1) * (gaps.var() / n).sqrt()
    return mean.item(), (mean + half).item(), (mean - half).item()
"""),
    ("exercise-3", """
def front(points):
    left = []
    for name, point in points.items():
        rivals = [p for p in points.values() if p != point]
        if all(any(mine < theirs for mine, theirs in zip(point, rival)) for rival in rivals):
            left.append(name)
    return left

def random_search(draw, fits, score, evaluations, tries):
    found, known = {}, set()
    if evaluations <= 0:
        return found
    for _ in range(tries):
        one = draw()
        new = one not in known
        known.add(one)
        if new and fits(one):
            found[one] = score(one)
            if len(found) >= evaluations:
                return found
    return found

def chosen(found, again, test, top, seeds):
    import heapq
    best = heapq.nsmallest(top, found, key=lambda name: found[name])
    fresh = [[again(name, seed) for seed in seeds] for name in best]
    fresh = torch.tensor(fresh, dtype=torch.float64).mean(1)
    place = int(fresh.argmin())
    winner, before = best[place], torch.tensor([found[name] for name in best], dtype=torch.float64)
    return {"winner": winner, "searched": found[winner], "fresh": fresh[place].item(),
            "test": test(winner), "curse": (fresh - before).mean().item()}
"""),
    ("exercise-4", """
def memory_attention(x, memory, weights, size):
    b, t, d = x.shape
    past, rows = memory.detach().clone(), []
    for i in range(t):
        line = torch.cat([past, x[:, : i + 1]], 1)
        q = torch.einsum("bd,ed->be", x[:, i], weights["q"])
        k, v = (torch.einsum("bsd,ed->bse", line, weights[name]) for name in "kv")
        share = torch.einsum("be,bse->bs", q * d**-0.5, k).softmax(1)
        rows.append(torch.einsum("bs,bse,fe->bf", share, v, weights["o"]))
    whole = torch.cat([past, x.detach()], 1)
    return torch.stack(rows, 1), whole[:, whole.shape[1] - min(size, whole.shape[1]) :]

def fire(x, beta, threshold):
    u, out = torch.zeros_like(x[:, :1]), []
    for step in x.split(1, dim=1):
        u = beta * u + step - torch.where(u > threshold, threshold, 0.0).to(x.dtype)
        out.append(spike(u - threshold))
    return torch.cat(out, dim=1)

def retrieve(codes, spans, query, asked, n):
    ranked = (codes * query).sum(1).argsort(descending=True).tolist()
    found = []
    for i in ranked:
        document, _, last = spans[i]
        if len(found) < n and (document, last) not in [(asked[0], end) for end in range(asked[1] + 1, 10**4)]:
            found.append(i)
    return found

class Variant:
    def names(self):
        return ("memory", "sharp"), ("q", "k", "v", "o")

    def mix(self, x, memory, weights, parts):
        own = dict(weights)
        if "sharp" in parts:
            own["q"] = 2 * own["q"]
        if memory is None or "memory" not in parts:
            memory = x.new_zeros(len(x), 0, x.shape[2])
        return memory_attention(x, memory, own, 5)

def ablate(parts, run, seeds):
    whole = dict(zip(seeds, [run(tuple(parts), seed) for seed in seeds]))
    def row(i):
        rest = tuple(parts[:i]) + tuple(parts[i + 1 :])
        return paired({seed: run(rest, seed) for seed in seeds}, whole)
    return {part: row(i) for i, part in enumerate(parts)}
"""),
    ("exercise-5", """
def numbers(runs):
    names = []
    for one in runs:
        if one["name"] not in names:
            names.append(one["name"])
    if names.count("base") == 0:
        raise ValueError("no base")
    def of(name, key):
        return {one["seed"]: one[key] for one in runs if one["name"] == name}
    def row(name):
        if set(of(name, "tokens").values()) != set(of("base", "tokens").values()):
            raise ValueError("tokens")
        gap, low, high = paired(of(name, "loss"), of("base", "loss"))
        verdict = ["cannot tell", "better", "worse"][(high < 0) + 2 * (low > 0)]
        first = next(one for one in runs if one["name"] == name)
        return {"loss": statistics.fmean(of(name, "loss").values()), "params": first["params"],
                "flops": first["flops"], "gap": gap, "low": low, "high": high, "verdict": verdict}
    return {name: row(name) for name in names}

def report(runs):
    rows = numbers(runs)
    lines = ["%d seeds" % len({one["seed"] for one in runs})]
    for name in rows:
        if name != "base":
            r = rows[name]
            values = tuple(r[key] for key in ("loss", "gap", "low", "high"))
            costs = f" | {r['params']} | {r['flops']} | " + r["verdict"]
            lines += [name + ": " + "%.6f | %.6f | %.6f | %.6f" % values + costs]
    return chr(10).join(lines)
"""),
    ("exercise-5", """
def numbers(runs):
    order = list(dict.fromkeys(one["name"] for one in runs))
    rows = sorted(runs, key=lambda one: one["seed"])
    def pick(name, key):
        return [one[key] for one in rows if one["name"] == name]
    seeds, found = pick("base", "seed"), {}
    if not seeds:
        raise ValueError("base")
    for name in order:
        if pick(name, "seed") != seeds or set(pick(name, "tokens")) != set(pick("base", "tokens")):
            raise ValueError(name)
        gap, *ends = paired(*(dict(zip(seeds, pick(one, "loss"))) for one in (name, "base")))
        verdict = "better" if max(ends) < 0 else "worse" if min(ends) > 0 else "cannot tell"
        found[name] = {"verdict": verdict, "gap": gap, "low": ends[0], "high": ends[1],
                       "loss": statistics.mean(pick(name, "loss")),
                       "params": pick(name, "params")[-1], "flops": pick(name, "flops")[-1]}
    return found

def report(runs):
    rows, base = numbers(runs), numbers(runs)["base"]
    lines = [f"{len({one['seed'] for one in runs})} seeds, 95% intervals"]
    for name, row in rows.items():
        if name != "base":
            values = f"{row['loss']:.3f}, {row['gap']:+.3f}, {row['low']:.3f}..{row['high']:.3f}"
            costs = [f"{row[key]:_} {key} ({row[key] - base[key]:+,})" for key in ("params", "flops")]
            lines.append(f"{name}: {values}, {', '.join(costs)}, {row['verdict']}")
    return chr(10).join(lines)
"""),
    ("exercise-stretch", """
def crowding(points):
    found = [0.0] * len(points)
    for column in zip(*points):
        size = max(column) - min(column)
        if size == 0:  # nobody is first, nobody last
            continue
        order = sorted(range(len(points)), key=column.__getitem__)
        for i in (order[0], order[-1]):
            found[i] = math.inf
        for place in range(1, len(order) - 1):
            found[order[place]] += (column[order[place + 1]] - column[order[place - 1]]) / size
    return found
"""),
]  # fmt: skip
