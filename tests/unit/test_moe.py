"""The mixture-of-experts layer: its parts, what it leaves, and what a model does with it."""

import dataclasses

import pytest
import torch

from course_lib.layers.feed_forward.balance import sequence_loss, switch_loss, z_loss
from course_lib.layers.feed_forward.dispatch import dispatch_loop
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.moe import MoE, zero_experts
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.per_forward import PerForward
from course_lib.models.layer_factory import build_ffn
from course_lib.models.lm import CausalLM
from course_lib.specs.records import FFNSpec, MoESpec
from course_lib.specs.small import small_llama

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
D, F = 6, 4
SPEC = MoESpec(experts=5, top_k=2, expert=FFNSpec(kind="glu", activation="silu", width=F))


def layer(e=5, k=2, zero=0, latent=0, **options):
    return MoE(
        Router(D, e + zero, k), Experts(e, latent or D, F), zero=zero, latent=latent, **options
    ).double()


def test_losses_and_statistics_are_left():
    moe, x = layer(losses={"switch": 0.5, "sequence": 0.25, "z": 2.0}), torch.randn(2, 3, D).double()
    moe(x, per_forward := PerForward())
    routing = moe.router(x.flatten(0, 1))
    rows = routing.scores.unflatten(0, (2, 3)), routing.experts.unflatten(0, (2, 3))
    expected = {
        "switch": 0.5 * switch_loss(routing.scores, routing.experts),
        "sequence": 0.25 * sequence_loss(*rows),
        "z": 2.0 * z_loss(routing.logits),
    }
    losses = per_forward.auxiliary.losses
    assert set(losses) == {(0, name) for name in expected}
    for name, loss in expected.items():
        torch.testing.assert_close(losses[0, name], loss, **TIGHT)
    left = per_forward.auxiliary.statistics
    assert left[0, "load"].sum() == 12 and torch.equal(left[0, "picks"], routing.experts)
    assert left[0, "logits"].requires_grad


def test_without_losses_and_without_a_pass_nothing_is_left():
    moe, x = layer(), torch.randn(2, 3, D).double()
    y = moe(x, per_forward := PerForward())
    assert per_forward.auxiliary.losses == {} and torch.equal(moe(x), y)


def test_padding_visits_no_expert_and_does_not_count():
    moe, x = layer(losses={"switch": 1.0, "sequence": 1.0, "z": 1.0}), torch.randn(2, 4, D).double()
    positions = torch.tensor([[-1, -1, 0, 1], [0, 1, 2, 3]])
    y = moe(x, per_forward := PerForward(positions=positions))
    assert (y[0, :2] == 0).all()
    torch.testing.assert_close(y[positions >= 0], moe(x)[positions >= 0], **TIGHT)
    assert per_forward.auxiliary.statistics[0, "load"].sum() == 12
    moe(x[positions >= 0], alone := PerForward())
    for name in ("switch", "z"):
        pair = per_forward.auxiliary.losses[0, name], alone.auxiliary.losses[0, name]
        torch.testing.assert_close(*pair, **TIGHT)


def test_zero_experts_return_their_token():
    moe, x = layer(zero=3, k=4), torch.randn(7, D).double()
    routing = moe.router(x)
    assert (routing.experts >= 5).any()
    expected = torch.zeros_like(x)
    for t in range(7):
        for pick, weight in zip(routing.experts[t].tolist(), routing.weights[t], strict=True):
            one = x[t] if pick >= 5 else moe.experts(x[t : t + 1], pick)[0]
            expected[t] += weight * one
    torch.testing.assert_close(moe(x), expected, **TIGHT)
    assert zero_experts(x, routing, 8)[0] is None


def test_experts_work_in_a_latent():
    moe, x = layer(latent=3), torch.randn(7, D).double()
    inside = x @ moe.into_latent.weight.T
    y = dispatch_loop(inside, moe.router(x), moe.experts)
    torch.testing.assert_close(moe(x), y @ moe.out_of_latent.weight.T, **TIGHT)


