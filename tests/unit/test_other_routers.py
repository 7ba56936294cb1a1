"""Expert choice, hash routing and the capacity of a layer."""

import pytest
import torch

from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.dispatch import (
    dispatch_loop,
    dispatch_sorted,
    drop,
    reroute,
    within_capacity,
)
from course_lib.layers.feed_forward.expert_choice import ExpertChoice, expert_choice
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.hash_router import HashRouter, hash_table
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import NO_EXPERT, Router
from course_lib.layers.per_forward import PerForward

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
D, E, F, N = 5, 4, 3, 12


def test_each_expert_picks_its_best_tokens():
    router, x = ExpertChoice(D, E, 1.5).double(), torch.randn(N, D).double()
    routing = router(x)
    scores = (x @ router.scorer.gate.weight.T).softmax(-1)
    capacity = 5  # ceil(1.5 * 12 / 4)
    for expert in range(E):
        best = sorted(range(N), key=lambda token, i=expert: -scores[token, i].item())[:capacity]
        picked = (routing.experts == expert).any(-1).nonzero().flatten().tolist()
        assert sorted(best) == picked
    where = routing.experts != NO_EXPERT
    torch.testing.assert_close(routing.weights, scores * where, **TIGHT)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5, 4.0])
def test_loads_of_expert_choice_are_even(factor):
    moe = MoE(ExpertChoice(D, E, factor), Experts(E, D, F)).double()
    moe(torch.randn(3, 4, D).double(), per_forward := PerForward())
    load = per_forward.auxiliary.statistics[0, "load"]
    assert load.unique().tolist() == [int(factor * N / E + 0.999)]


def test_expert_choice_dispatches_as_the_loop():
    router, experts = ExpertChoice(D, E, 1.0).double(), Experts(E, D, F).double()
    x = torch.randn(N, D).double()
    routing = router(x)
    alone = (routing.experts == NO_EXPERT).all(-1)
    y = dispatch_sorted(x, routing, experts)
    torch.testing.assert_close(y, dispatch_loop(x, routing, experts), **TIGHT)
    assert alone.any() and (y[alone] == 0).all() and (routing.experts != NO_EXPERT).sum(-1).max() > 1


def test_expert_choice_takes_no_more_tokens_than_there_are():
    assert expert_choice(torch.rand(2, 3, E), 9).all()
    assert ExpertChoice(D, E)(torch.randn(0, D)).experts.shape == (0, E)


def test_hash_routing_looks_up_and_weighs():
    table = hash_table(20, E, 2, generator=torch.Generator().manual_seed(3))
    assert (table[:, 0] != table[:, 1]).all() and table.unique().tolist() == list(range(E))
    router = HashRouter(D, E, table, scoring="sqrt_softplus", scale=1.5).double()
    x, tokens = torch.randn(N, D).double(), torch.randint(20, (N,))
    routing = router(x, tokens)
    assert torch.equal(routing.experts, table[tokens])
    scores = (1 + (x @ router.scorer.gate.weight.T).exp()).log().sqrt().gather(1, table[tokens])
    torch.testing.assert_close(routing.weights, 1.5 * scores / scores.sum(-1, keepdim=True), **TIGHT)
    even = HashRouter(D, E, table, weighted=False)(x.float(), tokens)
    assert torch.equal(even.weights, torch.full((N, 2), 0.5))


def test_a_layer_hands_its_tokens_to_a_hash_router():
    moe = MoE(HashRouter(D, E, hash_table(20, E, 1)), Experts(E, D, F))
    x, tokens = torch.randn(2, 3, D), torch.randint(20, (2, 3))
    moe(x, per_forward := PerForward(tokens))
    picks = per_forward.auxiliary.statistics[0, "picks"]
    assert torch.equal(picks, moe.router.table[tokens.flatten()])
    with pytest.raises(ValueError, match="tokens=None"):
        moe(x)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("policy", ["drop", "reroute"])
def test_capacity_of_a_layer_is_that_of_its_rows_or_of_all(pooled, policy):
    router, x = Router(D, E, 2).double(), torch.randn(3, 4, D).double()
    routing = router(x.flatten(0, 1))
    found = Capacity(1.0, policy=policy, pooled=pooled).apply(routing, row=4)
    rows, positions = torch.arange(12) // 4, torch.arange(12) % 4
    places = {"rows": None if pooled else rows, "positions": positions}
    limit = 6 if pooled else 2
    if policy == "drop":
        expected = drop(routing, within_capacity(routing.experts, E, limit, **places))
    else:
        expected = reroute(routing, limit, **places)
    assert torch.equal(found.experts, expected.experts) and torch.equal(found.weights, expected.weights)
    if policy == "drop":
        own = (found.experts == NO_EXPERT).sum()
        assert own > 0


def test_a_layer_with_capacity_says_what_was_served_and_balances_what_was_asked():
    moe = MoE(Router(D, E, 2), Experts(E, D, F), capacity=Capacity(0.5), losses={"switch": 1.0}).double()
    free = MoE(moe.router, moe.experts, losses={"switch": 1.0})
    x = torch.randn(2, 6, D).double()
    y, limited, unlimited = moe(x, one := PerForward()), one.auxiliary, PerForward()
    assert not torch.allclose(y, free(x, unlimited))
    served = limited.statistics[0, "served"]
    assert served.shape == (N, 2) and 0 < served.sum() <= 2 * E * 2
    assert torch.equal(limited.losses[0, "switch"], unlimited.auxiliary.losses[0, "switch"])
    assert limited.statistics[0, "load"].sum() == 2 * N


def test_enough_slots_are_dropless():
    moe = MoE(Router(D, E, 2), Experts(E, D, F), capacity=Capacity(slots=6))
    x = torch.randn(2, 6, D)
    assert torch.equal(moe(x), MoE(moe.router, moe.experts)(x))


def test_padding_takes_no_room_of_a_row():
    moe = MoE(Router(D, 1, 1), Experts(1, D, F), capacity=Capacity(slots=2))
    x, positions = torch.randn(1, 5, D), torch.tensor([[-1, -1, 0, 1, 2]])
    moe(x, per_forward := PerForward(positions=positions))
    served = per_forward.auxiliary.statistics[0, "served"].flatten().tolist()
    assert served == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ExpertChoice(D, E, 4.5), "factor=4.5"),
        (lambda: HashRouter(D, E, torch.tensor([[4]])), "expert 4: allowed are 0 to 3"),
        (lambda: Capacity(0.0), "factor=0.0"),
        (lambda: Capacity(slots=0), "slots=0"),
        (lambda: Capacity(policy="queue"), "policy='queue'"),
        (lambda: Capacity(policy="reroute", first_choices=True), "first_choices=True"),
    ],
)
def test_what_cannot_be_is_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()
