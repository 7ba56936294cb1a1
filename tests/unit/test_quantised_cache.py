"""The quantised cache: codes by hand, bytes by formula, and what it refuses."""

import pytest
import torch
from torch.testing import assert_close

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.float_codes import E2M1, Fp8, Mxfp4
from course_lib.layers.caches.nibbles import pack_nibbles, unpack_nibbles
from course_lib.layers.caches.quantised import QuantisedCache, Quantiser
from course_lib.layers.caches.quantised_channels import ChannelCache

B, S, G, K, V = 2, 6, 3, 5, 7
QUANTISERS = [Quantiser(bits=bits, symmetric=symmetric) for bits in (4, 8) for symmetric in (True, False)]


def chunk(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(B, tokens, G, w, generator=generator, dtype=torch.float64) for w in (K, V))


def make(quantiser=QUANTISERS[0], capacity=S):
    return QuantisedCache(B, capacity, G, K, V, quantiser=quantiser, dtype=torch.float64)


def test_asymmetric_codes_by_hand():
    quantiser = Quantiser(bits=4, symmetric=False)
    codes, scales = quantiser.encode(torch.tensor([2.0, 5.0, 17.0]))  # 15 steps of 1 from 2
    assert codes.tolist() == [0 + 3 * 16, 15] and scales.tolist() == [1.0, 2.0]
    assert quantiser.decode(codes, scales, width=3).tolist() == [2.0, 5.0, 17.0]


def test_symmetric_codes_by_hand():
    quantiser = Quantiser(bits=8)
    codes, scales = quantiser.encode(torch.tensor([0.0, -127.0, 63.4]))
    assert codes.tolist() == [127, 0, 190] and scales.tolist() == [1.0]
    assert quantiser.decode(codes, scales, width=3).tolist() == [0.0, -127.0, 63.0]


@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_constant_and_zero_heads_come_back(quantiser):
    x = torch.tensor([[0.0] * 3, [2.5] * 3])
    assert_close(quantiser.decode(*quantiser.encode(x), width=3), x, rtol=0, atol=0)


