"""Entries by loops, what a query may see of them, and limits in which compression does nothing."""

import pytest
import torch

from course_lib.layers.attention.compressed import (
    Compressor,
    EntryIndexer,
    attend_to_entries,
    pooled,
    pooled_overlapping,
    turn_last,
    visible_entries,
)
from course_lib.layers.attention.forms import attend
from course_lib.layers.masks import CAUSAL
from course_lib.layers.positions.rope import Rope

D, WIDTH, N = 10, 6, 15
ROPE = Rope(dim=4, theta=50.0, pairing="interleaved")
EXACT = {"rtol": 1e-11, "atol": 1e-12}


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("n", "size"), [(15, 4), (8, 4), (3, 4), (5, 1)])
def test_entries_are_means_with_weights_of_their_own_for_each_coordinate(n, size):
    values, gates, bias = randn(2, n, WIDTH), randn(2, n, WIDTH), randn(size, WIDTH)
    found = pooled(values, gates, bias)
    assert found.shape[1] == n // size
    for i in range(n // size):
        block = slice(i * size, (i + 1) * size)
        weights = (gates[:, block] + bias).softmax(1)
        torch.testing.assert_close(found[:, i], (weights * values[:, block]).sum(1), **EXACT)


def test_overlapping_entries_pool_two_blocks_and_the_first_one_alone():
    values, gates, bias = randn(2, 14, 2 * WIDTH), randn(2, 14, 2 * WIDTH), randn(4, 2 * WIDTH)
    found = pooled_overlapping(values, gates, bias)
    assert found.shape[1] == 3
    first, second = slice(None, WIDTH), slice(WIDTH, None)
    for i in range(3):
        own = slice(4 * i, 4 * i + 4)
        parts, scores = [values[:, own, second]], [gates[:, own, second] + bias[:, second]]
        if i:
            parts.append(values[:, 4 * i - 4 : 4 * i, first])
            scores.append(gates[:, 4 * i - 4 : 4 * i, first] + bias[:, first])
        want = (torch.cat(scores, 1).softmax(1) * torch.cat(parts, 1)).sum(1)
        torch.testing.assert_close(found[:, i], want, **EXACT)


@pytest.mark.parametrize("overlap", [False, True])
def test_an_entry_depends_on_its_blocks_and_is_seen_when_they_are_complete(overlap):
    compressor = Compressor(D, WIDTH, size=4, overlap=overlap, rope=ROPE).double()
    x = randn(1, N, D).requires_grad_()
    entries = compressor(x)
    (gradient,) = torch.autograd.grad(entries[:, 1].sum(), x)
    felt = gradient[0].abs().amax(-1).nonzero().flatten().tolist()
    assert felt == list(range(0 if overlap else 4, 8))
    seen = visible_entries(torch.arange(N)[None], 3, 4)[0]
    assert seen[:, 1].tolist() == [t >= 7 for t in range(N)]


def test_what_a_token_gets_does_not_depend_on_later_ones_or_on_the_start():
    indexer = EntryIndexer(D, D, heads=8, head_dim=WIDTH, size=4, top_k=2, rope=ROPE).double()
    compressor = Compressor(D, WIDTH, size=4, overlap=True, rope=ROPE).double()
    queries, tokens, x = randn(1, N, 3, WIDTH), randn(1, N, WIDTH), randn(1, N, D)

    def layer(n, start=0):
        positions = torch.arange(start, start + n)[None]
        seen = indexer(x[:, :n], x[:, :n], positions - start)
        parts = (turn_last(part, positions, ROPE) for part in (queries[:, :n], tokens[:, :n, None]))
        turned, keys = parts
        entries = compressor(x[:, :n])
        if start:
            entries = turn_last(entries[:, :, None], torch.full((1, entries.shape[1]), start), ROPE)[:, :, 0]
        return attend_to_entries(turned, keys[:, :, 0], entries, seen, positions, window=3, rope=ROPE)

    whole = layer(N)
    for n in (3, 4, 9, 14):
        torch.testing.assert_close(layer(n), whole[:, :n], **EXACT)
    torch.testing.assert_close(layer(N, start=8), whole, **EXACT)  # distances alone count


def test_without_entries_it_is_a_window_and_a_long_one_is_causal_attention():
    queries, tokens, positions = randn(2, N, 3, WIDTH), randn(2, N, WIDTH), torch.arange(N).expand(2, -1)
    none, sinks = torch.zeros(2, N, 0, dtype=torch.bool), randn(3)
    y = attend_to_entries(queries, tokens, tokens[:, :0], none, positions, window=N, rope=ROPE, sinks=sinks)
    keys = tokens[:, :, None]
    want, _ = attend(queries, keys, keys, CAUSAL.mask(positions, positions), sinks=sinks)
    torch.testing.assert_close(turn_last(y, positions, ROPE), want, **EXACT)


def test_all_entries_are_seen_where_the_pick_is_large():
    indexer = EntryIndexer(D, D, heads=8, head_dim=WIDTH, size=4, top_k=3, rope=ROPE).double()
    x, positions = randn(2, N, D), torch.arange(N).expand(2, -1)
    assert indexer(x, x, positions).equal(visible_entries(positions, 3, 4))
    indexer.top_k = 1
    assert (indexer(x, x, positions).sum(-1) == (torch.arange(N) >= 3)).all()
    assert indexer(x[:, :3], x[:, :3], positions[:, :3]).shape == (2, 3, 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="size=0"):
        Compressor(D, WIDTH, size=0, overlap=False, rope=ROPE)
    with pytest.raises(ValueError, match=r"rope\.dim=8"):
        Compressor(D, WIDTH, size=2, overlap=False, rope=Rope(dim=8))
