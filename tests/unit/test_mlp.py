"""Feed-forward layers against their equations."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.layers.feed_forward.mlp import ACTIVATIONS, MLP, GatedMLP, activation_named

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def test_mlp_is_its_equation():
    layer, x = MLP(5, 7, activation="relu").double(), torch.randn(2, 3, 5).double()
    inner = (x @ layer.up.weight.T + layer.up.bias).clamp(min=0)
    torch.testing.assert_close(layer(x), inner @ layer.down.weight.T + layer.down.bias, **TOLERANCE)


def test_gated_mlp_is_its_equation():
    layer, x = GatedMLP(5, 7).double(), torch.randn(2, 3, 5).double()
    gate = x @ layer.gate.weight.T
    inner = gate * torch.sigmoid(gate) * (x @ layer.up.weight.T)
    torch.testing.assert_close(layer(x), inner @ layer.down.weight.T, **TOLERANCE)


@pytest.mark.parametrize(("bias", "expected"), [(False, 3 * 5 * 7), (True, 3 * 5 * 7 + 7 + 7 + 5)])
def test_gated_mlp_parameters(bias, expected):
    assert sum(parameter.numel() for parameter in GatedMLP(5, 7, bias=bias).parameters()) == expected


def test_squared_relu():
    assert activation_named("relu2")(torch.tensor([-2.0, 3.0])).tolist() == [0.0, 9.0]


def test_tanh_gelu_is_close_to_gelu_but_not_it():
    x = torch.linspace(-3, 3, 41).double()
    gap = (ACTIVATIONS["gelu_pytorch_tanh"](x) - F.gelu(x)).abs().max()
    assert 0 < gap < 1e-3


@pytest.mark.parametrize("name", ["gelu_fast", "gelu_new", "gelu_pytorch_tanh"])
def test_names_of_the_tanh_gelu(name):
    x = torch.linspace(-3, 3, 41).double()
    inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    torch.testing.assert_close(ACTIVATIONS[name](x), 0.5 * x * (1 + torch.tanh(inner)), **TOLERANCE)


@pytest.mark.parametrize("layer", [MLP, GatedMLP])
def test_unknown_activation_is_refused(layer):
    with pytest.raises(ValueError, match=r"activation='swish9'.*silu"):
        layer(4, 8, activation="swish9")