def test_nibbles_come_back_for_odd_and_even_widths():
    for width in (1, 2, 5, 8):
        codes = torch.randint(
            0, 16, (4, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(width)
        )
        packed = pack_nibbles(codes)
        assert packed.shape == (4, -(-width // 2))
        assert torch.equal(unpack_nibbles(packed, width), codes)


@pytest.mark.parametrize("quantiser", QUANTISERS)
@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.float16])
def test_bytes_are_the_formula_and_what_the_tensors_hold(quantiser, scale_dtype):
    quantiser = Quantiser(quantiser.bits, quantiser.symmetric, scale_dtype)
    cache = make(quantiser)
    code_bytes = {8: K + V, 4: 3 + 4}[quantiser.bits]
    scales = 1 if quantiser.symmetric else 2
    assert cache.nbytes == B * S * G * (code_bytes + 2 * scales * scale_dtype.itemsize)
    held = [t for store in (cache.keys, cache.values) for t in vars(store).values() if torch.is_tensor(t)]
    assert sum(t.nbytes for t in held) == cache.nbytes


@pytest.mark.parametrize("quantiser", QUANTISERS)
def test_equals_the_contiguous_cache_within_the_bound(quantiser):
    cache, plain = make(quantiser), ContiguousCache(B, S, G, K, V, dtype=torch.float64)
    assert isinstance(cache, LayerCache)
    start = 0
    for seed, tokens in enumerate((3, 1, 2)):
        positions = torch.arange(start, start + tokens).expand(B, -1)
        got = cache.update(*chunk(tokens, seed), positions)
        expected = plain.update(*chunk(tokens, seed), positions)
        start += tokens
    for store, decoded, exact in zip((cache.keys, cache.values), got, expected, strict=False):
        error = (decoded - exact).abs().amax(-1, keepdim=True)
        assert (error <= quantiser.error_bound(store.scales.double()) + 1e-12).all() and error.max() > 0
    assert torch.equal(got[2], expected[2]) and cache.length == S


def test_more_bits_and_a_low_reduce_the_error():
    x = torch.rand(64, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1.0
    errors = {}
    for quantiser in QUANTISERS:
        decoded = quantiser.decode(*quantiser.encode(x), width=32, dtype=torch.float64)
        errors[quantiser.bits, quantiser.symmetric] = (decoded - x).abs().mean()
    assert errors[8, True] < errors[4, True] / 10
    assert errors[4, False] < errors[4, True] / 3  # all numbers are positive: half the symmetric codes idle


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda: Quantiser(bits=2), "bits=2"),
        (lambda: make(capacity=0), "capacity=0"),
        (
            lambda: make().update(*chunk(7), torch.arange(7).expand(B, -1)),
            "7 new tokens: allowed are at most 6",
        ),
        (lambda: make().update(*chunk(2)[::-1], torch.arange(2).expand(B, -1)), "keys has shape"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_fp8_codes_are_torchs_own_and_one_scale_puts_the_largest_at_the_end_of_the_range():
    x = torch.tensor([[0.1, -3.0, 7.0], [0.0, 0.0, 0.0]])
    codes, scales = Fp8().encode(x)
    assert scales.shape == (2, 1) and codes.dtype == torch.uint8
    assert codes.view(torch.float8_e4m3fn)[0, 2].item() == 448.0
    back = Fp8().decode(codes, scales, width=3)
    assert_close(back[0], x[0], rtol=2**-4, atol=0)  # three fraction bits: half a step is 1/16
    assert_close(back[1], x[1], rtol=0, atol=0)


def test_fp8_without_a_scale_cuts_off_at_448():
    codes, scales = Fp8(scaled=False).encode(torch.tensor([1.0, 449.0, -1e5]))
    assert scales.shape == (0,)
    assert Fp8(scaled=False).decode(codes, scales, width=3).tolist() == [1.0, 448.0, -448.0]


def test_fp8_errs_by_a_share_of_each_number_and_int8_by_the_same_amount_everywhere():
    x = torch.tensor([0.011, 100.0])
    fp8 = Fp8().decode(*Fp8().encode(x), width=2)
    int8 = Quantiser(8).decode(*Quantiser(8).encode(x), width=2)
    assert abs(fp8[0] / x[0] - 1) < 0.07 and int8[0] == 0.0


@pytest.mark.parametrize("scale", [1.0, 2.0**-9, 64.0])
def test_every_number_of_e2m1_comes_back_under_any_power_of_two(scale):
    x = scale * torch.tensor([*E2M1, *(-m for m in E2M1)])
    assert_close(Mxfp4().decode(*Mxfp4().encode(x), width=16), x, rtol=0, atol=0)


def test_fp4_rounds_to_the_nearest_of_its_numbers_block_by_block():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 2, 11, generator=generator, dtype=torch.float64) * 3
    codec = Mxfp4(block=4)
    codes, scales = codec.encode(x)
    assert codes.shape == (3, 2, 6) and scales.shape == (3, 2, 3)
    steps = 2.0 ** (scales.double() - 127).repeat_interleave(4, dim=-1)[..., :11]
    levels = torch.tensor([*E2M1, *(-m for m in E2M1)], dtype=torch.float64)
    nearest = (x[..., None] - steps[..., None] * levels).abs().amin(-1)
    back = codec.decode(codes, scales, 11, torch.float64)
    assert_close((back - x).abs(), nearest, rtol=1e-12, atol=1e-12)


def test_values_may_be_coded_in_another_way_than_keys():
    cache = QuantisedCache(1, 4, 2, 32, quantiser=Mxfp4(), value_quantiser=Fp8(scaled=False))
    assert cache.nbytes == 4 * 2 * ((16 + 1) + 32)
    x = torch.randn(1, 4, 2, 32)
    keys, values, _ = cache.update(x, x, torch.arange(4)[None])
    assert (values - x).norm() < (keys - x).norm()


def channel_cache(capacity=S, group=4, bits=8):
    quantiser = Quantiser(bits, symmetric=False)
    return ChannelCache(B, capacity, G, K, V, group=group, quantiser=quantiser, dtype=torch.float64)


def test_a_channels_scale_runs_along_its_tokens_and_the_newest_wait_unrounded():
    cache = channel_cache()
    keys, values = chunk(S)
    got, _, at = cache.update(keys, values, torch.arange(S).expand(B, -1))
    assert isinstance(cache, LayerCache) and cache.length == S and at.shape == (B, S)
    group = keys[:, :4]
    step = (group.amax(1) - group.amin(1)) / 255  # of each head's channel, over 4 tokens
    assert ((got[:, :4] - group).abs() <= step[:, None] / 2 + 1e-6).all()
    assert not torch.equal(got[:, :4], group) and torch.equal(got[:, 4:], keys[:, 4:])


@pytest.mark.parametrize("parts", [(1,) * 11, (3, 8), (5, 2, 4), (11,)])
def test_a_channel_cache_ends_the_same_however_the_tokens_came(parts):
    keys, values = chunk(11)
    whole = channel_cache(capacity=12).update(keys, values, torch.arange(11).expand(B, -1))
    cache, start = channel_cache(capacity=12), 0
    for tokens in parts:
        new = slice(start, start + tokens)
        got = cache.update(keys[:, new], values[:, new], torch.arange(start, start + tokens).expand(B, -1))
        start += tokens
    for a, b in zip(got, whole, strict=True):
        assert torch.equal(a, b)


def test_the_bytes_of_a_channel_cache():
    cache = ChannelCache(1, 64, kv_heads=2, head_dim=16)  # 2 groups of 32 tokens, 4 bits, float16 scales
    keys = 2 * 2 * 16 * (16 + 2 * 2)
    values = 64 * 2 * (8 + 2 * 2)
    assert cache.nbytes == keys + values + 32 * 2 * 16 * 4


def test_channel_scales_keep_a_loud_channel_to_itself():
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(1, 32, 1, 16, generator=generator)
    keys[..., 5] += 40
    quiet = [i for i in range(16) if i != 5]
    at = torch.arange(32)[None]
    by_channel = ChannelCache(1, 32, 1, 16).update(keys, keys, at)[0]
    quantiser = Quantiser(4, symmetric=False)
    by_token = QuantisedCache(1, 32, 1, 16, quantiser=quantiser).update(keys, keys, at)[0]
    errors = [(back - keys)[..., quiet].norm() for back in (by_channel, by_token)]
    assert errors[0] < errors[1] / 5


def test_a_channel_cache_refuses_what_does_not_fit_and_keeps_what_it_has():
    cache = channel_cache(capacity=3)
    cache.update(*chunk(3), torch.arange(3).expand(B, -1))
    before = cache.waiting.clone()
    with pytest.raises(ValueError, match="1 new tokens"):
        cache.update(*chunk(1), torch.tensor([[3]] * B))
    with pytest.raises(ValueError, match="keys has shape"):
        channel_cache().update(*chunk(2)[::-1], torch.arange(2).expand(B, -1))
    with pytest.raises(ValueError, match="group=0"):
        ChannelCache(1, 4, 1, 2, group=0)
    with pytest.raises(ValueError, match="block=0"):
        Mxfp4(block=0)
    assert torch.equal(cache.waiting, before) and cache.length == 3
