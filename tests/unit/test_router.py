"""Routers against their equations, their options and what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.layers.feed_forward.router import Router, Routing, limit_groups, pick, score, weigh

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
N, D, E, K = 13, 6, 7, 3


def router(*, e=E, k=K, **options):
    return Router(D, e, k, **options).double()


def tokens(n=N):
    return torch.randn(n, D).double()


def test_softmax_router_is_its_equation():
    layer, x = router(), tokens()
    routing = layer(x)
    logits = x @ layer.gate.weight.T
    scores = logits.exp() / logits.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(routing.logits, logits, **TIGHT)
    torch.testing.assert_close(routing.scores, scores, **TIGHT)
    for token in range(N):
        best = sorted(range(E), key=lambda i: -scores[token, i].item())[:K]
        assert routing.experts[token].tolist() == best
        expected = scores[token, best] / scores[token, best].sum()
        torch.testing.assert_close(routing.weights[token], expected, **TIGHT)


def test_softmax_over_the_picks_is_softmax_and_renormalising():
    before, after = router(), router(softmax_after=True)
    after.load_state_dict(before.state_dict())
    one, other = before(x := tokens()), after(x)
    assert torch.equal(one.experts, other.experts)
    torch.testing.assert_close(one.weights, other.weights, **TIGHT)
    assert (one.scores.sum(-1) - other.scores.sum(-1)).abs().max() < 1e-12


def test_weights_that_are_not_renormalised_are_the_scores():
    routing = router(renormalise=False, scale=2.5)(tokens())
    torch.testing.assert_close(routing.weights, 2.5 * routing.scores.gather(1, routing.experts), **TIGHT)
    assert (routing.weights.sum(-1) < 2.5).all()


@pytest.mark.parametrize(
    ("scoring", "equation"),
    [
        ("sigmoid", lambda z: 1 / (1 + (-z).exp())),
        ("sqrt_softplus", lambda z: (1 + z.exp()).log().sqrt()),
    ],
)
def test_scores_of_each_expert_by_itself(scoring, equation):
    routing = router(scoring=scoring)(tokens())
    torch.testing.assert_close(routing.scores, equation(routing.logits), **TIGHT)
    torch.testing.assert_close(routing.weights.sum(-1), torch.ones(N).double(), **TIGHT)


def test_a_bias_picks_and_does_not_weigh():
    layer = router(scoring="sigmoid", selection_bias=True)
    x = tokens()
    plain = layer(x)
    layer.selection_bias[5] = 9.0
    biased = layer(x)
    assert (biased.experts == 5).any(-1).all() and not (plain.experts == 5).any(-1).all()
    unbiased = biased.scores.gather(1, biased.experts)
    torch.testing.assert_close(biased.weights, unbiased / unbiased.sum(-1, keepdim=True), **TIGHT)
    assert "selection_bias" in layer.state_dict() and "selection_bias" not in dict(layer.named_parameters())


def test_a_bias_may_be_added_to_the_logits():
    layer, x = router(scoring="sigmoid", selection_bias=True, bias_on="logits"), tokens()
    layer.selection_bias += torch.linspace(-3, 3, E)
    routing = layer(x)
    best = (routing.logits + layer.selection_bias).topk(K, -1).indices
    assert torch.equal(routing.experts, best)
    layer.bias_on = "scores"
    assert not torch.equal(layer(x).experts, best)


def test_a_bias_common_to_all_changes_nothing():
    layer = router(e=8, scoring="sigmoid", selection_bias=True, groups=4, top_groups=2)
    x = tokens()
    before = layer(x)
    layer.selection_bias += -1.0  # scores + bias are negative: a mask of zeros would win
    after = layer(x)
    assert torch.equal(before.experts, after.experts) and torch.equal(before.weights, after.weights)


@pytest.mark.parametrize(("group_score", "best"), [("max", 1), ("top2", 0)])
def test_groups_are_scored_by_the_best_or_the_best_two(group_score, best):
    scores = torch.tensor([[0.6, 0.5, 0.1, 0.9, 0.0, 0.1]])
    limited = limit_groups(scores, 2, 1, group_score)
    kept = torch.arange(6) // 3 == best
    assert torch.equal(limited[0, kept], scores[0, kept]) and limited[0, ~kept].eq(float("-inf")).all()


@pytest.mark.parametrize("shift", [0.0, -3.0])
def test_no_pick_falls_outside_of_the_kept_groups(shift):
    layer = router(e=12, k=4, scoring="sigmoid", groups=4, top_groups=2, selection_bias=True)
    layer.selection_bias += shift
    groups = layer(tokens(50)).experts // 3
    assert max(len(set(row)) for row in groups.tolist()) <= 2


def test_all_groups_kept_is_no_limit():
    scores = torch.rand(4, 6)
    assert torch.equal(limit_groups(scores, 3, 3), scores)


def test_temperature_weighs_and_does_not_pick():
    cold, warm = router(), router(temperature=5.0)
    warm.load_state_dict(cold.state_dict())
    one, other = cold(x := tokens()), warm(x)
    assert torch.equal(one.experts, other.experts) and torch.equal(one.logits, other.logits)
    assert (other.weights.std(-1) < one.weights.std(-1)).all()


def test_temperature_changes_picks_where_a_bias_is_added():
    cold, warm = (router(scoring="sigmoid", selection_bias=True, temperature=t) for t in (1.0, 4.0))
    cold.selection_bias += torch.linspace(-0.2, 0.2, E)
    warm.load_state_dict(cold.state_dict())
    assert not torch.equal(cold(x := tokens(50)).experts, warm(x).experts)


@pytest.mark.parametrize("noise", [0.3, "learned"])
def test_noise_is_for_training_only(noise):
    layer, x = router(noise=noise), tokens()
    plain = x @ layer.gate.weight.T
    assert not torch.allclose(layer(x).logits, layer(x).logits)
    layer.eval()
    torch.testing.assert_close(layer(x).logits, plain, **TIGHT)


def test_jitter_stays_within_its_bounds():
    layer = router(noise=0.1)
    layer.gate.weight.data = torch.eye(E, D).double()  # the logits are the jittered x
    x = tokens(500)
    ratio = layer(x).logits[:, :D] / x
    assert 0.9 <= ratio.min() < 0.91 and 1.09 < ratio.max() <= 1.1


def test_learned_noise_has_the_size_it_learned():
    layer, x = router(noise="learned"), torch.ones(20000, D).double()
    size = F.softplus(layer.noise_gate.weight.sum(1))
    torch.testing.assert_close(layer(x).logits.std(0), size, rtol=0.05, atol=0)
    layer(x).weights[:, 0].sum().backward()
    assert layer.noise_gate.weight.grad.abs().sum() > 0


def test_switch_router_has_a_gradient_that_renormalising_takes_away():
    for renormalise, moves in ((False, True), (True, False)):
        layer = router(k=1, renormalise=renormalise)
        (layer(tokens()).weights * torch.randn(N, 1)).sum().backward()
        assert (layer.gate.weight.grad.abs().max().item() > 1e-10) == moves


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_scores_are_wide_and_weights_as_x(dtype):
    layer, x = Router(D, E, K, bias=True).to(dtype), torch.randn(N, D).to(dtype)
    routing = layer(x)
    wide = torch.promote_types(dtype, torch.float32)
    assert (routing.weights.dtype, routing.scores.dtype, routing.logits.dtype) == (dtype, wide, wide)
    narrow = F.linear(x, layer.gate.weight, layer.gate.bias)
    torch.testing.assert_close(routing.logits, narrow.to(wide), rtol=0.02, atol=0.02)


def test_inputs_stay_as_they_are():
    layer, x = router(noise=0.5), tokens()
    kept = x.clone()
    layer(x)
    scores = torch.rand(4, 6)
    before = scores.clone()
    limit_groups(scores, 3, 1)
    weigh(scores, pick(scores, 2, torch.ones(6)))
    assert torch.equal(x, kept) and torch.equal(scores, before)


@pytest.mark.parametrize("n", [0, 1])
def test_no_token_and_one(n):
    routing = router()(tokens(n))
    assert isinstance(routing, Routing) and routing.experts.shape == routing.weights.shape == (n, K)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 8}, "k=8: allowed are 1 to 7"),
        ({"groups": 2}, "groups=2: allowed are divisors of e=7"),
        ({"e": 8, "groups": 4, "top_groups": 5}, "top_groups=5"),
        ({"e": 8, "k": 5, "groups": 4, "top_groups": 2}, "k=5: allowed are 1 to 4"),
        ({"e": 8, "k": 1, "groups": 8, "top_groups": 2}, "top2"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"noise": "pink"}, "noise='pink'"),
        ({"bias_on": "weights"}, "bias_on='weights'"),
        ({"group_score": "mean"}, "group_score='mean'"),
        ({"scoring": "cosine"}, "scoring='cosine'"),
    ],
)
def test_what_does_not_fit_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        router(**options)


def test_unknown_scores_are_refused():
    with pytest.raises(ValueError, match="scoring='cosine'"):
        score(torch.zeros(1, 2), "cosine")
