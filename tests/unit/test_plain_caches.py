"""The plain caches of the page do what the library's caches do."""

import pytest
import torch
from torch.testing import assert_close

from course_lib.layers.attention.forms import attend
from course_lib.layers.caches.block_pool import BlockPool
from course_lib.layers.caches.paged import PagedCache
from course_lib.layers.caches.plain import (
    append_to_pages,
    append_to_ring,
    attend_in_groups,
    attend_one_token,
)
from course_lib.layers.caches.window import RingCache


def test_one_token_at_a_time_is_causal_attention():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, generator=draw, dtype=torch.float64)
    w_q, w_k, w_v = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (4, 4, 3))
    keys, values = [], []
    rows = torch.stack([attend_one_token(token, w_q, w_k, w_v, keys, values) for token in x])
    q, k, v = ((x @ w.T)[None, :, None] for w in (w_q, w_k, w_v))
    causal = torch.ones(9, 9, dtype=torch.bool).tril()[None]
    assert_close(rows, attend(q, k, v, causal)[0][0, :, 0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_heads_that_share_are_the_librarys(groups):
    draw = torch.Generator().manual_seed(1)
    shape = {"generator": draw, "dtype": torch.float64}
    q, k, v = (
        torch.randn(6, 4, **shape),
        torch.randn(groups, 7, 4, **shape),
        torch.randn(groups, 7, 3, **shape),
    )
    everything = torch.ones(1, 1, 7, dtype=torch.bool)
    batched = attend(q[None, None], k.transpose(0, 1)[None], v.transpose(0, 1)[None], everything)[0]
    assert_close(attend_in_groups(q, k, v), batched[0, 0], rtol=1e-12, atol=1e-12)


def test_a_ring_has_its_tokens_in_the_librarys_slots():
    slots, library = [None] * 5, RingCache(batch=1, window=5, kv_heads=1, head_dim=1)
    for position in range(17):
        entry = torch.full((1, 1, 1, 1), float(position))
        append_to_ring(slots, position, position)
        keys, _, _ = library.update(entry, entry, torch.tensor([[position]]))
        assert keys.flatten().tolist() == [slot for slot in slots if slot is not None]


def test_pages_with_a_shared_beginning_are_the_librarys():
    library = PagedCache(BlockPool(8, 4, kv_heads=1, head_dim=1), batch=1)
    pool, owners, free = [[None] * 4 for _ in range(8)], [0] * 8, list(range(7, -1, -1))
    tables = [[]]
    for position in range(10):
        append_to_pages(position, position, tables[0], pool, free, owners)
    ten = torch.arange(10.0).reshape(1, 10, 1, 1)
    library.update(ten, ten, torch.arange(10)[None])
    library.fork(0)
    tables.append(list(tables[0]))
    for block in tables[0]:
        owners[block] += 1
    for row, token in ((1, 99), (0, 50)):  # first the fork writes, then the other
        append_to_pages(token, 10, tables[row], pool, free, owners)
        entry = torch.tensor([50.0, 99.0]).reshape(2, 1, 1, 1)
        library.update(entry, entry, torch.tensor([[10 if row == r else -1] for r in (0, 1)]))
    assert tables == library.tables
    keys, _, _ = library.read()
    for row, table in enumerate(tables):
        mine = [pool[table[at // 4]][at % 4] for at in range(11)]
        assert keys[row].flatten().tolist() == mine == [*range(10), (50, 99)[row]]
    assert sorted(owners) == [0, 0, 0, 0, 1, 1, 2, 2]
