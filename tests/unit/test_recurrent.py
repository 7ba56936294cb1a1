"""Mixers with a state: bytes and parameters by the formulas, padding, caches, precision, refusals."""

import pytest
import torch

from course_lib.costs.mixers import dispatch as costs
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL
from course_lib.layers.recurrent import linear_attention, rwkv
from course_lib.layers.recurrent.gated_delta_net import FASTEST, SLOWEST, GatedDeltaNet, KimiDelta, log_decay
from course_lib.layers.recurrent.gated_rnn import GRU, LSTM
from course_lib.layers.recurrent.lightning import Lightning, lightning_slopes
from course_lib.layers.recurrent.mlstm import (
    MLSTM,
    mlstm_chunked,
    mlstm_naive,
    mlstm_parallel,
    mlstm_recurrent,
)
from course_lib.layers.recurrent.rg_lru import (
    RGLRU,
    STEEPEST,
    recurrence_associative,
    recurrence_recurrent,
    root,
)
from course_lib.layers.recurrent.short_conv import ShortConv, causal_conv_recurrent
from course_lib.layers.recurrent.time_mixing import RWKV, token_shift
from course_lib.specs.records import (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
)

D = 10
MIXERS = {
    "gated DeltaNet": (
        lambda: GatedDeltaNet(D, 2, 6, 3, 5, conv=4, chunk=4),
        GatedDeltaNetSpec(key_heads=2, value_heads=6, key_dim=3, value_dim=5, conv=4),
    ),
    "gated DeltaNet, strong": (
        lambda: GatedDeltaNet(D, 1, 2, 3, 5, conv=2, strongest=2.0),
        GatedDeltaNetSpec(key_heads=1, value_heads=2, key_dim=3, value_dim=5, conv=2, strongest=2.0),
    ),
    "KDA": (lambda: KimiDelta(D, 3, 4, conv=4, chunk=4), KimiDeltaSpec(heads=3, head_dim=4, conv=4)),
    "KDA, narrow": (
        lambda: KimiDelta(D, 3, 4, conv=2, decay_rank=4, gate_rank=2),
        KimiDeltaSpec(heads=3, head_dim=4, conv=2, decay_rank=4, gate_rank=2),
    ),
    "lightning": (lambda: Lightning(D, 3, 4, chunk=4), LightningSpec(heads=3, head_dim=4)),
    "short convolution": (lambda: ShortConv(D, 3), ShortConvSpec(conv=3)),
    "short convolution, biases": (lambda: ShortConv(D, 3, bias=True), ShortConvSpec(conv=3, bias=True)),
    "RG-LRU": (lambda: RGLRU(D, 6, 2, 4), RGLRUSpec(width=6, blocks=2, conv=4)),
    "RWKV-4": (lambda: RWKV(D, 7, chunk=4), RWKVSpec(width=7)),
    "GRU": (lambda: GRU(D, 7), RNNSpec(kind="gru", width=7)),
    "LSTM": (lambda: LSTM(D, 7), RNNSpec(kind="lstm", width=7)),
}


@pytest.fixture(params=MIXERS)
def made(request):
    make, spec = MIXERS[request.param]
    return make(), spec


def run(mixer, x, positions=None, cache=None):
    if positions is None:
        start = 0 if cache is None else cache.length
        positions = torch.arange(start, start + x.shape[1]).expand(x.shape[:2])
    return mixer(x, positions, cache)


def test_parameters_are_those_of_the_formula(made):
    mixer, spec = made
    assert sum(p.numel() for p in mixer.parameters()) == costs.mixer_params(spec, D)


@pytest.mark.parametrize(
    ("dtype", "wide", "size"), [("float32", 4, 4), ("float64", 8, 8), ("bfloat16", 4, 2)]
)
def test_bytes_of_the_state_are_those_of_the_formula_before_and_after(made, dtype, wide, size):
    mixer, spec = made
    mixer = mixer.to(getattr(torch, dtype))
    accumulators, inputs = costs.state_elements(spec, D)
    x = torch.randn(3, 5, D, dtype=getattr(torch, dtype))
    cache = mixer.make_state(3, x.dtype)
    for tokens in (0, 5, 10):
        assert (cache.length, cache.nbytes) == (tokens, 3 * (accumulators * wide + inputs * size))
        y = run(mixer, x, cache=cache)
        assert y.dtype == x.dtype and y.isfinite().all()


