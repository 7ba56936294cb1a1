"""What each rank does in the tests of states handed from rank to rank: its own tokens, and all tokens in one
process beside it.

Every process makes the same tensors from the same seed, so that it can hold its part against the whole.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F

from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.delta_rule import delta_rule_chunked, delta_rule_recurrent, unit
from course_lib.layers.recurrent.linear_attention import linear_attention_chunked
from course_lib.layers.recurrent.scan import selective_scan_chunked
from course_lib.layers.recurrent.ssd import ssd_chunked
from course_lib.models.layer_factory import build_layer_cache, build_mixer
from course_lib.parallel.ranks import Ranks
from course_lib.parallel.state_line import StateLine, conv_over_ranks, in_turn, layer_in_turn
from course_lib.parallel.state_prefix import (
    attention_decay,
    delta_transition,
    in_two_steps,
    scan_decay,
    ssd_decay,
)
from course_lib.specs.records import (
    GatedDeltaNetSpec,
    LayerSpec,
    NormSpec,
    RWKVSpec,
    SSMSpec,
)

BATCH, WIDTH = 2, 6
COUNTS = (5, 7, 4, 6)
"""Tokens of each rank: not equally many, and none that a chunk divides."""
NORM = NormSpec(kind="rmsnorm", eps=1e-5)
LAYERS = {
    "Mamba": SSMSpec(kind="mamba1", d_inner=10, state=3, conv=4, dt_rank=2),
    "Mamba-2": SSMSpec(kind="mamba2", d_inner=12, state=5, conv=4, heads=4, head_dim=3, groups=2),
    "gated DeltaNet": GatedDeltaNetSpec(key_heads=2, value_heads=4, key_dim=3, value_dim=5, conv=4),
    "RWKV-4": RWKVSpec(width=7),
}


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tokens_first(form, *weights):
    """A form whose arguments are this rank's tensors first, then those that all ranks share."""
    return lambda *tensors, state, **options: form(
        *tensors[:2], *weights, *tensors[2:], state=state, **options
    )


def forms(t: int) -> dict[str, tuple]:
    """By name: a form, its tensors of t tokens, the state before them, and what sums a run of tokens up."""
    torch.manual_seed(3)
    b, h, k, v, n = BATCH, 3, 4, 5, 3
    q, keys, values = randn(b, t, h, k), unit(randn(b, t, h, k)), randn(b, t, h, v)
    beta, state = randn(b, t, h).sigmoid(), randn(b, h, k, v)
    by_channel, by_head = (F.logsigmoid(randn(b, t, h, gates)) for gates in (k, 1))
    u, dt = randn(b, t, WIDTH), F.softplus(randn(b, t, WIDTH))
    a = -randn(WIDTH, n).exp()
    scan = tokens_first(selective_scan_chunked, a)
    x, steps, rates = randn(b, t, 4, v), F.softplus(randn(b, t, 4)), -randn(4).exp()
    ssd = tokens_first(ssd_chunked, rates)
    shared = randn(b, t, WIDTH), randn(b, t, n)
    return {
        "selective scan": (
            scan,
            [u, dt, shared[1], randn(b, t, n)],
            randn(b, WIDTH, n),
            lambda u, dt, *_: scan_decay(dt, a),
        ),
        "SSD": (
            ssd,
            [x, steps, randn(b, t, 2, n), randn(b, t, 2, n)],
            randn(b, 4, v, n),
            lambda x, dt, *_: ssd_decay(dt, rates),
        ),
        "gated linear attention": (
            linear_attention_chunked,
            [q, keys, values, by_channel],
            state,
            lambda q, k, v, g: attention_decay(g),
        ),
        "gated delta rule": (
            delta_rule_chunked,
            [q, keys, values, beta, by_head],
            state,
            lambda q, k, v, beta, g: delta_transition(k, beta, g, chunk=3),
        ),
        "delta rule, gates by channel": (
            delta_rule_recurrent,
            [q, keys, values, beta, by_channel],
            state,
            lambda q, k, v, beta, g: delta_transition(k, beta, g),
        ),
    }


