"""Right answers written differently from the solution pass too: the checks judge results, not style."""

import pytest

from course_lib.course.labs.generate import lab_names, read_source
from tests.labs.answers import cell, checks, ids
from tests.labs.styles_hybrids import HYBRIDS, HYBRIDS_MORE
from tests.labs.styles_moe import MOE, MOE_MORE, OPERATIONS, OPERATIONS_MORE
from tests.labs.styles_ssm import SSM, SSM_MORE

ATTENTION = {
    "exercise-1": """
def causal_mask(query_positions, key_positions):
    return ~(key_positions.unsqueeze(0) > query_positions.unsqueeze(1))

def scaled_attention(q, k, v, mask):
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    scores = q @ k.transpose(-1, -2) * k.size(-1) ** -0.5
    scores = scores.masked_fill(mask.unsqueeze(1) == 0, float("-inf"))
    top = scores.amax(-1, keepdim=True).clamp(min=-1e300)
    exps = (scores - top).exp()
    weights = exps / exps.sum(-1, keepdim=True).clamp(min=1e-300)
    return (weights @ v).transpose(1, 2), weights
""",
    "exercise-2": """
def split_heads(x, heads):
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads)

def merge_heads(y):
    return torch.cat([y[..., head, :] for head in range(y.shape[-2])], dim=-1)

def to_groups(weight, heads, groups):
    rows, size = weight.shape[0] // heads, heads // groups
    blocks = [weight[head * rows : (head + 1) * rows] for head in range(heads)]
    return torch.cat([sum(blocks[g * size : (g + 1) * size]) / size for g in range(groups)])

def layer(x, weights, heads, groups, mask):
    q = (x @ weights["q"].t()).reshape(*x.shape[:2], groups, heads // groups, -1)
    k = (x @ weights["k"].t()).reshape(*x.shape[:2], groups, -1)
    v = (x @ weights["v"].t()).reshape(*x.shape[:2], groups, -1)
    scores = torch.einsum("btgrk,bsgk->bgrts", q, k) / k.shape[-1] ** 0.5
    a = torch.where(mask[:, None, None], scores, torch.tensor(-1e30).double()).softmax(-1)
    return torch.einsum("bgrts,bsgk->btgrk", a, v).flatten(2) @ weights["o"].t()
""",
    "exercise-3": """
import math

def frequencies(width, theta):
    found = [math.exp(-2 * i / width * math.log(theta)) for i in range(width // 2)]
    return torch.tensor(found, dtype=torch.float64)

def rotate(x, positions, theta):
    half = x.shape[-1] // 2
    angles = torch.outer(positions.double(), frequencies(2 * half, theta))
    turn = torch.polar(torch.ones_like(angles), angles)
    turned = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * turn[:, None]
    return torch.cat((turned.real, turned.imag), dim=-1)

def scores(q, k, query_positions, key_positions, theta):
    q, k = rotate(q, query_positions, theta), rotate(k, key_positions, theta)
    return q.transpose(0, 1) @ k.permute(1, 2, 0) / math.sqrt(q.shape[-1])
""",
    "exercise-4": """
def fold(state, scores, values):
    m, l, acc = state
    both = torch.cat((m[:, None], scores), dim=1)
    new = both.max(dim=1).values
    shares = (both - new[:, None]).exp()
    old, block = shares[:, :1], shares[:, 1:]
    return new, old[:, 0] * l + block.sum(1), old * acc + torch.einsum("ts,sv->tv", block, values)

def tiled_attention(q, k, v, block):
    q = q / q.shape[1] ** 0.5
    l = torch.zeros(len(q)).double()
    m, acc = l - float("inf"), torch.zeros(len(q), v.shape[1]).double()
    first = 0
    while first < len(k):
        m, l, acc = fold((m, l, acc), q @ k[first : first + block].T, v[first : first + block])
        first += block
    return acc / l.unsqueeze(1), l.log() + m
""",
    "exercise-5": """
import math

def swiglu(x, gate, up, down):
    z = torch.nn.functional.linear(x, gate)
    return torch.nn.functional.linear(z / (1 + torch.exp(-z)) * torch.nn.functional.linear(x, up), down)

def equal_width(f, multiple):
    exact = 2 * f
    return multiple * ((exact + 3 * multiple - 1) // (3 * multiple))
""",
    "exercise-6": """
def leaks(layer, x):
    n, found = x.shape[1], set()
    clean = layer(x.clone())
    for s in range(n):
        bump = torch.zeros_like(x)
        bump[:, s, :] = torch.linspace(-1.0, 1.0, x.shape[-1]) ** 2
        difference = layer(x + bump) - clean
        for t in range(s):
            if difference[:, t].abs().max() > 1e-10:
                found.add((t, s))
    return found
""",
    "exercise-stretch": """
def attention_backward(q, k, v, y, lse, dy):
    root = q.shape[1] ** 0.5
    weights = (torch.einsum("tk,sk->ts", q, k) / root - lse.unsqueeze(1)).exp()
    dp = torch.einsum("tv,sv->ts", dy, v)
    ds = weights * dp - weights * (weights * dp).sum(1, keepdim=True)
    return ds @ k / root, torch.einsum("ts,tk->sk", ds, q) / root, torch.einsum("ts,tv->sv", weights, dy)
""",
}
CACHES = {
    "exercise-1": """
import torch.nn.functional as F

class ContiguousCache:
    def __init__(self, batch, capacity, heads, head_dim):
        self.keys = torch.zeros(batch, capacity, heads, head_dim, dtype=torch.float64)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def append(self, keys, values):
        room = self.keys.size(1) - self.length
        if keys.size(1) > room:
            raise ValueError("full")
        for t in range(keys.size(1)):
            self.keys[:, self.length] = keys[:, t]
            self.values[:, self.length] = values[:, t]
            self.length += 1
        return self.keys.narrow(1, 0, self.length), self.values.narrow(1, 0, self.length)

def step(layer, x, cache):
    b, t, _ = x.shape
    held = cache.length
    q, k, v = layer.project(x, (torch.arange(t) + held).repeat(b, 1))
    keys, values = cache.append(k, v)
    mask = torch.ones(t, held + t, dtype=torch.bool).tril(diagonal=held)
    out = F.scaled_dot_product_attention(*(a.transpose(1, 2) for a in (q, keys, values)), attn_mask=mask)
    return layer.wo(out.transpose(1, 2).reshape(b, t, -1))

def run(layer, x, prompt, cache):
    pieces = [x[:, :prompt], *x[:, prompt:].split(1, dim=1)]
    return torch.cat([step(layer, piece, cache) for piece in pieces], dim=1)
""",
    "exercise-2": """
def grouped_attention(q, k, v, mask):
    b, t, h, width = q.shape
    per_group = h // k.shape[2]
    heads = []
    for head in range(h):
        group = head // per_group
        scores = q[:, :, head] @ k[:, :, group].transpose(1, 2) / width**0.5
        heads.append(scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v[:, :, group])
    return torch.stack(heads, dim=2)
""",
    "exercise-3": """
def visible(query_positions, key_positions, window):
    distance = query_positions.unsqueeze(1) - key_positions.unsqueeze(0)
    return (distance >= 0) & (distance < window) & (key_positions != -1)

class RingCache:
    def __init__(self, batch, window, kv_heads, head_dim):
        self.window = window
        self.keys = torch.zeros(batch, window, kv_heads, head_dim, dtype=torch.float64)
        self.values = torch.zeros_like(self.keys)
        self.positions = torch.tensor([-1] * window)

    def append(self, keys, values, positions):
        held = self.positions >= 0
        old = self.keys[:, held].clone(), self.values[:, held].clone(), self.positions[held].clone()
        for t, position in enumerate(positions.tolist()):
            self.keys[:, position % self.window] = keys[:, t]
            self.values[:, position % self.window] = values[:, t]
            self.positions[position % self.window] = position
        if len(positions) == 1:
            return self.keys, self.values, self.positions
        new = keys, values, positions
        return tuple(torch.cat([n, o], dim=0 if n.dim() == 1 else 1) for n, o in zip(new, old))
""",
    "exercise-4": """
class PagedCache:
    def __init__(self, blocks, block_size, kv_heads, head_dim):
        self.block_size = block_size
        self.keys = torch.zeros(blocks, block_size, kv_heads, head_dim, dtype=torch.float64)
        self.values = torch.zeros_like(self.keys)
        self.free = list(range(blocks))
        self.references = [0] * blocks
        self.tables = {}
        self.lengths = {}

    def start(self, name):
        self.tables[name], self.lengths[name] = [], 0

    def allocate(self):
        if len(self.free) == 0:
            raise ValueError("out of memory")
        block = self.free.pop(0)
        self.references[block] += 1
        return block

    def locate(self, name, position):
        index, offset = divmod(position, self.block_size)
        return self.tables[name][index], offset

    def append(self, name, keys, values):
        done = 0
        while done < len(keys):
            start = self.lengths[name] % self.block_size
            if start == 0:
                self.tables[name] += [self.allocate()]
            last = self.tables[name][-1]
            if self.references[last] > 1:
                fresh = self.allocate()
                self.keys[fresh, :start] = self.keys[last, :start]
                self.values[fresh, :start] = self.values[last, :start]
                self.references[last] -= 1
                self.tables[name][-1] = last = fresh
            count = min(self.block_size - start, len(keys) - done)
            self.keys[last, start : start + count] = keys[done : done + count]
            self.values[last, start : start + count] = values[done : done + count]
            done += count
            self.lengths[name] += count

    def gather(self, name):
        places = [self.locate(name, p) for p in range(self.lengths[name])]
        if not places:
            return self.keys[0, :0].clone(), self.values[0, :0].clone()
        return torch.stack([self.keys[p] for p in places]), torch.stack([self.values[p] for p in places])

    def fork(self, parent, child):
        self.tables[child], self.lengths[child] = self.tables[parent].copy(), self.lengths[parent]
        for block in self.tables[parent]:
            self.references[block] = self.references[block] + 1

    def release(self, name):
        del self.lengths[name]
        while self.tables[name]:
            block = self.tables[name].pop()
            self.references[block] -= 1
            if not self.references[block]:
                self.free.insert(0, block)
        del self.tables[name]
""",
    "exercise-5": """
def cache_bytes(config, *, batch, tokens, bytes_per_element=2):
    total = 0
    for layer in range(config["num_hidden_layers"]):
        if config.get("kv_lora_rank"):
            per_token, kept = config["kv_lora_rank"] + config["qk_rope_head_dim"], tokens
        else:
            heads = config.get("num_key_value_heads") or config["num_attention_heads"]
            width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
            per_token, kept = 2 * heads * width, tokens
            if config.get("sliding_window"):
                types = config.get("layer_types")
                if types is None or types[layer] == "sliding_attention":
                    kept = min(kept, config["sliding_window"])
        total += per_token * kept
    return batch * total * bytes_per_element

def as_gib(number):
    return number / 1024 / 1024 / 1024
""",
    "exercise-6": """
import math

def max_concurrency(spec, hardware, context):
    free = hardware.memory_bytes - hardware.memory_bytes / 10 - weight_bytes(spec)
    if free < 0:
        return 0
    return math.floor(free / library_cache_bytes(spec, batch=1, tokens=context))

def decode_step_time(spec, hardware, *, batch, context):
    compute = flops_per_token(spec, context) * batch / hardware.peak_flops
    cache = batch * library_cache_bytes(spec, batch=1, tokens=context)
    memory = (2 * weights_read(spec, batch=batch) + cache) / hardware.bandwidth_bytes_per_s
    return compute if compute > memory else memory

def request_latency(spec, hardware, *, tokens_in, tokens_out):
    seconds, context = prefill_time(spec, hardware, tokens_in), tokens_in
    while context < tokens_in + tokens_out - 1:
        context += 1
        seconds += decode_step_time(spec, hardware, batch=1, context=context)
    return seconds
""",
    "exercise-stretch": """
def encode(x):
    steps = x.abs().max(dim=-1, keepdim=True).values / 127
    safe = torch.where(steps == 0, torch.ones_like(steps), steps)
    return torch.round(x / safe).clamp(-127, 127).to(torch.int8), steps

def decode(codes, steps):
    return codes.to(steps.dtype) * steps

def error_bound(steps):
    return 0.5 * steps
""",
}


