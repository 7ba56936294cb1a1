"""Slices of a matrix give the product of the whole, and touch nothing else."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.generate.matvec import SlicedLinear, slice_linears


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("slices, used", [(1, 1), (2, 2), (4, 3), (6, 6), (100, 6)])
def test_equals_the_whole_with_gradients(bias, slices, used):
    linear = nn.Linear(5, 6, bias=bias).double()
    sliced = SlicedLinear(linear, slices)
    assert sliced.slices == used
    for shape in ((5,), (1, 1, 5), (1, 3, 5), (2, 1, 5), (0, 5)):
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        results = [
            (y := f(x), *torch.autograd.grad(y.square().sum(), [x, *linear.parameters()]))
            for f in (linear, sliced)
        ]
        for whole, parts in zip(*results, strict=True):
            assert_close(parts, whole, rtol=1e-12, atol=1e-14)


def test_a_single_row_is_a_batch_and_more_rows_are_not():
    sliced, ops = SlicedLinear(nn.Linear(5, 6), 2), []
    for rows in (1, 2):
        with torch.profiler.profile() as profile:
            sliced(torch.randn(rows, 5))
        ops.append("aten::bmm" in {event.key for event in profile.key_averages()})
    assert ops == [True, False]


def test_a_model_keeps_its_parameters_and_names():
    model = nn.Sequential(nn.Linear(4, 6), nn.ModuleDict({"inner": nn.Linear(6, 3, bias=False)}), nn.ReLU())
    before = dict(model.named_parameters())
    assert slice_linears(model, slices=3) is model
    after = dict(model.named_parameters())
    assert before.keys() == after.keys() and all(after[name] is before[name] for name in before)
    assert [type(module) for module in model.modules()].count(SlicedLinear) == 2


def test_tied_weights_stay_tied():
    model = nn.ModuleDict({"embed": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
    model["head"].weight = model["embed"].weight
    slice_linears(model, slices=7)
    assert model["head"].weight is model["embed"].weight


def test_no_slices_is_refused():
    with pytest.raises(ValueError, match="slices=0"):
        SlicedLinear(nn.Linear(2, 2), 0)
