"""Norms against their equations and against PyTorch's own modules."""

import pytest
import torch
from torch import nn

from course_lib.layers.norms import LayerNorm, RMSNorm, layer_norm_naive, rms_norm_naive

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def randomised(norm: nn.Module) -> nn.Module:
    norm.double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_rms_norm_is_its_equation(offset):
    norm, x = randomised(RMSNorm(7, 1e-3, offset=offset)), torch.randn(2, 3, 7).double()
    torch.testing.assert_close(norm(x), rms_norm_naive(x, norm.weight + offset, 1e-3), **TOLERANCE)


def test_layer_norm_is_its_equation():
    norm, x = randomised(LayerNorm(7, 1e-3)), torch.randn(2, 3, 7).double()
    torch.testing.assert_close(norm(x), layer_norm_naive(x, norm.weight, norm.bias, 1e-3), **TOLERANCE)


def test_layer_norm_without_a_bias_has_one_parameter_a_coordinate():
    assert sum(parameter.numel() for parameter in LayerNorm(7, bias=False).parameters()) == 7


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_fresh_rms_norm_has_gain_one(offset):
    x = torch.randn(5, 9).double()
    ones = RMSNorm(9, offset=offset).double()(x).square().mean(-1)
    torch.testing.assert_close(ones, torch.ones(5).double(), rtol=1e-5, atol=0)  # eps takes about 1e-6


def test_half_precision_is_normed_in_float32():
    x = torch.full((1, 4), 300.0, dtype=torch.float16)  # its square overflows float16
    assert RMSNorm(4).half()(x).tolist() == [[1.0] * 4]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_half_precision_is_rounded_once_at_the_end(dtype, offset):
    """Scaled in half, or with Gemma's 1 + gain summed in half, about a third of the numbers differ."""
    norm, x = RMSNorm(64, 1e-6, offset=offset), torch.randn(50, 64).to(dtype)
    nn.init.normal_(norm.weight, mean=1.0 - offset, std=0.1)
    norm = norm.to(dtype)
    exact = rms_norm_naive(x.double(), norm.weight.double() + offset, 1e-6)
    wrong = norm(x) != exact.to(dtype)
    assert wrong.float().mean() < 0.01  # float32 against float64, at the edge between two neighbours


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_zero_stays_zero(norm):
    assert norm(3)(torch.zeros(1, 3)).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_width_below_one_is_refused(norm):
    with pytest.raises(ValueError, match="width=0"):
        norm(0)