def test_with_a_cache_the_layer_gives_what_it_gives_in_one_pass(made):
    mixer, x = made[0].double(), torch.randn(2, 11, D, dtype=torch.float64)
    whole, cache = run(mixer, x), mixer.make_state(2, torch.float64)
    parts = [run(mixer, part, cache=cache) for part in x.split([4, 1, 3, 1, 1, 1], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    assert not torch.allclose(run(mixer, x[:, 4:]), whole[:, 4:])  # the past matters
    cache.select(torch.tensor([1]))
    kept = mixer.make_state(1, torch.float64)
    run(mixer, x[1:], cache=kept)
    for name in mixer.state_shapes:
        torch.testing.assert_close(cache[name], kept[name])


def test_padding_anywhere_leaves_the_state_and_the_other_tokens(made):
    """Two calls, each with padding in front, between and behind, are one row without."""
    mixer, x = made[0].double(), torch.randn(1, 8, D, dtype=torch.float64)
    expected, cache = mixer.make_state(1, torch.float64), mixer.make_state(1, torch.float64)
    outputs = run(mixer, x, cache=expected)
    places, y = torch.tensor([1, 2, 4, 6, 8, 11, 12, 13]), []
    padded = torch.randn(1, 16, D, dtype=torch.float64)
    positions = torch.full((1, 16), -1)
    padded[:, places], positions[:, places] = x, torch.arange(8)
    for half in (slice(0, 7), slice(7, 16)):
        y.append(run(mixer, padded[:, half], positions[:, half], cache))
    torch.testing.assert_close(torch.cat(y, 1)[:, places], outputs)
    for name in mixer.state_shapes:
        torch.testing.assert_close(cache[name], expected[name])
    run(mixer, padded, torch.full((1, 16), -1), cache)  # nothing but padding
    for name in mixer.state_shapes:
        torch.testing.assert_close(cache[name], expected[name])


def test_every_parameter_gets_a_gradient(made):
    mixer = made[0]
    run(mixer, torch.randn(2, 9, D)).square().sum().backward()
    assert [
        name for name, p in mixer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ] == []


def test_a_layer_with_a_state_takes_no_mask_but_the_causal_one(made):
    mixer, x = made[0], torch.randn(1, 3, D)
    positions = torch.arange(3)[None]
    torch.testing.assert_close(mixer(x, positions, mask_mod=CAUSAL), mixer(x, positions))
    with pytest.raises(ValueError, match=r"mask_mod=.*causal"):
        mixer(x, positions, mask_mod=BIDIRECTIONAL)


@pytest.mark.parametrize("name", MIXERS)
def test_it_builds_without_memory(name):
    with torch.device("meta"):
        assert all(p.is_meta for p in MIXERS[name][0]().parameters())


# mLSTM


def random_mlstm(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (2, length, 3, 4), (2, length, 3, 4), (2, length, 3, 5), (2, length, 3), (2, length, 3)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes
    ]


@pytest.mark.parametrize("length", [1, 7, 13])
def test_mlstm_in_every_form_is_its_equation_with_gradients(length):
    given = random_mlstm(length)
    expected = mlstm_naive(*given)
    wanted = torch.autograd.grad(expected.square().sum(), given)
    for form, options in ((mlstm_recurrent, {}), (mlstm_parallel, {}), (mlstm_chunked, {"chunk": 3})):
        y, memory = form(*given, eps=0.0, **options)
        torch.testing.assert_close(y, expected)
        for one, other in zip(torch.autograd.grad(y.square().sum(), given), wanted, strict=True):
            torch.testing.assert_close(one, other)
        first, state = form(*(x[:, :4] for x in given), eps=0.0, **options)
        if length > 4:
            rest, after = form(*(x[:, 4:] for x in given), eps=0.0, state=state, **options)
            torch.testing.assert_close(torch.cat([first, rest], 1), expected)
            for one, other in zip(after, memory, strict=True):
                torch.testing.assert_close(one, other)


def test_large_input_gates_overflow_the_equation_and_not_the_stable_forms():
    q, k, v, enter, forget = (x.detach().float() for x in random_mlstm(9))
    enter = enter + 100
    assert mlstm_naive(q, k, v, enter, forget).isnan().any()
    stable, _ = mlstm_recurrent(q, k, v, enter, forget)
    torch.testing.assert_close(
        mlstm_chunked(q, k, v, enter, forget, chunk=4)[0], stable, rtol=1e-3, atol=1e-3
    )
    assert stable.isfinite().all()


def test_an_mlstm_layer_passes_over_padding_and_goes_on_from_its_state():
    torch.manual_seed(0)
    layer, x = MLSTM(D, 2, 3, 4, chunk=4).double(), torch.randn(2, 11, D, dtype=torch.float64)
    state, positions = layer.make_state(2, torch.float64), torch.arange(11).repeat(2, 1)
    positions[1] -= 5
    positions[1, :5] = -1
    whole = layer(x, positions)
    parts = zip(x.split([4, 3, 1, 3], 1), positions.split([4, 3, 1, 3], 1), strict=True)
    found = torch.cat([layer(one, places, state) for one, places in parts], 1)
    torch.testing.assert_close(found[positions >= 0], whole[positions >= 0])
    torch.testing.assert_close(layer(x[1:, 5:], positions[1:, 5:])[0], whole[1, 5:])
    assert state.nbytes == 2 * 8 * 2 * (3 * 4 + 3 + 1)
    layer(x, torch.full((2, 11), -1), state)  # nothing but padding
    assert state["matrix"].isfinite().all()


# RG-LRU


@pytest.mark.parametrize("length", [0, 1, 2, 7, 13])
def test_the_recurrence_in_rounds_is_the_loop_with_gradients(length):
    torch.manual_seed(length)
    shapes = (2, length, 3), (2, length, 3), (2, 3)
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    outputs, grads = [], []
    for form in (recurrence_recurrent, recurrence_associative):
        x, decay, state = given
        y, after = form(x, torch.sigmoid(decay), state)
        outputs.append((y, after))
        grads.append(torch.autograd.grad(y.square().sum() + after.sum(), given, allow_unused=True))
    for one, other in zip(outputs[0] + grads[0], outputs[1] + grads[1], strict=True):
        torch.testing.assert_close(one, other)


def test_a_position_of_zero_starts_a_text_anew():
    """Two texts in one row, each as it is alone; the convolution still sees across, so it has one tap."""
    mixer, x = RGLRU(D, 6, 2, 1).double(), torch.randn(1, 9, D, dtype=torch.float64)
    packed = run(mixer, x, torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]]))
    torch.testing.assert_close(packed, torch.cat([run(mixer, x[:, :4]), run(mixer, x[:, 4:])], 1))
    assert not torch.allclose(run(mixer, x)[:, 4:], packed[:, 4:])


