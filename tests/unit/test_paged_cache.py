"""The paged cache: block arithmetic, shared prefixes, copy-on-write, bytes, and what it refuses."""

import pytest
import torch
from torch.testing import assert_close

from course_lib.layers.caches.block_pool import BlockPool, locate
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.paged import PagedCache

G, K, V = 2, 3, 5


def make(blocks=12, size=4, batch=1):
    pool = BlockPool(blocks, size, G, K, V, dtype=torch.float64)
    return pool, PagedCache(pool, batch)


def chunk(batch, tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda width: torch.randn(batch, tokens, G, width, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(K), draw(V)


def test_locate_agrees_with_the_stored_slots():
    pool, cache = make(batch=2)
    keys, values = chunk(2, 7)
    cache.update(keys, values, torch.arange(7).expand(2, -1))
    for row in range(2):
        for position in range(7):
            block, offset = locate(position, cache.tables[row], pool.block_size)
            assert torch.equal(pool.keys[block, offset], keys[row, position])
            assert torch.equal(pool.values[block, offset], values[row, position])


def test_equals_the_contiguous_cache_chunk_by_chunk():
    _, paged = make(batch=2)
    plain = ContiguousCache(2, 16, G, K, V, dtype=torch.float64)
    start = 0
    for seed, tokens in enumerate((5, 1, 1, 4, 3)):
        new = (*chunk(2, tokens, seed), torch.arange(start, start + tokens).expand(2, -1))
        for got, expected in zip(paged.update(*new), plain.update(*new), strict=True):
            assert_close(got, expected, rtol=0, atol=0)
        start += tokens
    assert paged.length == plain.length == 14


def test_rows_of_different_length_and_left_padding():
    _, cache = make(batch=2)
    keys, values = chunk(2, 5)
    got, _, positions = cache.update(keys, values, torch.tensor([[0, 1, 2, 3, 4], [-1, -1, 0, 1, 2]]))
    assert cache.lengths == [5, 3]
    assert positions.tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, -1, -1]]
    assert torch.equal(got[1, :3], keys[1, 2:])


def test_an_idle_row_holds_nothing():
    pool, cache = make(batch=2)
    cache.update(*chunk(2, 1), torch.tensor([[0], [-1]]))
    assert cache.tables[1] == [] and pool.free_blocks == 11


def test_bytes_and_waste():
    pool, cache = make(batch=2)
    cache.update(*chunk(2, 6), torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, -1, -1, -1, -1]]))
    assert pool.block_nbytes == 4 * G * (K + V) * 8
    assert cache.nbytes == 3 * pool.block_nbytes
    assert (cache.slots().allocated, cache.slots().used, cache.slots().wasted) == (12, 8, 4)
    assert pool.nbytes == 12 * pool.block_nbytes


def test_a_shared_block_counts_the_tokens_of_its_longest_row():
    _, cache = make()
    cache.update(*chunk(1, 6), torch.arange(6)[None])
    cache.fork(0, tokens=5)
    assert (cache.slots().allocated, cache.slots().used) == (8, 6)


def test_all_writers_of_a_shared_block_but_one_need_a_copy():
    pool, cache = make(blocks=3)
    cache.update(*chunk(1, 5), torch.arange(5)[None])
    cache.fork(0)
    cache.fork(0)
    lengths, references = list(cache.lengths), list(pool.references)
    with pytest.raises(ValueError, match="need 2 blocks: the pool has 1 free"):
        cache.update(*chunk(3, 1), torch.full((3, 1), 5))
    assert (cache.lengths, pool.references) == (lengths, references)


def test_a_fork_costs_no_bytes_and_copies_only_the_partial_block():
    pool, cache = make()
    keys, values = chunk(1, 10)
    cache.update(keys, values, torch.arange(10)[None])
    before = cache.nbytes
    child = cache.fork(0)
    assert cache.nbytes == before and pool.references[:3] == [2, 2, 2]

    copies = []
    real_copy = pool.copy
    pool.copy = lambda block, tokens: copies.append((block, tokens)) or real_copy(block, tokens)
    new_keys, new_values = chunk(2, 1, seed=1)
    got, _, _ = cache.update(new_keys, new_values, torch.tensor([[10], [10]]))
    assert copies == [
        (2, 2)
    ]  # the first writer copies two tokens of one block; the second then owns it alone
    assert cache.tables[0][:2] == cache.tables[child][:2] and cache.tables[0][2] != cache.tables[child][2]
    assert pool.references[:4] == [2, 2, 1, 1]
    assert torch.equal(got[:, :10], keys.expand(2, -1, -1, -1)) and torch.equal(got[:, 10:], new_keys)


def test_a_fork_at_a_block_boundary_copies_nothing():
    pool, cache = make()
    cache.update(*chunk(1, 8), torch.arange(8)[None])
    cache.fork(0)
    free = pool.free_blocks
    cache.update(*chunk(2, 1), torch.tensor([[8], [8]]))
    assert free - pool.free_blocks == 2  # one new block each, no copy


def test_free_returns_only_what_nobody_else_holds():
    pool, cache = make()
    cache.update(*chunk(1, 6), torch.arange(6)[None])
    child = cache.fork(0, tokens=3)
    cache.free(0)
    assert pool.free_blocks == 11 and cache.lengths == [0, 3]
    cache.free(child)
    assert pool.free_blocks == 12 and cache.nbytes == 0


def test_out_of_blocks_changes_nothing():
    pool, cache = make(blocks=3)
    cache.update(*chunk(1, 6), torch.arange(6)[None])
    cache.fork(0)
    state = (list(pool.references), [list(table) for table in cache.tables], list(cache.lengths))
    with pytest.raises(ValueError, match="need 3 blocks: the pool has 1 free"):
        cache.update(*chunk(2, 3), torch.tensor([[6, 7, 8], [6, 7, 8]]))
    assert state == (pool.references, cache.tables, cache.lengths)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda pool, cache: cache.update(*chunk(1, 2), torch.tensor([[1, 2]])), "positions="),
        (lambda pool, cache: cache.update(*chunk(2, 1), torch.tensor([[0], [0]])), "positions has 2 rows"),
        (lambda pool, cache: cache.update(*chunk(1, 1)[::-1], torch.tensor([[0]])), "keys has"),
        (
            lambda pool, cache: cache.update(*(x.float() for x in chunk(1, 1)), torch.tensor([[0]])),
            "keys has",
        ),
        (lambda pool, cache: cache.fork(1), "row=1"),
        (lambda pool, cache: cache.fork(0, tokens=1), "tokens=1"),
        (lambda pool, cache: cache.free(-1), "row=-1"),
        (lambda pool, cache: PagedCache(pool, batch=0), "batch=0"),
        (lambda pool, cache: BlockPool(0, 4, G, K), "blocks=0"),
        (lambda pool, cache: BlockPool(4, 0, G, K), "block_size=0"),
        (lambda pool, cache: pool.share(0), "block=0 is free"),
        (lambda pool, cache: pool.release(0), "block=0 is free"),
        (lambda pool, cache: [pool.take() for _ in range(13)], "free_blocks=0 of 12"),
        (lambda pool, cache: locate(4, [3], 4), "position=4"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act(*make())
