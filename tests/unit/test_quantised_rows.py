"""Weights as codes with a scale a row: equal to the cache's quantiser, near the weights, shared ones once."""

import pytest
import torch
from torch.testing import assert_close

from course_lib.layers.caches.quantised import Quantiser
from course_lib.models.lm import CausalLM
from course_lib.models.quantised_rows import quantise_rows, with_quantised_rows
from course_lib.specs.small import small_llama


def matrix(seed: int = 0, rows: int = 7, columns: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-2, 1, rows)[:, None]
    return torch.randn(rows, columns, generator=generator) * sizes


@pytest.mark.parametrize("bits", [4, 8])
def test_they_are_what_the_caches_quantiser_gives(bits):
    quantiser = Quantiser(bits=bits, scale_dtype=torch.float16)
    x = matrix()
    want = quantiser.decode(*quantiser.encode(x), width=x.shape[1])
    assert_close(quantise_rows(x, bits).floats(), want, rtol=0, atol=0)


@pytest.mark.parametrize("bits", range(2, 9))
def test_no_weight_is_off_by_more_than_half_a_scale_and_the_scales_own_rounding(bits):
    x, top = matrix(1), 2 ** (bits - 1) - 1
    rows = quantise_rows(x, bits)
    scale = rows.scales.float()[:, None]
    assert bool(((rows.floats() - x).abs() <= scale * (0.5 + top * 2**-11)).all())
    assert rows.codes.abs().amax(1).tolist() == [top] * len(x)


def test_each_row_has_its_own_scale():
    x = torch.tensor([[1.0, 0.5], [1000.0, 1.0]])
    assert quantise_rows(x).floats()[0].tolist() == pytest.approx([1.0, 0.5], rel=1e-2)


def test_the_floats_are_exact_in_float32():
    rows = quantise_rows(matrix(2))
    assert_close(rows.floats().double(), rows.codes.double() * rows.scales.double()[:, None], rtol=0, atol=0)


def test_rounding_twice_changes_nothing():
    once = quantise_rows(matrix(3)).floats()
    assert_close(quantise_rows(once).floats(), once, rtol=0, atol=0)


def test_a_row_of_zeros_stays():
    rows = quantise_rows(torch.zeros(2, 3))
    assert rows.floats().tolist() == torch.zeros(2, 3).tolist()


@pytest.mark.parametrize("bits", [1, 9, 0])
def test_other_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"bits={bits}: allowed are 2 to 8"):
        quantise_rows(matrix(), bits)


def test_a_weight_beyond_a_16_bit_scale_is_refused():
    with pytest.raises(ValueError, match=r"matrix holds 1e\+10: allowed are up to"):
        quantise_rows(torch.tensor([[1e10]]))


def test_a_model_is_rounded_in_place_its_vectors_to_16_bits_and_a_shared_matrix_once():
    torch.manual_seed(0)
    model = CausalLM(small_llama(16, layers=1, heads=2, vocab=11))
    with torch.no_grad():
        model.final_norm.weight.mul_(1.0001)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert with_quantised_rows(model, 4) is model
    assert model.head.weight is model.embed.tokens.weight
    for name, p in model.named_parameters():
        want = quantise_rows(before[name], 4).floats() if p.dim() == 2 else before[name].half().float()
        assert_close(p.detach(), want, rtol=0, atol=0)
    assert not torch.equal(model.head.weight, before["embed.tokens.weight"])
