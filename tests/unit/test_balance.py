"""Balance losses, the bias update and metrics of load against loops and known values."""

import pytest
import torch

from course_lib.layers.feed_forward.balance import (
    churn,
    dead_experts,
    entropy,
    expert_load,
    max_over_mean,
    sequence_loss,
    switch_loss,
    update_bias,
    variation,
    z_loss,
)
from course_lib.layers.feed_forward.router import Router

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
N, D, E, K = 13, 6, 7, 3


def routed(k=K, n=N, **options):
    return Router(D, E, k, **options).double()(torch.randn(n, D).double())


def by_hand(scores, experts, over_k=True):
    """e sum f_i P_i in loops."""
    (n, e), k, total = scores.shape, experts.shape[1], 0.0
    for i in range(e):
        picks = sum(i in row for row in experts.tolist())
        total += picks / (n * k if over_k else n) * sum(scores[:, i].tolist()) / n
    return e * total


@pytest.mark.parametrize("over_k", [True, False])
def test_switch_loss_is_its_equation(over_k):
    routing = routed()
    found = switch_loss(routing.scores, routing.experts, over_k=over_k)
    assert found.item() == pytest.approx(by_hand(routing.scores, routing.experts, over_k), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_an_even_load_costs_one_or_k(k):
    experts = torch.stack([torch.arange(E).roll(-i)[:k] for i in range(E)])
    even = torch.full((E, E), 1 / E, dtype=torch.float64)
    assert switch_loss(even, experts).item() == pytest.approx(1.0, rel=1e-12)
    assert switch_loss(even, experts, over_k=False).item() == pytest.approx(k, rel=1e-12)


def test_one_expert_with_everything_costs_e():
    scores, experts = torch.eye(E)[[2] * N].double(), torch.full((N, 1), 2)
    assert switch_loss(scores, experts).item() == pytest.approx(E)


def test_the_loss_pulls_scores_from_the_busy_to_the_idle():
    logits = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    switch_loss(logits.softmax(-1), torch.tensor([[0], [0], [0], [1]])).backward()
    down = logits.grad.sum(0)
    assert down[0] > 0 > down[2] and down[0] > down[1] > down[2]


def test_padding_does_not_count():
    routing = routed()
    counted = torch.arange(N) >= 4
    padded = switch_loss(routing.scores, routing.experts, counted=counted)
    torch.testing.assert_close(padded, switch_loss(routing.scores[4:], routing.experts[4:]), **TIGHT)
    torch.testing.assert_close(z_loss(routing.logits, counted=counted), z_loss(routing.logits[4:]), **TIGHT)
    assert torch.equal(expert_load(routing.experts, E, counted), expert_load(routing.experts[4:], E))


def test_global_loads_make_micro_batches_one_batch():
    routing = routed(n=20)
    load = expert_load(routing.experts, E)
    halves = zip(routing.scores.split(10), routing.experts.split(10), strict=True)
    parts = [(switch_loss(s, x, load=load), switch_loss(s, x)) for s, x in halves]
    whole = switch_loss(routing.scores, routing.experts)
    torch.testing.assert_close((parts[0][0] + parts[1][0]) / 2, whole, **TIGHT)
    assert (parts[0][1] + parts[1][1]).item() / 2 != pytest.approx(whole.item(), rel=1e-4)


def test_sequence_loss_is_the_mean_over_rows_of_normalised_scores():
    routing = routed(n=10, scoring="sigmoid")
    scores, experts = routing.scores.unflatten(0, (2, 5)), routing.experts.unflatten(0, (2, 5))
    shares = scores / scores.sum(-1, keepdim=True)
    expected = sum(by_hand(*row) for row in zip(shares, experts, strict=True)) / 2
    assert sequence_loss(scores, experts).item() == pytest.approx(expected, rel=1e-12)
    assert expected != pytest.approx(by_hand(routing.scores, routing.experts), rel=1e-3)


def test_sequence_loss_leaves_padding_and_empty_rows_out():
    routing = routed(n=15, scoring="sigmoid")
    scores, experts = routing.scores.unflatten(0, (3, 5)), routing.experts.unflatten(0, (3, 5))
    counted = torch.arange(5) >= torch.tensor([[2], [0], [5]])
    found = sequence_loss(scores, experts, counted=counted)
    alone = [sequence_loss(scores[:1, 2:], experts[:1, 2:]), sequence_loss(scores[1:2], experts[1:2])]
    torch.testing.assert_close(found, (alone[0] + alone[1]) / 2, **TIGHT)
    assert sequence_loss(scores, experts, counted=torch.zeros(3, 5, dtype=torch.bool)).item() == 0.0


def test_z_loss_is_its_equation():
    logits = torch.randn(N, E).double()
    expected = sum(row.exp().sum().log().item() ** 2 for row in logits) / N
    assert z_loss(logits).item() == pytest.approx(expected, rel=1e-12)


def test_the_bias_rises_where_load_lacks_keeps_its_mean_and_changes_no_input():
    bias, load = torch.tensor([0.5, 0.0, -0.5, 0.0]), torch.tensor([10, 2, 4, 0])
    kept = bias.clone()
    after = update_bias(bias, load, 0.1)
    moved = after - bias
    assert moved[0] < 0 < moved[1] and torch.equal(moved[1], moved[3]) and torch.equal(bias, kept)
    assert after.mean().abs().item() < 1e-7
    assert torch.equal(update_bias(torch.zeros(3), torch.tensor([4, 4, 4])), torch.zeros(3))


def test_bias_updates_even_out_a_skewed_router():
    torch.manual_seed(1)
    router = Router(D, 8, 2, scoring="sigmoid", selection_bias=True).double()
    router.gate.weight.data *= 3
    x = torch.randn(400, D).double() + 1.0
    skewed = max_over_mean(expert_load(router(x).experts, 8))
    for _ in range(300):
        load = expert_load(router(x).experts, 8)
        router.selection_bias.copy_(update_bias(router.selection_bias, load, 0.01))
        assert router.selection_bias.mean().abs().item() < 1e-12
    assert skewed > 1.8 and max_over_mean(expert_load(router(x).experts, 8)) < 1.15


def test_metrics_of_load():
    load = torch.tensor([6, 2, 0, 0])
    assert max_over_mean(load) == 3.0 and dead_experts(load) == 2 and dead_experts(load, share=1.0) == 3
    assert variation(load) == pytest.approx((((4**2 + 0 + 2 * 2**2) / 4) ** 0.5) / 2)
    expected = -(0.75 * torch.tensor(0.75).log2() + 0.25 * torch.tensor(0.25).log2()).item() / 2
    assert entropy(load) == pytest.approx(expected, rel=1e-6)
    assert max_over_mean(torch.tensor([3, 3])) == 1.0 and variation(torch.tensor([3, 3])) == 0.0


def test_churn_counts_picks_that_are_gone():
    before = torch.tensor([[0, 1], [2, 3], [4, -1]])
    assert churn(before, before.flip(1)) == 0.0
    assert churn(before, torch.tensor([[0, 5], [5, 6], [4, 0]])) == pytest.approx(3 / 5)