def gap(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return (ours - theirs).abs().max().item() if ours.numel() else 0.0


def own_part(ranks: Ranks) -> slice:
    first = sum(COUNTS[: ranks.rank])
    return slice(first, first + COUNTS[ranks.rank])


def pulls(*shapes) -> list[torch.Tensor]:
    """Gradients of a loss on outputs and final state, the same on every rank."""
    made = torch.Generator().manual_seed(8)
    return [torch.randn(shape, generator=made, dtype=torch.float64) for shape in shapes]


def one_form(ranks: Ranks, name: str, way: str) -> dict[str, float]:
    """Gaps between a recurrence over the ranks and in one process, and what was sent."""
    form, tensors, start, whole_of = forms(sum(COUNTS[: ranks.count]))[name]
    everything = [x.clone().requires_grad_() for x in (*tensors, start)]
    y, final = form(*everything[:-1], state=everything[-1])
    pull_y, pull_final = pulls(y.shape, final.shape)
    torch.autograd.backward((y, final), (pull_y, pull_final))

    here, last = own_part(ranks), ranks.rank == ranks.count - 1
    own = [x[:, here].clone().requires_grad_() for x in tensors]
    before, line = start.clone().requires_grad_(), StateLine(ranks)
    if way == "in turn":
        found, state = in_turn(form, *own, start=before, line=line)
    else:
        whole = whole_of(*own)
        found, state = in_two_steps(form, *own, whole=whole, start=before, line=line)
    sent = line.sent_bytes, line.messages
    torch.autograd.backward((found, state), (pull_y[:, here], pull_final * last))
    facts = {"forward": gap(found, y[:, here]), "final": gap(state, final) if last else 0.0}
    facts["gradients"] = max(gap(x.grad, z.grad[:, here]) for x, z in zip(own, everything[:-1], strict=True))
    facts["start gradient"] = 0.0 if ranks.rank else gap(before.grad, everything[-1].grad)
    facts |= {"sent": sent[0], "messages": sent[1], "sent backward": line.sent_bytes - sent[0]}
    facts["state bytes"] = start.nbytes
    if way != "in turn":
        facts["transition bytes"] = whole.tensor.nbytes
    return facts


def the_convolution(ranks: Ranks) -> dict[str, float]:
    """A causal convolution over the ranks, its border columns handed on."""
    torch.manual_seed(4)
    conv, x = CausalConv(WIDTH, 4).double(), randn(BATCH, sum(COUNTS[: ranks.count]), WIDTH)
    torch.nn.init.normal_(conv.bias)
    whole = x.clone().requires_grad_()
    y, inputs = conv(whole)
    (pull,) = pulls(y.shape)
    weights = torch.autograd.grad(y, (whole, *conv.parameters()), pull)

    here, line = own_part(ranks), StateLine(ranks)
    own = x[:, here].clone().requires_grad_()
    found, after = conv_over_ranks(conv, own, line)
    sent = line.sent_bytes
    parts = torch.autograd.grad(found, (own, *conv.parameters()), pull[:, here])
    summed = [ranks.all_reduce(part) for part in parts[1:]]
    last = ranks.rank == ranks.count - 1
    return {
        "forward": gap(found, y[:, here]),
        "final": gap(after, inputs) if last else 0.0,
        "gradients": max(map(gap, (parts[0], *summed), (weights[0][:, here], *weights[1:]))),
        "sent": sent,
        "sent backward": line.sent_bytes - sent,
    }


def whole_layers(names: tuple[str, ...]):
    """Layers of those kinds on one stream, every weight random, and a state of zeros for each."""
    torch.manual_seed(len(names))
    specs = [LayerSpec(mixer=LAYERS[name], ffn=None, norm=NORM) for name in names]
    layers = torch.nn.ModuleList(build_mixer(WIDTH, spec) for spec in specs).double()
    with torch.no_grad():
        for weight in layers.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    caches = [build_layer_cache(WIDTH, spec, BATCH, 99, dtype=torch.float64) for spec in specs]
    return layers, caches


def some_layers(ranks: Ranks, names: tuple[str, ...]) -> dict[str, float]:
    """Whole layers over the ranks, with a residual stream around each."""
    t = sum(COUNTS[: ranks.count])
    layers, caches = whole_layers(names)
    x, places = randn(BATCH, t, WIDTH), torch.arange(t).expand(BATCH, -1)
    whole = x.clone().requires_grad_()
    y = whole
    for layer, cache in zip(layers, caches, strict=True):
        y = y + layer(y, places, cache)
    (pull,) = pulls(y.shape)
    y.backward(pull)
    wanted = [weight.grad for weight in layers.parameters()]
    layers.zero_grad()

    here, line, states = own_part(ranks), StateLine(ranks), whole_layers(names)[1]
    own = x[:, here].clone().requires_grad_()
    found = own
    for layer, state in zip(layers, states, strict=True):
        found = found + layer_in_turn(layer, found, places[:, here], state, line)
    sent = line.sent_bytes
    found.backward(pull[:, here])
    summed = [ranks.all_reduce(weight.grad) for weight in layers.parameters()]
    finals = [gap(a[name], b[name]) for a, b in zip(states, caches, strict=True) for name in a.names]
    return {
        "forward": gap(found, y[:, here]),
        "final": max(finals) if ranks.rank == ranks.count - 1 else 0.0,
        "gradients": max(map(gap, (own.grad, *summed), (whole.grad[:, here], *wanted))),
        "sent": sent,
        "sent backward": line.sent_bytes - sent,
    }


STACK = ("Mamba-2", "gated DeltaNet")
ALONE = ("Mamba", "RWKV-4")


def cases(ranks: Ranks) -> dict[str, object]:
    """Everything that one world size is asked."""
    found = {f"{name}, {way}": one_form(ranks, name, way) for name in FORMS for way in WAYS}
    found["convolution"] = the_convolution(ranks)
    found |= {name: some_layers(ranks, (name,)) for name in ALONE}
    return found | {"two layers": some_layers(ranks, STACK)}


def all_cases(ranks: Ranks) -> dict[int, dict[str, object]]:
    """By the number of ranks: all of them, and the last two as a group of their own."""
    pair = dist.new_group([ranks.count - 2, ranks.count - 1])
    found = {ranks.count: cases(ranks)}
    return found | {2: cases(Ranks(pair))} if ranks.rank >= ranks.count - 2 else found


WAYS = ("in turn", "in two steps")
FORMS = (
    "selective scan",
    "SSD",
    "gated linear attention",
    "gated delta rule",
    "delta rule, gates by channel",
)
