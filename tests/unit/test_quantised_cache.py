"""The quantised cache: codes by hand, bytes by formula, and what it refuses."""

import pytest
import torch
from torch.testing import assert_close

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.quantised import QuantisedCache, Quantiser, pack_nibbles, unpack_nibbles

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
