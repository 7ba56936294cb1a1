"""Experts against dense networks, and the shared expert."""

import pytest
import torch

from course_lib.layers.feed_forward.experts import Experts, SharedExpert, clamped_swiglu
from course_lib.layers.feed_forward.mlp import MLP, GatedMLP

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
E, D, F, C = 4, 5, 3, 6


def stacked(gated, bias):
    """Experts, and as many dense networks with the same weights."""
    experts = Experts(E, D, F, gated=gated, bias=bias).double()
    kind = GatedMLP if gated else MLP
    dense = [kind(D, F, activation="silu", bias=bias).double() for _ in range(E)]
    with torch.no_grad():
        for index, network in enumerate(dense):
            for name, matrix in network.named_children():
                getattr(experts, name)[index] = matrix.weight
                if bias:
                    getattr(experts, f"{name}_bias")[index] = matrix.bias
    return experts, dense


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_each_expert_is_a_dense_network(gated, bias):
    experts, dense = stacked(gated, bias)
    x = torch.randn(E, C, D).double()
    expected = torch.stack([network(own) for network, own in zip(dense, x, strict=True)])
    called = torch.stack([experts(own, index) for index, own in enumerate(x)])
    looped = torch.stack([experts.run(own, one) for own, one in zip(x, experts.each(), strict=True)])
    for found in (called, looped, experts.run(x, experts.stacked())):
        torch.testing.assert_close(found, expected, **TIGHT)
    assert sum(p.numel() for p in experts.parameters()) == sum(
        p.numel() for n in dense for p in n.parameters()
    )


def test_clamped_swiglu_is_its_equation():
    gate, up = 9 * torch.randn(50).double(), 9 * torch.randn(50).double()
    g, u = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
    expected = (u + 1) * g / (1 + (-1.702 * g).exp())
    torch.testing.assert_close(clamped_swiglu(gate, up), expected, **TIGHT)
    assert clamped_swiglu(torch.tensor([99.0]), torch.tensor([99.0])).item() == pytest.approx(56.0, rel=1e-4)
    assert clamped_swiglu(torch.tensor([-99.0]), torch.tensor([99.0])).abs().item() < 1e-6


@pytest.mark.parametrize(("activation", "limit"), [("swiglu_clamped", None), ("silu", 0.3)])
def test_the_activation_of_an_expert_may_be_clamped(activation, limit):
    experts = Experts(E, D, F, activation=activation, limit=limit).double()
    x = 9 * torch.randn(C, D).double()
    gate, up = x @ experts.gate[1].T, x @ experts.up[1].T
    inner = clamped_swiglu(gate, up)
    if limit is not None:
        g = gate.clamp(max=limit)
        inner = g * torch.sigmoid(g) * up.clamp(-limit, limit)
    torch.testing.assert_close(experts(x, 1), inner @ experts.down[1].T, **TIGHT)


@pytest.mark.parametrize("gate", [True, False])
def test_the_shared_expert_may_have_a_gate(gate):
    network, x = GatedMLP(D, F).double(), torch.randn(2, 3, D).double()
    shared = SharedExpert(network, D, gate=gate).double()
    share = torch.sigmoid(x @ shared.gate.weight.T) if gate else 1.0
    torch.testing.assert_close(shared(x), share * network(x), **TIGHT)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"e": 0}, "e=0"),
        ({"activation": "swish9"}, "activation='swish9'"),
        ({"gated": False, "limit": 1.0}, "gated=False"),
        ({"gated": False, "activation": "swiglu_clamped"}, "gated=False"),
    ],
)
def test_what_cannot_be_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        Experts(**({"e": E, "d": D, "f": F} | options))
