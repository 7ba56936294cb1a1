"""Properties of mixtures of experts: every dispatch computes the same, and what depends on what."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.dispatch import (
    capacity_of,
    dispatch_batched,
    dispatch_loop,
    dispatch_sorted,
    drop,
    reroute,
    within_capacity,
)
from course_lib.layers.feed_forward.expert_choice import ExpertChoice
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.grouped import dispatch_grouped, grouped_loop, grouped_matmul
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import NO_EXPERT, Router

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
D, F = 5, 3
FAST = {"sorted": dispatch_sorted, "batched": dispatch_batched, "grouped": dispatch_grouped}


def parts(e, k, n, seed=0, **options):
    torch.manual_seed(seed)
    router, experts = Router(D, e, k).double(), Experts(e, D, F, **options).double()
    return router, experts, torch.randn(n, D).double()


def through(dispatch, router, experts, x, *, lost=None, weigh_input=False):
    """The output, and the gradients of x and of every parameter."""
    x = x.clone().requires_grad_()
    routing = router(x)
    routing = routing if lost is None else drop(routing, ~lost)
    y = dispatch(x, routing, experts, weigh_input=weigh_input)
    wanted = [x, *experts.parameters(), *router.parameters()]
    if not y.requires_grad:  # every pick was lost
        return [y, *map(torch.zeros_like, wanted)]
    grads = torch.autograd.grad((y * torch.arange(1.0, D + 1)).square().sum(), wanted, allow_unused=True)
    return [y, *(torch.zeros_like(p) if g is None else g for p, g in zip(wanted, grads, strict=True))]


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("weigh_input", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": True}, {"gated": False}, {"activation": "swiglu_clamped"}])
@given(e=st.integers(1, 9), k=st.integers(1, 4), n=st.integers(1, 17), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_every_dispatch_is_the_loop(name, weigh_input, options, e, k, n, seed):
    router, experts, x = parts(e, min(k, e), n, seed, **options)
    with torch.no_grad():
        for bias in (p for name, p in experts.named_parameters() if name.endswith("bias")):
            bias.normal_()
    lost = torch.rand(n, min(k, e)) < 0.2  # and picks of no expert
    plain = through(dispatch_loop, router, experts, x, lost=lost, weigh_input=weigh_input)
    fast = through(FAST[name], router, experts, x, lost=lost, weigh_input=weigh_input)
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize("name", FAST)
def test_experts_that_no_token_visits(name):
    router, experts, x = parts(7, 3, 13)
    with torch.no_grad():
        router.gate.weight[4:] = 0.0
        x = x.abs()
        router.gate.weight[:4] = router.gate.weight[:4].abs() + 0.1  # experts 4 to 6 lose everywhere
    assert router(x).experts.max() < 4
    plain, fast = through(dispatch_loop, router, experts, x), through(FAST[name], router, experts, x)
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    assert fast[2][4:].abs().max() == 0.0  # no gradient reaches them


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("n", [0, 4])
def test_tokens_without_any_expert_get_nothing(name, n):
    router, experts, x = parts(3, 2, n)
    routing = drop(router(x), torch.zeros(n, 2, dtype=torch.bool))
    assert torch.equal(FAST[name](x, routing, experts), torch.zeros_like(x))
    assert torch.equal(dispatch_loop(x, routing, experts), torch.zeros_like(x))


@pytest.mark.parametrize("dispatch", [dispatch_loop, *FAST.values()])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_inputs_unchanged(dispatch, dtype):
    moe = MoE(Router(D, 4, 2), Experts(4, D, F), dispatch=dispatch).to(dtype)
    x = torch.randn(D, 3, 2).to(dtype).permute(2, 1, 0)  # not contiguous
    kept = x.clone()
    y = moe(x)
    assert y.dtype == dtype and y.shape == x.shape and torch.equal(x, kept)
    if dtype == torch.float64:
        torch.testing.assert_close(y, moe(x.contiguous()), **CLOSE)


def dense_moe(dispatch=dispatch_sorted, **options):
    """A mixture of one expert, and the dense network that has its weights."""
    moe, dense = MoE(Router(D, 1, 1), Experts(1, D, F), dispatch=dispatch, **options), GatedMLP(D, F)
    for name, matrix in dense.named_children():
        matrix.weight.data = getattr(moe.experts, name).data[0]
    return moe.double(), dense.double()


@pytest.mark.parametrize("dispatch", [dispatch_loop, *FAST.values()])
def test_one_expert_is_a_dense_network(dispatch):
    moe, dense = dense_moe(dispatch)
    x = torch.randn(2, 7, D).double()
    torch.testing.assert_close(moe(x), dense(x), **CLOSE)


def test_equal_experts_are_one_dense_network():
    moe, dense = MoE(Router(D, 6, 3), Experts(6, D, F)).double(), GatedMLP(D, F).double()
    for name, matrix in dense.named_children():
        getattr(moe.experts, name).data[:] = matrix.weight.data
    x = torch.randn(2, 7, D).double()
    torch.testing.assert_close(moe(x), dense(x), **CLOSE)


def test_tokens_in_another_order_give_outputs_in_that_order():
    moe, x = MoE(Router(D, 6, 2), Experts(6, D, F)).double(), torch.randn(11, D).double()
    order = torch.randperm(11)
    torch.testing.assert_close(moe(x)[order], moe(x[order]), **CLOSE)


def test_a_row_does_not_hang_on_its_batch_mates_without_capacity():
    moe, x = MoE(Router(D, 6, 2), Experts(6, D, F)).double(), torch.randn(3, 4, D).double()
    torch.testing.assert_close(moe(x)[:1], moe(x[:1]), **CLOSE)


# Capacity


def kept_by_hand(experts, e, capacity, rows, positions, first_choices):
    """Places given out one by one."""
    n, k = experts.shape
    picks = [(positions[t], c, t) for t in range(n) for c in range(k)]
    picks.sort(key=(lambda p: (p[1], p[0], p[2])) if first_choices else None)
    taken, kept = {}, torch.zeros(n, k, dtype=torch.bool)
    for _, choice, token in picks:
        place = (rows[token], expert := experts[token, choice].item())
        if expert != NO_EXPERT:
            taken[place] = taken.get(place, 0) + 1
            kept[token, choice] = taken[place] <= capacity
    return kept


@given(
    e=st.integers(1, 5),
    k=st.integers(1, 3),
    n=st.integers(0, 20),
    capacity=st.integers(0, 6),
    first_choices=st.booleans(),
    by_row=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_capacity_is_given_out_in_order(e, k, n, capacity, first_choices, by_row, seed):
    torch.manual_seed(seed)
    experts = torch.randint(-1, e, (n, k))
    rows, positions = torch.arange(n) // 5 * by_row, torch.arange(n) % 5
    found = within_capacity(experts, e, capacity, rows=rows, positions=positions, first_choices=first_choices)
    expected = kept_by_hand(experts, e, capacity, rows.tolist(), positions.tolist(), first_choices)
    assert torch.equal(found, expected)


def test_enough_capacity_drops_nothing():
    router, _, x = parts(7, 3, 13)
    routing = router(x)
    kept = within_capacity(routing.experts, 7, 13)
    assert kept.all() and torch.equal(drop(routing, kept).weights, routing.weights)
    sent = reroute(routing, 13)
    assert torch.equal(sent.experts, routing.experts) and torch.equal(sent.weights, routing.weights)


def test_a_dropped_token_gets_nothing_and_a_half_dropped_one_the_rest():
    router, experts, x = parts(4, 2, 12)
    routing = router(x)
    kept = within_capacity(routing.experts, 4, 3)
    y = dispatch_sorted(x, drop(routing, kept), experts)
    assert not kept.all() and (y[~kept.any(-1)] == 0).all()
    halves = (kept.sum(-1) == 1).nonzero().flatten().tolist()
    assert halves
    for token in halves:
        choice = kept[token].nonzero().item()
        alone = experts(x[token : token + 1], routing.experts[token, choice].item())[0]
        torch.testing.assert_close(y[token], routing.weights[token, choice] * alone, **CLOSE)


@pytest.mark.parametrize("policy", ["drop", "reroute"])
def test_later_tokens_never_change_earlier_ones(policy):
    for seed in range(20):
        router, _, x = parts(4, 2, 12, seed)
        changed = torch.cat([x[:7], torch.randn(5, D).double()])
        one, other = (limited(policy, router(tokens), 4, 4) for tokens in (x, changed))
        assert torch.equal(one.experts[:7], other.experts[:7])
        assert torch.equal(one.weights[:7], other.weights[:7]) and not torch.equal(one.weights, other.weights)


def limited(policy, routing, e, capacity, **options):
    if policy == "reroute":
        return reroute(routing, capacity, **options)
    return drop(routing, within_capacity(routing.experts, e, capacity, **options))


def test_first_choices_first_is_not_causal():
    leaks = 0
    for seed in range(20):
        router, _, x = parts(4, 2, 12, seed)
        changed = torch.cat([x[:7], torch.randn(5, D).double()])
        one, other = (limited("drop", router(t), 4, 4, first_choices=True) for t in (x, changed))
        leaks += not torch.equal(one.experts[:7], other.experts[:7])
    assert leaks > 5


@pytest.mark.parametrize("policy", ["drop", "reroute"])
def test_batch_mates_matter_if_the_capacity_is_pooled_and_not_if_each_row_has_its_own(policy):
    rows, positions = torch.arange(24) // 8, torch.arange(24) % 8
    touched = {"pooled": 0, "own": 0}
    for seed in range(10):
        router, _, x = parts(4, 2, 24, seed)
        strangers = torch.cat([x[:8], torch.randn(16, D).double()])
        for name, own, capacity in (("pooled", None, 12), ("own", rows, 4)):
            one, other = (
                limited(policy, router(t), 4, capacity, rows=own, positions=positions) for t in (x, strangers)
            )
            touched[name] += not torch.equal(one.experts[:8], other.experts[:8])
    assert touched["own"] == 0 and touched["pooled"] > 3


def test_rerouted_picks_find_room_differ_and_are_weighed_by_their_scores():
    router, _, x = parts(5, 2, 20)
    routing, capacity = router(x), capacity_of(20, 5, 2, 1.0)
    assert not within_capacity(routing.experts, 5, capacity).all()
    sent = reroute(routing, capacity)
    assert torch.bincount(sent.experts.flatten() + 1, minlength=6)[1:].max() <= capacity
    assert all(len(set(row)) == 2 for row in sent.experts.tolist() if NO_EXPERT not in row)
    kept = sent.experts == routing.experts
    assert torch.equal(sent.weights[kept], routing.weights[kept])
    moved = ~kept & (sent.experts != NO_EXPERT)
    total = routing.scores.gather(1, routing.experts).sum(-1, keepdim=True)
    shares = routing.scores.gather(1, sent.experts.clamp_min(0)) / total
    torch.testing.assert_close(sent.weights[moved], shares[moved], **CLOSE)


def test_padding_takes_no_room():
    experts = torch.tensor([[NO_EXPERT], [0], [0], [0]])
    assert within_capacity(experts, 1, 2).flatten().tolist() == [False, True, True, False]


def test_shared_expert_is_added():
    moe, x = MoE(Router(D, 3, 2), Experts(3, D, F)).double(), torch.randn(4, D).double()
    with_shared = MoE(moe.router, moe.experts, SharedExpert(GatedMLP(D, F), D)).double()
    torch.testing.assert_close(with_shared(x), moe(x) + with_shared.shared(x), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("d", [8, 6])  # rows of 6 are no multiple of 16 bytes
def test_the_grouped_kernel_is_the_loop_with_gradients(dtype, d):
    torch.manual_seed(0)
    offsets = torch.tensor([3, 3, 5, 9])  # the second expert has no token
    x, weight = torch.randn(9, d, dtype=dtype), torch.randn(4, 16, d, dtype=dtype)
    found = []
    for function in (grouped_matmul, grouped_loop):
        one, other = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = function(one, other, offsets)
        found.append((y, *torch.autograd.grad(y.float().square().sum(), (one, other))))
    loose = {"rtol": 0.05, "atol": 0.5} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **loose)


def test_grouped_experts_in_float32_through_the_kernel():
    torch.manual_seed(0)
    router, experts = Router(8, 5, 2), Experts(5, 8, 4, bias=True)
    experts.up_bias.data.normal_()
    x = torch.randn(11, 8)
    plain, fast = (d(x, router(x), experts) for d in (dispatch_loop, dispatch_grouped))
    torch.testing.assert_close(plain, fast, rtol=1e-5, atol=1e-6)


# Causality and strangers, through the layer


def changed_rows(moe, x, other):
    """Which outputs differ."""
    return ((moe(x) - moe(other)).abs() > 1e-12).any(-1)


LAYERS = {
    "dropless": lambda: MoE(Router(D, 4, 2), Experts(4, D, F)),
    "own capacity": lambda: MoE(Router(D, 4, 2), Experts(4, D, F), capacity=Capacity(0.8)),
    "rerouted": lambda: MoE(Router(D, 4, 2), Experts(4, D, F), capacity=Capacity(0.8, policy="reroute")),
    "pooled": lambda: MoE(Router(D, 4, 2), Experts(4, D, F), capacity=Capacity(0.8, pooled=True)),
    "first choices": lambda: MoE(
        Router(D, 4, 2), Experts(4, D, F), capacity=Capacity(0.8, first_choices=True)
    ),
    "expert choice": lambda: MoE(ExpertChoice(D, 4, 1.0), Experts(4, D, F)),
}
LEAKS = {"first choices", "expert choice"}
STRANGERS = {"pooled", "expert choice"}


@pytest.mark.parametrize("name", LAYERS)
def test_whether_the_future_and_strangers_change_a_token(name):
    future, strangers = 0, 0
    for seed in range(12):
        torch.manual_seed(seed)
        moe, x = LAYERS[name]().double(), torch.randn(3, 8, D).double()
        row, later, mates = x[:1], x[:1].clone(), x.clone()
        later[:, 5:] = torch.randn(1, 3, D).double()
        mates[1:] = torch.randn(2, 8, D).double()
        future += changed_rows(moe, row, later)[:, :5].sum().item()
        strangers += changed_rows(moe, x, mates)[0].sum().item()
    assert (future > 0) == (name in LEAKS) and (strangers > 0) == (name in STRANGERS)


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_of_one_token_is_served(name):
    moe = LAYERS[name]()
    for shape in ((1, 1, D), (1, D), (D,)):
        assert moe(torch.randn(shape)).shape == shape


@given(temperature=st.floats(0.1, 10.0), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_temperature_changes_no_pick_of_plain_top_k(temperature, seed):
    torch.manual_seed(seed)
    for scoring in ("softmax", "sigmoid", "sqrt_softplus"):
        cold = Router(D, 7, 3, scoring=scoring).double()
        warm = Router(D, 7, 3, scoring=scoring, temperature=temperature).double()
        warm.load_state_dict(cold.state_dict())
        x = torch.randn(13, D).double()
        assert torch.equal(cold(x).experts, warm(x).experts)
