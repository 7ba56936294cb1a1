"""Mamba and Mamba-2 as layers: convolution, padding, cached steps, dtypes, refusals."""

import itertools

import pytest
import torch

from course_lib.costs.mixers.dispatch import mixer_params, state_elements
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.masks import CAUSAL, prefix
from course_lib.layers.recurrent.causal_conv import CausalConv, causal_conv_naive
from course_lib.layers.recurrent.mamba import Mamba, start_of_step
from course_lib.layers.recurrent.mamba2 import GatedRMSNorm, Mamba2
from course_lib.layers.recurrent.s4d import S4D
from course_lib.specs.records import SSMSpec

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
D = 6
KINDS = {
    "mamba": lambda: Mamba(D, inner=10, state=3, conv=4, dt_rank=2),
    "mamba-biased": lambda: Mamba(D, inner=10, state=3, conv=2, dt_rank=2, bias=True, inner_norm="gain"),
    "falcon-mamba": lambda: Mamba(D, inner=10, state=3, conv=4, dt_rank=2, inner_norm="plain"),
    "one-tap": lambda: Mamba(D, inner=10, state=3, conv=1, dt_rank=2, conv_bias=False),
    "s4d": lambda: S4D(D, state=3),
    "s4d-bilinear": lambda: S4D(D, state=2, rule="bilinear"),
    "mamba2": lambda: Mamba2(D, heads=4, head_dim=3, groups=2, state=5, conv=4),
    "mamba2-biased": lambda: Mamba2(
        D, heads=3, head_dim=2, groups=3, state=5, conv=3, bias=True, out_norm=False
    ),
}


@pytest.fixture(params=KINDS)
def layer(request):
    torch.manual_seed(0)
    made = KINDS[request.param]().double()
    for parameter in made.parameters():  # so that no bias or gain is zero or one
        parameter.data += torch.randn_like(parameter) * 0.2
    return made


def state_of(layer, batch):
    return RecurrentState(batch, layer.state_shapes(), torch.float64)


def numbered(batch, t, start=0):
    return torch.arange(start, start + t).expand(batch, -1)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("t", [1, 3, 9])
def test_the_convolution_is_the_sum_of_its_equation(width, t):
    conv = CausalConv(4, width).double()
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, t, 4, dtype=torch.float64)
    torch.testing.assert_close(conv(x)[0], causal_conv_naive(x, conv.weight, conv.bias), **CLOSE)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_padding_anywhere_is_passed_over_by_the_convolution(width):
    conv = CausalConv(3, width).double()
    torch.nn.init.normal_(conv.bias)
    x, before = torch.randn(5, 8, 3, dtype=torch.float64), torch.randn(5, 3, width, dtype=torch.float64)
    real = torch.tensor(
        [[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 0, 1, 1, 0], [0] * 8, [1] * 8]
    ).bool()
    y, after = conv(x, before, real)
    assert y[~real].abs().sum() == 0
    for row in range(5):
        alone, kept = conv(x[row : row + 1, real[row]], before[row : row + 1])
        torch.testing.assert_close(y[row, real[row]], alone[0], **CLOSE)
        torch.testing.assert_close(after[row], kept[0], **CLOSE)


@pytest.mark.parametrize("cuts", [(0, 11), (0, 1, 2, 3, 11), (0, 4, 5, 6, 7, 8, 9, 10, 11)])
def test_steps_with_a_cache_are_one_pass(layer, cuts):
    x, cache = torch.randn(2, 11, D, dtype=torch.float64), state_of(layer, 2)
    with torch.no_grad():
        pieces = [layer(x[:, s:e], numbered(2, e - s, s), cache) for s, e in itertools.pairwise(cuts)]
        torch.testing.assert_close(torch.cat(pieces, 1), layer(x, numbered(2, 11)), **CLOSE)
    assert cache.length == 11


def test_a_row_with_padding_is_the_row_alone(layer):
    """Before, after and between its tokens; the state too."""
    x = torch.randn(3, 9, D, dtype=torch.float64)
    real = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1, 0, 0, 0], [1] * 9]).bool()
    positions = torch.where(real, real.cumsum(1) - 1, -1)
    with torch.no_grad():
        cache = state_of(layer, 3)
        y = layer(x, positions, cache)
        for row in range(3):
            alone = state_of(layer, 1)
            want = layer(x[row : row + 1, real[row]], numbered(1, int(real[row].sum())), alone)
            torch.testing.assert_close(y[row, real[row]], want[0], **CLOSE)
            for name in layer.state_shapes():
                torch.testing.assert_close(cache[name][row], alone[name][0], **CLOSE)


