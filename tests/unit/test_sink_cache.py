"""StreamingLLM's cache against a list of keys that drops and renumbers them; H2O's against a list of sums."""

import pytest
import torch

from course_lib.layers.attention.evicting import EvictingAttention
from course_lib.layers.attention.layer import Attention
from course_lib.layers.attention.streaming import StreamingAttention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.heavy_hitters import HeavyHitterCache
from course_lib.layers.caches.sinks import SinkCache, first_tokens
from course_lib.layers.caches.window import RingCache
from course_lib.layers.positions.numbering import next_positions
from course_lib.layers.positions.rope import Rope, apply_rope_naive

D, HEADS, GROUPS, WIDTH = 8, 4, 2, 4
SIZES = D, HEADS, GROUPS, WIDTH
ROPE = Rope(dim=4, theta=50.0)
EXACT = {"rtol": 1e-10, "atol": 1e-12}
WIDE = {"kv_heads": GROUPS, "head_dim": WIDTH, "dtype": torch.float64}


def layer(kind=StreamingAttention, **options):
    torch.manual_seed(1)
    return kind(*SIZES, rope=ROPE, **options).double()


def tokens(n, batch=1):
    return torch.randn(batch, n, D, dtype=torch.float64)


def streamed_by_a_list(layer, x, sinks, recent):
    """One token at a time: append the raw key, drop what is too much, turn by the place in the list."""
    kept, out = [], []
    for t in range(x.shape[1]):
        one = x[:, t : t + 1]
        kept.append((layer.keys(one), layer.values(one)))
        if len(kept) > sinks + recent:
            kept.pop(sinks)
        keys = torch.cat([key for key, _ in kept], 1)
        values = torch.cat([value for _, value in kept], 1)
        places = torch.arange(len(kept))[None]
        keys = apply_rope_naive(keys, places, ROPE).repeat_interleave(HEADS // GROUPS, 2)
        query = apply_rope_naive(layer.queries(one), places[:, -1:], ROPE)
        weights = (torch.einsum("bthk,bshk->bhts", query, keys) * WIDTH**-0.5).softmax(-1)
        y = torch.einsum("bhts,bshv->bthv", weights, values.repeat_interleave(HEADS // GROUPS, 2))
        out.append(layer.wo(y.flatten(2)))
    return torch.cat(out, 1)


def in_pieces(layer, x, cache, pieces, positions=None):
    positions = next_positions(0, len(x), x.shape[1]) if positions is None else positions
    with torch.no_grad():
        return torch.cat(
            [
                layer(*part, cache)
                for part in zip(x.split(pieces, 1), positions.split(pieces, 1), strict=True)
            ],
            1,
        )


@pytest.mark.parametrize(("sinks", "recent"), [(0, 3), (1, 1), (2, 3), (4, 5), (3, 30)])
@pytest.mark.parametrize("pieces", [[1] * 19, [19], [7, 12], [2, 1, 1, 9, 1, 5]])
def test_the_cache_streams_as_a_list_that_drops_and_renumbers(sinks, recent, pieces):
    ours, x = layer(sinks=sinks, recent=recent), tokens(19)
    cache = SinkCache(1, sinks, recent, **WIDE)
    y = in_pieces(ours, x, cache, pieces)
    torch.testing.assert_close(y, streamed_by_a_list(ours, x, sinks, recent), **EXACT)
    assert cache.length == 19
    assert cache.nbytes == (sinks + recent) * GROUPS * 2 * WIDTH * 8


def test_without_a_cache_the_layer_does_the_same():
    ours, x = layer(sinks=2, recent=4), tokens(15)
    y = ours(x, torch.arange(15)[None])
    torch.testing.assert_close(y, streamed_by_a_list(ours, x, 2, 4), **EXACT)


def test_no_sinks_is_the_ring_and_a_long_window_is_full_attention():
    x = tokens(17, batch=2)
    windowed = in_pieces(layer(Attention, window=5), x, RingCache(2, 5, **WIDE), [6] + [1] * 11)
    y = in_pieces(layer(sinks=0, recent=5), x, SinkCache(2, 0, 5, **WIDE), [6] + [1] * 11)
    torch.testing.assert_close(y, windowed, **EXACT)
    full = in_pieces(layer(Attention), x, ContiguousCache(2, 17, **WIDE), [6] + [1] * 11)
    y = in_pieces(layer(sinks=4, recent=17), x, SinkCache(2, 4, 17, **WIDE), [6] + [1] * 11)
    torch.testing.assert_close(y, full, **EXACT)


def test_entries_of_a_cache_without_sinks_are_those_of_the_ring():
    ring, streaming = RingCache(1, 3, **WIDE), SinkCache(1, 0, 3, **WIDE)
    for start, new in ((0, 2), (2, 1), (3, 5), (8, 1)):
        keys = torch.randn(1, new, GROUPS, WIDTH, dtype=torch.float64)
        given = keys, 2 * keys, next_positions(start, 1, new)
        for one, other in zip(ring.update(*given), streaming.update(*given), strict=True):
            assert one.equal(other)


def test_a_sink_stays_near_however_long_the_text():
    """With positions of the text, the first key would be 60 away."""
    ours, x = layer(sinks=1, recent=2), tokens(60)
    cache = SinkCache(1, 1, 2, **WIDE)
    y = in_pieces(ours, x, cache, [1] * 60)
    query_at, key_at = ours.places(torch.tensor([[59]]), torch.tensor([[0, 58, 59]]))
    assert query_at.tolist() == [[2]]
    assert key_at[0, 1:].tolist() == [1, 2]
    by_text = in_pieces(layer(Attention, mask_mod=ours.mask_mod), x, ContiguousCache(1, 60, **WIDE), [1] * 60)
    torch.testing.assert_close(y[:, :3], by_text[:, :3], **EXACT)
    assert (y[:, -1] - by_text[:, -1]).abs().max() > 1e-3


def test_rows_with_padding_stream_as_they_do_alone():
    ours, x = layer(sinks=2, recent=3), tokens(14, batch=2)
    positions = torch.stack([torch.arange(14), torch.arange(14) - 4]).clamp(min=-1)
    cache = SinkCache(2, 2, 3, **WIDE)
    y = in_pieces(ours, x, cache, [6, 1, 1, 4, 2], positions)
    torch.testing.assert_close(y[:1], streamed_by_a_list(ours, x[:1], 2, 3), **EXACT)
    torch.testing.assert_close(y[1:, 4:], streamed_by_a_list(ours, x[1:, 4:], 2, 3), **EXACT)


def test_reset_forgets_the_sinks_and_rows_can_be_reordered():
    ours, x = layer(sinks=1, recent=2), tokens(9, batch=2)
    cache = SinkCache(2, 1, 2, **WIDE)
    assert isinstance(cache, LayerCache)
    first = in_pieces(ours, x, cache, [1] * 9)
    cache.reset()
    torch.testing.assert_close(in_pieces(ours, x, cache, [1] * 9), first, **EXACT)
    cache.reorder(torch.tensor([1, 0]))
    other = SinkCache(2, 1, 2, **WIDE)
    in_pieces(ours, x.flip(0), other, [1] * 9)
    one = tokens(1, batch=2)
    torch.testing.assert_close(
        ours(one, torch.full((2, 1), 9), cache), ours(one, torch.full((2, 1), 9), other), **EXACT
    )


@pytest.mark.parametrize(("heavy", "recent"), [(0, 2), (1, 1), (3, 2)])
def test_eviction_keeps_the_newest_and_the_most_attended(heavy, recent):
    cache = HeavyHitterCache(1, heavy, recent, **WIDE)
    sums, at = {}, 0
    for new in (5, 1, 1, 3, 1, 1, 1):
        keys = torch.randn(1, new, GROUPS, WIDTH, dtype=torch.float64)
        *_, positions = cache.update(keys, keys, next_positions(at, 1, new))
        at += new
        weights = torch.rand(1, HEADS, new, positions.shape[1], dtype=torch.float64)
        for i, position in enumerate(positions[0].tolist()):
            sums[position] = sums.get(position, 0.0) + weights[..., i].sum().item()
        cache.observe(weights)
        newest = sorted(sums)[-recent:]
        older = sorted((p for p in sums if p not in newest), key=sums.get)[-heavy:] if heavy else []
        sums = {p: sums[p] for p in sorted(older) + newest}
        assert cache.kept()[0].tolist() == sorted(sums)
    assert cache.length == 13


def test_eviction_with_room_for_all_is_full_attention():
    x = tokens(12, batch=2)
    full = in_pieces(layer(Attention), x, ContiguousCache(2, 12, **WIDE), [5] + [1] * 7)
    y = in_pieces(layer(EvictingAttention), x, HeavyHitterCache(2, 6, 6, **WIDE), [5] + [1] * 7)
    torch.testing.assert_close(y, full, **EXACT)
    no_heavy = in_pieces(layer(EvictingAttention), x, HeavyHitterCache(2, 0, 3, **WIDE), [1] * 12)
    ring = in_pieces(layer(Attention, window=4), x, RingCache(2, 4, **WIDE), [1] * 12)
    torch.testing.assert_close(no_heavy, ring, **EXACT)  # three kept ones and the new one


def test_wrong_arguments_are_refused():
    for make, problem in (
        (lambda: SinkCache(1, -1, 2, **WIDE), "count=-1"),
        (lambda: SinkCache(1, 1, 0, **WIDE), "recent=0"),
        (lambda: HeavyHitterCache(1, -1, 2, **WIDE), "heavy=-1"),
        (lambda: HeavyHitterCache(1, 1, 0, **WIDE), "recent=0"),
        (lambda: layer(sinks=1, recent=2, softcap=3.0), "supported are none"),
        (lambda: layer(sinks=1, recent=0), "window=0"),
        (lambda: layer(EvictingAttention, output_gate=True), "supported are none"),
        (lambda: first_tokens(-1), "count=-1"),
    ):
        with pytest.raises(ValueError, match=problem):
            make()
    cache = HeavyHitterCache(1, 1, 1, **WIDE)
    with pytest.raises(ValueError, match="once"):
        cache.observe(torch.ones(1, 1, 1, 1))
    keys = torch.ones(1, 2, GROUPS, WIDTH, dtype=torch.float64)
    cache.update(keys, keys, torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="observe"):
        cache.update(keys, keys, torch.tensor([[0, 1]]))