PROTOTYPES = {
    "exercise-1": """
def encoder_mask(real):
    return torch.einsum("bi,bj->bij", real.long(), real.long()).bool()

def decoder_mask(real):
    return encoder_mask(real).tril()

def prefix_mask(real, lengths):
    mask = decoder_mask(real)
    for row, length in enumerate(lengths.tolist()):
        mask[row, :, :length] = True
    return mask & encoder_mask(real)

def packed_mask(documents):
    b, n = documents.shape
    mask = torch.zeros(b, n, n, dtype=torch.bool)
    for i in range(n):
        for j in range(i + 1):
            mask[:, i, j] = (documents[:, i] == documents[:, j]) & (documents[:, i] != -1)
    return mask
""",
    "exercise-2": """
def mask_tokens(tokens, special, choose, fate, replacements, mask_id):
    inputs, targets = tokens.clone(), torch.full_like(tokens, -100)
    chosen = ~special
    chosen &= choose < 0.15
    targets[chosen] = tokens[chosen]
    inputs[chosen & (fate < 0.9)] = replacements[chosen & (fate < 0.9)]
    inputs[chosen & (fate < 0.8)] = mask_id
    return inputs, targets
""",
    "exercise-3": """
import torch.nn.functional as F

def next_token_loss(logits, tokens, counts):
    targets = tokens.masked_fill(~counts, -100)[:, 1:]
    if (targets == -100).all():
        raise ValueError("nothing counts")
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), targets)
""",
    "exercise-4": """
import torch.nn.functional as F

class SourceMemory:
    def __init__(self, source, real, weights, heads):
        b, s, _ = source.shape
        project = lambda name: F.linear(source, weights[name]).view(b, s, heads, -1).transpose(1, 2)
        self.k, self.v = project("k"), project("v")
        self.mask, self.q, self.o = real.view(b, 1, 1, s), weights["q"], weights["o"]

    def read(self, x):
        q = F.linear(x, self.q).view(*x.shape[:2], self.k.shape[1], -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, self.k, self.v, attn_mask=self.mask)
        return F.linear(y.transpose(1, 2).reshape(*x.shape[:2], -1), self.o)
""",
    "exercise-5": """
def corrupt(tokens, spans, sentinels):
    hole = {start + i: (number, i) for number, (start, length) in enumerate(spans) for i in range(length)}
    inputs, targets = [], []
    for place, token in enumerate(tokens):
        if place in hole:
            number, within = hole[place]
            if within == 0:
                inputs.append(sentinels[number])
                targets.append(sentinels[number])
            targets.append(token)
        else:
            inputs.append(token)
    targets.append(sentinels[len(spans)])
    return inputs, targets

def restore(inputs, targets, sentinels):
    text = []
    for token in inputs:
        if token not in sentinels:
            text.append(token)
            continue
        place = targets.index(token) + 1
        while targets[place] not in sentinels:
            text.append(targets[place])
            place += 1
    return text
""",
    "exercise-6": """
def token_passes(kind, turns):
    flat = [sum(turn) for turn in turns]
    if kind == "causal":
        return sum(flat)
    if kind == "prefix":
        return sum(sum(flat[: i + 1]) for i in range(len(flat)))
    raise ValueError(kind)
""",
    "exercise-stretch": """
def blank_infilling(tokens, spans, order, mask, start, end):
    text, where = list(tokens), {}
    for number in reversed(range(len(spans))):
        first, length = spans[number]
        text[first : first + length] = [mask]
    found = [place for place, token in enumerate(text) if token == mask]
    a, targets = len(text), []
    places, within = list(range(a)), [0 for _ in range(a)]
    for number in order:
        first, length = spans[number]
        text.append(start)
        text.extend(tokens[first : first + length])
        targets.extend([*tokens[first : first + length], end])
        places.extend(found[number] for _ in range(length + 1))
        within.extend(range(1, length + 2))
    index = torch.arange(len(text))
    return text, targets, places, within, (index[None] <= index[:, None]) | (index[None] < a)
""",
}
KERNELS = {
    "exercise-1": """
@triton.jit
def score_tile(Q, K, S, t, s, width, scale,
               BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, WIDTH: tl.constexpr):
    r = tl.arange(0, BLOCK_Q)[:, None] + BLOCK_Q * tl.program_id(0)
    c = tl.arange(0, BLOCK_K)[None, :] + BLOCK_K * tl.program_id(1)
    total = tl.full([BLOCK_Q, BLOCK_K], 0.0, tl.float64)
    for i in range(width):
        q = tl.load(Q + r * width + i, mask=r < t, other=0.0)
        k = tl.load(K + c * width + i, mask=c < s, other=0.0)
        total += q * k
    tl.store(S + r * s + c, scale * total, mask=(r < t) & (c < s))
""",
    "exercise-2": """
@triton.jit
def flash(Q, K, V, Y, LSE, t, s, scale,
          BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, WIDTH: tl.constexpr, SUM: tl.constexpr):
    r = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    at = tl.arange(0, WIDTH)
    there = r[:, None] < t
    q = scale * tl.load(Q + r[:, None] * WIDTH + at[None, :], mask=there, other=0.0)
    lse = tl.full([BLOCK_Q], -float("inf"), SUM)
    y = tl.full([BLOCK_Q, WIDTH], 0.0, SUM)
    for block in range(tl.cdiv(s, BLOCK_K)):
        c = block * BLOCK_K + tl.arange(0, BLOCK_K)
        k = tl.load(K + c[None, :] * WIDTH + at[:, None], mask=c[None, :] < s, other=0.0)
        v = tl.load(V + c[:, None] * WIDTH + at[None, :], mask=c[:, None] < s, other=0.0)
        z = tl.where(c[None, :] < s, tl.dot(q, k, input_precision="ieee"), -float("inf"))
        top = tl.maximum(lse, tl.max(z, 1))
        total = tl.exp(lse - top) + tl.sum(tl.exp(z - top[:, None]), 1)
        new = top + tl.log(total)
        y = y * tl.exp(lse - new)[:, None] + tl.dot(tl.exp(z - new[:, None]), v, input_precision="ieee")
        lse = new
    tl.store(Y + r[:, None] * WIDTH + at[None, :], y, mask=there)
    tl.store(LSE + r, lse, mask=r < t)
""",
    "exercise-3": """
@triton.jit
def flash_causal(Q, K, V, Y, LSE, t, s, scale,
                 BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, WIDTH: tl.constexpr, SUM: tl.constexpr):
    r = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    at = tl.arange(0, WIDTH)
    q = tl.load(Q + r[:, None] * WIDTH + at[None, :], mask=r[:, None] < t, other=0.0)
    m = tl.full([BLOCK_Q], -1e300, SUM)
    l, y = tl.full([BLOCK_Q], 0.0, SUM), tl.full([BLOCK_Q, WIDTH], 0.0, SUM)
    position = r + (s - t)
    start = 0
    while start <= tl.minimum(s - 1, tl.max(position, 0)):
        c = start + tl.arange(0, BLOCK_K)
        k = tl.load(K + c[:, None] * WIDTH + at[None, :], mask=c[:, None] < s, other=0.0)
        v = tl.load(V + c[:, None] * WIDTH + at[None, :], mask=c[:, None] < s, other=0.0)
        hidden = (c[None, :] > position[:, None]) | (c[None, :] >= s)
        z = tl.where(hidden, -1e300, tl.dot(q, tl.trans(k), input_precision="ieee") * scale)
        top = tl.maximum(m, tl.max(z, 1))
        p = tl.where(hidden, 0.0, tl.exp(z - top[:, None]))
        l = l * tl.exp(m - top) + tl.sum(p, 1)
        y = y * tl.exp(m - top)[:, None] + tl.dot(p, v, input_precision="ieee")
        m = top
        start += BLOCK_K
    tl.store(Y + r[:, None] * WIDTH + at[None, :], y / l[:, None], mask=r[:, None] < t)
    tl.store(LSE + r, m + tl.log(l), mask=r < t)
""",
    "exercise-stretch": """
@triton.jit
def flash_heads(Q, K, V, Y, t, s, heads, groups, scale,
                BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, WIDTH: tl.constexpr, SUM: tl.constexpr):
    head = tl.program_id(1)
    Q += head * WIDTH
    Y += head * WIDTH
    K += head * groups // heads * WIDTH
    V += head * groups // heads * WIDTH
    r, at = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q), tl.arange(0, WIDTH)
    q = tl.load(Q + r[:, None] * (heads * WIDTH) + at[None, :], mask=r[:, None] < t, other=0.0)
    m, l = tl.full([BLOCK_Q], -float("inf"), SUM), tl.full([BLOCK_Q], 0.0, SUM)
    y = tl.full([BLOCK_Q, WIDTH], 0.0, SUM)
    for start in range(0, s, BLOCK_K):
        c = start + tl.arange(0, BLOCK_K)
        place = c[:, None] * (groups * WIDTH) + at[None, :]
        k = tl.load(K + place, mask=c[:, None] < s, other=0.0)
        v = tl.load(V + place, mask=c[:, None] < s, other=0.0)
        z = tl.where(c[None, :] < s, tl.dot(q, tl.trans(k), input_precision="ieee") * scale, -float("inf"))
        top = tl.maximum(m, tl.max(z, 1))
        p, old = tl.exp(z - top[:, None]), tl.exp(m - top)
        m, l, y = top, l * old + tl.sum(p, 1), y * old[:, None] + tl.dot(p, v, input_precision="ieee")
    tl.store(Y + r[:, None] * (heads * WIDTH) + at[None, :], y / l[:, None], mask=r[:, None] < t)
""",
}
LABS = {
    "01_prototypes": PROTOTYPES,
    "02_attention_math": ATTENTION,
    "02_flash_kernel": KERNELS,
    "03_kv_cache": CACHES,
    "04_moe": MOE,
    "04_moe_operations": OPERATIONS,
    "05_ssm": SSM,
    "09_hybrids": HYBRIDS,
}
CASES = [(lab, exercise, code) for lab, answers in LABS.items() for exercise, code in answers.items()]

