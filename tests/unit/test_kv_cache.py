"""Caches by hand: which slot, which position, which bytes, and what is refused."""

import pytest
import torch

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.positions.numbering import next_positions


def numbered(start, end, batch=1, groups=1, width=1):
    """Keys, values and positions of tokens start .. end - 1; token i has the key i and the value -i."""
    numbers = torch.arange(start, end).view(1, -1, 1, 1).expand(batch, -1, groups, width).double()
    return numbers, -numbers, next_positions(start, batch, end - start)


def fill(cache, *chunks):
    """Append chunks of the given sizes; return what the last one may see."""
    start = cache.length
    for size in chunks:
        seen = cache.update(*numbered(start, start + size))
        start += size
    return seen


def ring(window):
    return RingCache(1, window, kv_heads=1, head_dim=1, dtype=torch.float64)


@pytest.mark.parametrize("cache", [ContiguousCache(1, 4, 1, 2), RingCache(1, 4, 1, 2)])
def test_both_are_layer_caches(cache):
    assert isinstance(cache, LayerCache)


def test_contiguous_returns_every_token_in_order():
    keys, values, positions = fill(ContiguousCache(1, 9, 1, 1, dtype=torch.float64), 3, 1, 4)
    assert positions.tolist() == [list(range(8))]
    assert keys.flatten().tolist() == list(range(8))
    assert (values == -keys).all()


def test_contiguous_returns_views_of_one_reservation():
    cache = ContiguousCache(2, 9, 3, 4)
    first = cache.update(*(torch.randn(2, 5, 3, 4),) * 2, next_positions(0, 2, 5))
    second = cache.update(*(torch.randn(2, 1, 3, 4),) * 2, next_positions(5, 2, 1))
    for before, after in zip(first, second, strict=True):
        assert before.data_ptr() == after.data_ptr()


@pytest.mark.parametrize("chunks", [(5,), (2, 3), (4, 1)])
def test_overflow_is_refused_with_what_is_allowed(chunks):
    cache = ContiguousCache(1, 4, 1, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"at most {4 - sum(chunks[:-1])} \(capacity 4\)"):
        fill(cache, *chunks)


def test_a_refused_update_leaves_the_cache_as_it_was():
    cache = ContiguousCache(1, 4, 1, 1, dtype=torch.float64)
    fill(cache, 3)
    with pytest.raises(ValueError, match="at most 1"):
        fill(cache, 2)
    assert cache.length == 3
    assert fill(cache, 1)[2].tolist() == [[0, 1, 2, 3]]


def test_ring_slots_of_the_docstring():
    cache, seen = ring(4), []
    for chunk in (1, 1, 1, 1, 1, 1, 3):
        seen.append(fill(cache, chunk)[2][0].tolist())
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [4, 1, 2, 3], [4, 5, 2, 3], [4, 5, 2, 3, 6, 7, 8]]
    assert fill(cache, 1)[2].tolist() == [[8, 9, 6, 7]]


@pytest.mark.parametrize("prompt", range(1, 12))
def test_ring_after_a_prompt_of_any_length(prompt):
    cache = ring(4)
    fill(cache, prompt)
    keys, _, positions = fill(cache, 1)
    assert sorted(positions[0].tolist()) == list(range(max(0, prompt - 3), prompt + 1))
    assert torch.equal(keys.flatten(), positions[0].double())
    assert all(position % 4 == slot for slot, position in enumerate(positions[0].tolist()))


def test_ring_of_one_slot_sees_the_newest_token_only():
    cache = ring(1)
    assert fill(cache, 3, 1)[2].tolist() == [[3]]


def test_ring_memory_does_not_grow():
    cache = RingCache(2, 4, kv_heads=3, head_dim=5, value_dim=7, dtype=torch.float16)
    sizes = set()
    for start in range(20):
        keys, values = torch.zeros(2, 1, 3, 5).half(), torch.zeros(2, 1, 3, 7).half()
        cache.update(keys, values, next_positions(start, 2, 1))
        sizes.add(cache.nbytes)
    assert sizes == {2 * 4 * 3 * (5 + 7) * 2}


def test_contiguous_bytes_are_the_formula():
    cache = ContiguousCache(2, 9, kv_heads=3, head_dim=5, value_dim=7, dtype=torch.bfloat16)
    assert cache.nbytes == 2 * 9 * 3 * (5 + 7) * 2


def test_left_padding_is_kept_as_empty():
    positions = torch.tensor([[-1, 0], [0, 1]])
    for cache in (ContiguousCache(2, 4, 1, 1), RingCache(2, 4, 1, 1)):
        cache.update(torch.ones(2, 2, 1, 1), torch.ones(2, 2, 1, 1), positions)
        later = torch.tensor([[1], [2]])
        seen = cache.update(torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1), later)[2]
        assert seen.tolist() == [[-1, 0, 1], [0, 1, 2]]


def test_ring_refuses_padding_after_a_token():
    with pytest.raises(ValueError, match="before a row's first token"):
        ring(4).update(*numbered(0, 3)[:2], torch.tensor([[0, -1, 1]]))


def test_ring_checks_the_padding_of_every_row():
    cache = RingCache(2, 4, kv_heads=1, head_dim=1, dtype=torch.float64)
    with pytest.raises(ValueError, match="before a row's first token"):
        cache.update(*numbered(0, 3, batch=2)[:2], torch.tensor([[0, 1, 2], [0, -1, 1]]))


@pytest.mark.parametrize("cache_class", [ContiguousCache, RingCache])
@pytest.mark.parametrize("place", range(4))
def test_sizes_below_one_are_refused(cache_class, place):
    sizes = [2, 2, 2, 2]
    sizes[place] = 0
    with pytest.raises(ValueError, match="=0: allowed are whole numbers from 1"):
        cache_class(*sizes)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("keys", ((1, 1, 2, 4), (1, 1, 2, 3))),
        ("keys", ((2, 1, 2, 3), (2, 1, 2, 3))),
        ("values", ((1, 1, 2, 3), (1, 1, 2, 5))),
    ],
)
@pytest.mark.parametrize("cache_class", [ContiguousCache, RingCache])
def test_wrong_shapes_are_refused_by_name(cache_class, name, shapes):
    cache = cache_class(1, 4, kv_heads=2, head_dim=3)
    keys, values = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=f"{name} has shape"):
        cache.update(keys, values, next_positions(0, keys.shape[0], 1))
