"""What each rank does in the tests of expert parallelism: a whole layer and its own part of it, side by side.

Every process builds the same layer from the same seed and knows the tokens of all ranks, so that it can hold
its part against one process with all tokens.
"""

import torch
from torch import nn

from course_lib.layers.feed_forward.dispatch import dispatch_loop
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router, Routing
from course_lib.parallel.experts import ExpertParallel
from course_lib.parallel.once_per_rank import OncePerRank
from course_lib.parallel.placement import Placement
from course_lib.parallel.ranks import Ranks
from course_lib.simulate.expert_placement import packed_slots

WIDTH, INNER, TOKENS, EXPERTS = 10, 6, 9, 8
CASES = {
    "softmax, top 2": {"router": {"k": 2}},
    "sigmoid, bias, groups": {
        "router": {"k": 3, "scoring": "sigmoid", "groups": 4, "top_groups": 2, "selection_bias": True},
    },
    "shared, latent, zero experts": {"router": {"k": 2}, "latent": 4, "zero": 2, "shared": True},
    "Llama 4: inputs weighed": {"router": {"k": 1, "renormalise": False}, "weigh_input": True},
    "biases, clamped": {"router": {"k": 2}, "experts": {"activation": "swiglu_clamped", "bias": True}},
    "replicas": {"router": {"k": 2}, "replicas": 4},
    "all to one rank": {"router": {"k": 2}, "skew": True},
    "a rank without tokens": {"router": {"k": 2}, "empty": True},
    "even": {"router": {"k": 2}, "even": True},
}


class Even(nn.Module):
    """A router by turns: pick j of token t is expert (2 t + j) mod e, with learned weights."""

    def __init__(self, d: int, e: int) -> None:
        super().__init__()
        self.d, self.e, self.gate = d, e, nn.Linear(d, 2, bias=False)

    def forward(self, x: torch.Tensor) -> Routing:
        weights = self.gate(x).softmax(-1)
        picks = (2 * torch.arange(len(x))[:, None] + torch.arange(2)) % self.e
        scores = x.new_zeros(len(x), self.e)
        return Routing(picks, weights, scores, scores)


def whole_layer(case: str) -> MoE:
    """The layer of a case, every weight random, the selection bias too."""
    torch.manual_seed(sorted(CASES).index(case))
    given = CASES[case]
    latent, zero = given.get("latent", 0), given.get("zero", 0)
    even = given.get("even")
    router = Even(WIDTH, EXPERTS) if even else Router(WIDTH, EXPERTS + zero, **given["router"])
    layer = MoE(
        router,
        Experts(EXPERTS, latent or WIDTH, INNER, **given.get("experts", {})),
        SharedExpert(GatedMLP(WIDTH, 5), WIDTH, gate=True) if given.get("shared") else None,
        latent=latent,
        zero=zero,
        weigh_input=given.get("weigh_input", False),
        dispatch=dispatch_loop,
    ).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.randn_like(weight) * 0.4)
        if getattr(router, "selection_bias", None) is not None:
            router.selection_bias.copy_(0.3 * torch.randn(EXPERTS))
        if given.get("skew"):
            router.gate.weight[:2, 0] += 9.0
    return layer


def tokens_of_all(case: str, ranks: int) -> list[torch.Tensor]:
    """Each rank's tokens: not equally many, but where loads are to be even."""
    torch.manual_seed(77)
    given = CASES[case]
    counts = [8] * ranks if given.get("even") else [TOKENS + 2 * rank for rank in range(ranks)]
    if given.get("empty"):
        counts[-1] = 0
    tokens = [torch.randn(count, WIDTH, dtype=torch.float64) for count in counts]
    for own in tokens:
        if given.get("skew"):
            own[:, 0] = own[:, 0].abs() + 1
    return tokens


def gap(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return (ours - theirs).abs().max().item() if ours.numel() else 0.0


def one_case(ranks: Ranks, case: str, kind: type = ExpertParallel) -> dict[str, float]:
    """Gaps between the layer over the ranks and the whole layer, and what was sent."""
    every = tokens_of_all(case, ranks.count)
    whole = whole_layer(case)
    x = torch.cat(every).requires_grad_()
    expected = whole(x)
    pulled = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected.backward(pulled)

    placement = None
    if replicas := CASES[case].get("replicas"):
        placement = Placement(packed_slots(range(EXPERTS, 0, -1), ranks.count, replicas))
    layer = kind(whole_layer(case), ranks, placement)
    first = sum(map(len, every[: ranks.rank]))
    here = slice(first, first + len(every[ranks.rank]))
    own = every[ranks.rank].clone().requires_grad_()
    got = layer(own)
    wire, facts = layer.wire, {"forward": gap(got, expected[here])}
    facts |= {"sent": wire.sent_bytes, "counts": wire.count_bytes, "exchanges": wire.exchanges}
    got.backward(pulled[here])
    facts |= {"sent backward": wire.sent_bytes - facts["sent"]}
    layer.add_up_shared_gradients()

    facts["input gradient"] = gap(own.grad, x.grad[here])
    wanted = dict(whole.named_parameters())
    slots = list(layer.placement.slots[ranks.rank])
    facts["gradients"] = 0.0
    for name, weight in layer.named_parameters():
        theirs = wanted[name].grad
        theirs = theirs[slots] if name.startswith("experts.") else theirs
        facts["gradients"] = max(facts["gradients"], gap(weight.grad, theirs))
    return facts | formula(case, layer, every, ranks)


def formula(case: str, layer: ExpertParallel, every: list[torch.Tensor], ranks: Ranks) -> dict[str, float]:
    """What this rank's own picks say that it sends and gets, one by one; and the shape of the case."""
    visits = [ranks_of_tokens(layer, own) for own in every]  # [rank][token][pick]: the rank that holds it
    me, mine = ranks.rank, visits[ranks.rank]
    back = [token for rank, own in enumerate(visits) if rank != me for token in own]
    return {
        "picks": sum(map(len, mine)),
        "away": sum(home != me for token in mine for home in token),
        "returned": sum(token.count(me) for token in back),
        "away once": sum(len(set(token) - {me}) for token in mine),
        "returned once": sum(me in token for token in back),
        "gets": sum(token.count(me) for own in visits for token in own),
        "gets once": sum(me in token for own in visits for token in own),
        "arrived": layer.arrived,
        "slots": len(layer.placement.slots[0]),
        "width": CASES[case].get("latent", 0) or WIDTH,
        "tokens": sum(map(len, every)),
        "most ranks of a token": max((len(set(token)) for token in mine), default=0),
    }


def ranks_of_tokens(layer: ExpertParallel, tokens: torch.Tensor) -> list[list[int]]:
    """For each token the ranks of its picks, without those of zero experts."""
    holder = [rank for rank, own in enumerate(layer.placement.slots) for _ in own]
    experts = layer.router(tokens).experts
    slots = layer.placement.slot_of(experts.masked_fill(experts >= layer.placement.e, -1))
    return [[holder[slot] for slot in row if slot >= 0] for row in slots.tolist()]


def all_cases(ranks: Ranks) -> dict[str, object]:
    """Everything that one world size is asked."""
    once = {f"{case}, once per rank": one_case(ranks, case, OncePerRank) for case in CASES}
    return once | {case: one_case(ranks, case) for case in CASES}