def test_weights_may_multiply_what_goes_in():
    moe, x = layer(k=1, weigh_input=True), torch.randn(7, D).double()
    moe.router.renormalise = False
    routing = moe.router(x)
    picks = routing.experts.flatten().tolist()
    expected = [moe.experts(w * t[None], i)[0] for t, w, i in zip(x, routing.weights, picks, strict=True)]
    torch.testing.assert_close(moe(x), torch.stack(expected), **TIGHT)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"losses": {"swich": 1.0}}, "swich"), ({"router": Router(D, 4, 1)}, "router.e=4: allowed is 5")],
)
def test_what_does_not_fit_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        MoE(options.pop("router", Router(D, 5, 1)), Experts(5, D, F), **options)


def built(**changes):
    return build_ffn(D, dataclasses.replace(SPEC, **changes))


def test_a_spec_is_built():
    expert = dataclasses.replace(SPEC.expert, bias=True, activation="swiglu_clamped")
    moe = built(expert=expert, router_bias=True, scoring="sigmoid", selection_bias=True, scale=2.5)
    assert (moe.router.scoring, moe.router.scale, moe.router.k) == ("sigmoid", 2.5, 2)
    assert moe.router.gate.bias is not None and moe.router.selection_bias is not None
    assert moe.experts.down_bias.shape == (5, D) and moe.experts.limit == 7.0 and moe.shared is None
    assert built(renormalise=False).router.renormalise is False
    shared = built(shared=2, shared_width=2 * F, shared_gate=True).shared
    assert isinstance(shared, SharedExpert) and shared.network.up.weight.shape == (2 * F, D)
    assert shared.gate is not None
    latent = built(latent=3)
    assert latent.experts.up.shape == (5, F, 3) and latent.into_latent.weight.shape == (3, D)


@pytest.mark.parametrize(("scoring", "group_score"), [("softmax", "max"), ("sigmoid", "top2")])
def test_groups_are_scored_as_v2_and_v3_do(scoring, group_score):
    router = built(experts=6, groups=3, top_groups=2, scoring=scoring, group_score=group_score).router
    assert (router.groups, router.top_groups, router.group_score) == (3, 2, group_score)


def sparse_model(**changes):
    spec = small_llama(width=16, layers=2)
    sparse = dataclasses.replace(SPEC, **changes)
    layers = tuple(dataclasses.replace(one, ffn=sparse) for one in spec.layers)
    return CausalLM(dataclasses.replace(spec, layers=layers))


def test_a_model_of_experts_hands_out_its_losses_and_leaves_padding_out():
    model = sparse_model(shared=1, shared_width=F, expert=dataclasses.replace(SPEC.expert, bias=True))
    for block in model.blocks:
        block.ffn.losses = {"switch": 0.01, "z": 0.001}
    tokens = torch.randint(model.spec.vocab, (2, 5))
    positions = torch.tensor([[-1, -1, 0, 1, 2], [0, 1, 2, 3, 4]])
    logits, auxiliary = model(tokens, positions, return_auxiliary=True)
    assert set(auxiliary.losses) == {(i, name) for i in (0, 1) for name in ("switch", "z")}
    assert auxiliary.statistics[1, "load"].sum() == 2 * 8
    (logits.square().mean() + auxiliary.loss).backward()
    assert all(block.ffn.router.gate.weight.grad.abs().sum() > 0 for block in model.blocks)


def test_a_model_starts_its_experts_by_their_inputs_and_biases_at_zero():
    model = sparse_model(experts=40, expert=dataclasses.replace(SPEC.expert, width=50, bias=True))
    experts = model.blocks[0].ffn.experts
    assert experts.up.std().item() == pytest.approx(16**-0.5, rel=0.05)
    assert experts.down.std().item() == pytest.approx((4 * 50) ** -0.5, rel=0.05)  # four writes
    assert not experts.up_bias.any() and not experts.down_bias.any()