# Answers that a check once refused, or that lean on what PyTorch has.
MORE = [
    ("03_kv_cache", "exercise-1", """
import torch


class ContiguousCache:
    def __init__(self, batch, capacity, heads, head_dim):
        self.keys = torch.zeros(batch, capacity, heads, head_dim, dtype=torch.float64)
        self.values = torch.zeros_like(self.keys)
        self.length = 0
    def append(self, keys, values):
        start, end = self.length, self.length + keys.shape[1]
        if end > self.keys.shape[1]:
            raise ValueError(f"cache full: {end} > {self.keys.shape[1]}")
        self.keys[:, start:end].copy_(keys)
        self.values[:, start:end].copy_(values)
        self.length = end
        return self.keys[:, :end], self.values[:, :end]
def step(layer, x, cache):
    outs = []
    q, k, v = layer.project(x, torch.arange(cache.length, cache.length + x.shape[1]).expand(x.shape[:2]))
    for i in range(x.shape[1]):
        keys, values = cache.append(k[:, i:i+1], v[:, i:i+1])
        w = torch.einsum("bhk,bshk->bhs", q[:, i], keys).div(q.shape[-1] ** .5).softmax(-1)
        outs.append(torch.einsum("bhs,bshk->bhk", w, values).flatten(1))
    return layer.wo(torch.stack(outs, 1))
def run(layer, x, prompt, cache):
    first = step(layer, x[:, :prompt], cache)
    if prompt == x.shape[1]: return first
    return torch.cat([first, run(layer, x[:, prompt:], 1, cache)], 1)
"""),
    ("03_kv_cache", "exercise-2", """
import torch.nn.functional as F

def grouped_attention(q, k, v, mask):
    parts = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(*parts, attn_mask=mask[:, None], enable_gqa=True).transpose(1, 2)
"""),
    ("02_attention_math", "exercise-2", """
import torch.nn.functional as F

def split_heads(x, heads):
    return torch.stack(x.chunk(heads, dim=-1), dim=-2)

def merge_heads(y):
    return y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])

def to_groups(weight, heads, groups):
    mixing = torch.kron(torch.eye(groups), torch.ones(1, heads // groups)).double() * groups / heads
    return (mixing @ weight.reshape(heads, -1)).reshape(-1, weight.shape[1])

def layer(x, weights, heads, groups, mask):
    counts = zip("qkv", (heads, groups, groups))
    q, k, v = (split_heads(F.linear(x, weights[name]), n).transpose(1, 2) for name, n in counts)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None], enable_gqa=True)
    return F.linear(merge_heads(y.transpose(1, 2)), weights["o"])
"""),
    ("01_prototypes", "exercise-4", """
import torch.nn.functional as F

class SourceMemory:
    def __init__(self, source, real, weights, heads):
        self.split = lambda y: y.reshape(*y.shape[:2], heads, -1).transpose(1, 2)
        self.keys, self.values = (self.split(F.linear(source, weights[name])) for name in "kv")
        self.real, self.into, self.back = real.clone(), weights["q"].clone(), weights["o"].clone()

    def read(self, x):
        q = self.split(x @ self.into.t())
        y = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=self.real[:, None, None])
        return y.transpose(1, 2).flatten(2) @ self.back.t()
"""),
    *(("04_moe", exercise, code) for exercise, code in MOE_MORE),
    *(("04_moe_operations", exercise, code) for exercise, code in OPERATIONS_MORE),
    *(("05_ssm", exercise, code) for exercise, code in SSM_MORE),
    *(("09_hybrids", exercise, code) for exercise, code in HYBRIDS_MORE),
]  # fmt: skip


@pytest.mark.parametrize(("lab", "exercise", "code"), CASES + MORE)
def test_another_right_answer_passes(kernel, lab, exercise, code):
    source = read_source(lab)
    for given in ids(source, "locked"):
        if not given.startswith("table"):
            assert kernel(cell(source, given).source).status == "ok"
    defined = kernel(code)
    assert defined.status == "ok", defined.message
    for check in checks(source, exercise):
        outcome = kernel(cell(source, check).source)
        assert outcome.status == "ok", outcome.message


@pytest.mark.parametrize("lab", lab_names())
def test_every_exercise_has_a_second_answer(lab):
    assert set(LABS[lab]) == set(ids(read_source(lab), "solution"))