def test_the_root_has_a_slope_everywhere():
    x = torch.tensor([0.0, 1e-8, 1e-4, 0.5], dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(root(x).sum(), x)
    torch.testing.assert_close(root(x)[2:], x[2:].sqrt())
    assert slopes.tolist() == pytest.approx([2 * STEEPEST, 2 * STEEPEST, 50.0, 0.5**0.5])


# Decays


def test_heads_begin_to_forget_at_different_speeds():
    for layer, heads in ((GatedDeltaNet(D, 1, 4, 3, 3, conv=4), 4), (KimiDelta(D, 2, 3, conv=4), 6)):
        share = torch.nn.functional.softplus(layer.step)
        assert share.shape == (heads,) and share.diff().min() > 0
        torch.testing.assert_close(share[[0, -1]], torch.tensor([SLOWEST, FASTEST]))
        assert layer.rate.exp().min() == 1.0


def test_log_decay_is_below_zero_and_in_float32():
    raw = torch.tensor([-200.0, 0.0, 200.0], dtype=torch.bfloat16)
    found = log_decay(raw, torch.zeros(3), torch.zeros(3))
    assert found.dtype == torch.float32 and found.tolist() == [0.0, pytest.approx(-0.6931, abs=1e-4), -200.0]


def test_fixed_decays():
    torch.testing.assert_close(
        linear_attention.retention_log_decay(3).exp(), torch.tensor([31 / 32, 63 / 64, 127 / 128])
    )
    first, last = lightning_slopes(8, 0, 3), lightning_slopes(8, 2, 3)
    assert first[0].item() == pytest.approx(0.5, abs=1e-4) and first[-1].item() == pytest.approx(
        2**-8, abs=1e-6
    )
    assert 0 < last.max() < 1e-4  # the last layer forgets nearly nothing
    half = linear_attention.gla_log_decay(torch.zeros(1, 1, 1, 1), tau=2.0).exp().item()
    assert half == pytest.approx(0.5**0.5)


# Convolutions


def test_a_convolution_step_by_step_by_hand():
    x, weight = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[[100.0, 10.0, 1.0]]])
    y, inputs = causal_conv_recurrent(x, weight, torch.tensor([0.5]))
    assert y.flatten().tolist() == [1.5, 12.5, 123.5] and inputs.flatten().tolist() == [1.0, 2.0, 3.0]
    y, inputs = causal_conv_recurrent(x[:, :1] * 4, weight, inputs=inputs)
    assert y.flatten().tolist() == [234.0] and inputs.flatten().tolist() == [2.0, 3.0, 4.0]


def test_token_shift_skips_padding():
    x, kept = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[True, False, True]])
    before, last = token_shift(x, torch.tensor([[9.0]]), kept)
    assert before.flatten().tolist() == [9.0, 1.0, 1.0] and last.item() == 3.0


# Refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: linear_attention.linear_attention_recurrent(x, x, x, x[..., :2]),
            "log_decay has width 2: allowed are 1 and k=4",
        ),
        (lambda x: linear_attention.linear_attention_chunked(x, x, x, chunk=0), "chunk=0"),
        (lambda x: rwkv.wkv_recurrent(x, x, x, x, kappa=x), "kappa and rate"),
        (lambda x: rwkv.wkv_chunked(x, x, x, x, kappa=x, rate=x, bonus=x[0, 0]), "bonus is set"),
        (
            lambda x: GatedDeltaNet(D, 4, 6, 3, 5, conv=4),
            "key_heads=4: allowed are divisors of value_heads=6",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(1, 3, 3, 4))


def test_versions_of_rwkv_in_one_table():
    assert list(rwkv.VERSIONS) == [4, 5, 6, 7]
    assert [version.bonus for version in rwkv.VERSIONS.values()] == [True, True, True, False]
    assert [version.decay for version in rwkv.VERSIONS.values()] == ["fixed", "fixed", "token", "token"]