def test_a_step_of_padding_leaves_the_state(layer):
    cache = state_of(layer, 2)
    with torch.no_grad():
        layer(torch.randn(2, 5, D, dtype=torch.float64), numbered(2, 5), cache)
        kept = {name: cache[name].clone() for name in layer.state_shapes()}
        layer(torch.randn(2, 1, D, dtype=torch.float64), torch.tensor([[-1], [5]]), cache)
    for name, old in kept.items():
        assert torch.equal(cache[name][0], old[0]) and not torch.equal(cache[name][1], old[1])


def test_later_tokens_change_nothing_earlier(layer):
    x = torch.randn(1, 9, D, dtype=torch.float64)
    changed = x.clone()
    changed[:, 4] += 1
    moved = (layer(changed, numbered(1, 9)) - layer(x, numbered(1, 9))).abs().amax(-1)[0]
    assert moved[:4].max() < 1e-14 and moved[4:].min() > 1e-8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dtype_is_kept_and_the_scan_runs_in_float32(layer, dtype):
    x = torch.randn(2, 40, D, dtype=torch.float64)
    want = layer(x, numbered(2, 40))
    cache = RecurrentState(2, layer.state_shapes(), dtype, dtypes={"state": torch.float32})
    y = layer.to(dtype)(x.to(dtype), numbered(2, 40), cache)
    assert y.dtype == dtype and cache["state"].dtype == torch.float32
    assert "inputs" not in layer.state_shapes() or cache["inputs"].dtype == dtype
    limit = 0.1 if dtype == torch.bfloat16 else 1e-4
    assert (y.double() - want).abs().max() < limit * want.abs().max()


def test_parameters_and_state_are_the_formulas():
    for ours, sizes in (
        (KINDS["mamba"](), {"kind": "mamba1", "d_inner": 10, "state": 3, "conv": 4, "dt_rank": 2}),
        (
            KINDS["mamba2"](),
            {
                "kind": "mamba2",
                "d_inner": 12,
                "state": 5,
                "conv": 4,
                "heads": 4,
                "head_dim": 3,
                "groups": 2,
            },
        ),
    ):
        spec = SSMSpec(**sizes)
        assert sum(p.numel() for p in ours.parameters()) == mixer_params(spec, D)
        assert state_of(ours, 3).nbytes == 3 * 8 * sum(state_elements(spec, D))


def test_the_gated_norm_works_group_by_group():
    norm, x, gate = GatedRMSNorm(6, 3, eps=0.0), torch.randn(2, 6), torch.randn(2, 6)
    scaled = x.clone()
    scaled[:, :2] *= 100  # the first group's size cannot be seen behind it
    torch.testing.assert_close(norm(scaled, gate), norm(x, gate), rtol=1e-4, atol=1e-5)
    assert torch.allclose(norm(x, gate).unflatten(-1, (3, 2)).square().mean(-1), torch.ones(2, 3))


def test_steps_at_the_start_reach_from_ten_to_a_thousand_tokens():
    torch.manual_seed(0)
    dt = torch.nn.functional.softplus(start_of_step(2000))
    assert 0.00099 < dt.min() < 0.0011 and 0.095 < dt.max() < 0.1001
    assert 0.008 < dt.median() < 0.0125  # even on a log scale


def test_a_mask_other_than_the_causal_one_is_refused(layer):
    x = torch.randn(1, 3, D, dtype=torch.float64)
    layer(x, numbered(1, 3), mask_mod=CAUSAL)
    with pytest.raises(ValueError, match="no scores to mask"):
        layer(x, numbered(1, 3), mask_mod=prefix(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mamba(D, inner=0, state=3, conv=4, dt_rank=2), "inner=0"),
        (lambda: Mamba(D, inner=4, state=3, conv=0, dt_rank=2), "width=0"),
        (lambda: Mamba(D, inner=4, state=3, conv=4, dt_rank=2, inner_norm="all"), "inner_norm='all'"),
        (lambda: Mamba2(D, heads=4, head_dim=3, groups=3, state=5, conv=4), "groups=3"),
        (lambda: GatedRMSNorm(6, 4), "groups=4"),
    ],
)
def test_wrong_sizes_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
