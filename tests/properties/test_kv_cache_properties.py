"""A cache changes the cost, never the result, however the text is cut into chunks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.attention.layer import Attention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.layers.positions.rope import Rope

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
EXAMPLES = settings(max_examples=40)

chunk_sizes = st.lists(st.integers(1, 6), min_size=1, max_size=6)
windows = st.integers(1, 9)
seeds = st.integers(0, 10**6)
padding = st.tuples(st.integers(0, 4), st.integers(0, 4))


def text_of(seed: int, length: int, pads: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of random tokens, `pads` of each padded on the left, and their positions."""
    torch.manual_seed(seed)
    real = torch.arange(length)[None] >= torch.tensor(pads)[:, None]
    return torch.randn(len(pads), length, 5).double(), positions_from_padding(real)


def attention(window: int | None) -> Attention:
    layer = Attention(5, heads=4, kv_heads=2, head_dim=4, value_dim=3, rope=Rope(dim=4), window=window)
    return layer.double().requires_grad_(False)


def in_chunks(layer, x, positions, sizes, cache):
    cuts = [part.split(sizes, dim=1) for part in (x, positions)]
    return torch.cat([layer(*chunk, cache) for chunk in zip(*cuts, strict=True)], dim=1)


@EXAMPLES
@given(seed=seeds, sizes=chunk_sizes, pads=padding, window=st.none() | windows)
def test_contiguous_cache_in_chunks_equals_one_forward(seed, sizes, pads, window):
    x, positions = text_of(seed, sum(sizes), pads)
    layer, cache = attention(window), ContiguousCache(2, sum(sizes), 2, 4, 3, dtype=torch.float64)
    got = in_chunks(layer, x, positions, sizes, cache)
    torch.testing.assert_close(got, layer(x, positions), **TOLERANCE)


@EXAMPLES
@given(seed=seeds, sizes=chunk_sizes, pads=padding, window=windows)
def test_ring_cache_in_chunks_equals_one_windowed_forward(seed, sizes, pads, window):
    x, positions = text_of(seed, sum(sizes), pads)
    layer, cache = attention(window), RingCache(2, window, 2, 4, 3, dtype=torch.float64)
    got = in_chunks(layer, x, positions, sizes, cache)
    torch.testing.assert_close(got, layer(x, positions), **TOLERANCE)


@EXAMPLES
@given(sizes=chunk_sizes, window=windows)
def test_a_ring_holds_the_last_tokens_and_no_more(sizes, window):
    cache, start = RingCache(1, window, 1, 1, dtype=torch.float64), 0
    before = cache.nbytes
    for size in sizes:
        positions = torch.arange(start, start + size)[None]
        numbers = positions.double()[..., None, None]
        keys, values, seen = cache.update(numbers, numbers, positions)
        start += size
        assert set(range(max(0, start - window), start)) <= set(seen[0].tolist())
        assert torch.equal(keys.flatten(), seen[0].double())
        assert torch.equal(values.flatten(), seen[0].double())
    assert cache.nbytes == before == 2 * window * 8
    assert cache.length == start
