"""DSA: the scores by loops, equal to full attention where all keys are picked, and the tie at zero."""

import pytest
import torch

from course_lib.costs.mixers import indexer as costs
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.indexer import (
    IndexedLatentAttention,
    Indexer,
    alignment_loss,
    index_scores,
    picked_mass,
    tied,
    top_keys,
)
from course_lib.layers.attention.latent import LatentAttention
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.rope import Rope
from course_lib.specs.records import IndexerSpec

D, HEADS, Q_RANK, N = 12, 3, 10, 21
SIZES = {"kv_rank": 8, "nope_dim": 4, "rope_dim": 4, "value_dim": 5, "q_rank": Q_RANK}
EXACT = {"rtol": 1e-10, "atol": 1e-11}


def indexer(top_k, heads=8):
    return Indexer(D, Q_RANK, heads=heads, head_dim=6, top_k=top_k, rope=Rope(dim=4))


def layer(top_k, heads=8):
    torch.manual_seed(3)
    return IndexedLatentAttention(D, HEADS, indexer=indexer(top_k, heads), **SIZES).double()


def full_layer(like):
    ours = LatentAttention(D, HEADS, **SIZES).double()
    ours.load_state_dict({k: v for k, v in like.state_dict().items() if not k.startswith("indexer")})
    return ours


def tokens(n=N):
    return torch.randn(2, n, D, dtype=torch.float64), torch.arange(n).expand(2, -1)


def test_scores_are_the_weighted_heads_behind_relu():
    q, k, w = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 5), torch.randn(2, 3, 4)
    found = index_scores(q, k, w)
    for b in range(2):
        for t in range(3):
            for s in range(6):
                want = sum(
                    w[b, t, i] * max(0.0, (q[b, t, i] @ k[b, s]).item() / 5**0.5) / 4**0.5 for i in range(4)
                )
                assert found[b, t, s].item() == pytest.approx(want.item(), abs=1e-5)


@pytest.mark.parametrize("absorbed", [False, True])
def test_with_all_keys_picked_it_is_full_latent_attention(absorbed):
    ours, (x, positions) = layer(top_k=N), tokens()
    ours.absorbed = absorbed
    torch.testing.assert_close(ours(x, positions), full_layer(ours)(x, positions), rtol=0, atol=1e-13)


def test_with_fewer_it_differs_first_where_a_key_is_left_out():
    ours, (x, positions) = layer(top_k=6), tokens()
    apart = (ours(x, positions) - full_layer(ours)(x, positions)).abs().amax((0, 2))
    assert (apart[:6] < 1e-12).all()
    assert (apart[6:] > 1e-6).all()


@pytest.mark.parametrize("pieces", [[N], [1] * N, [9, 1, 1, 7, 3]])
def test_cached_decode_equals_the_full_pass_with_eight_index_heads(pieces):
    ours, (x, positions) = layer(top_k=5), tokens()
    per_forward = PerForward()
    whole = ours(x, positions, None, per_forward)
    cache = LatentCache(2, N, SIZES["kv_rank"], SIZES["rope_dim"] + 6, dtype=torch.float64)
    with torch.no_grad():
        parts = zip(x.split(pieces, 1), positions.split(pieces, 1), strict=True)
        y = torch.cat([ours(*part, cache) for part in parts], 1)
    torch.testing.assert_close(y, whole, **EXACT)
    spec = IndexerSpec(heads=8, head_dim=6, top_k=5)
    assert cache.nbytes == 2 * N * 8 * (8 + 4 + costs.token_elements(spec))
    assert (per_forward.picked.sum(-1) == torch.arange(1, N + 1).clamp(max=5)).all()


def test_parameters_are_those_of_the_cost():
    spec = IndexerSpec(heads=8, head_dim=6, top_k=5)
    counted = sum(p.numel() for p in indexer(5).parameters())
    assert counted == costs.weights(spec, Q_RANK, D) + costs.vectors(spec)


def test_few_heads_tie_at_zero_and_eight_do_not():
    """One head cuts half of the keys to 0: if fewer than K are above, the pick is left to chance."""
    mask = torch.ones(2, N, N, dtype=torch.bool).tril()
    share = {}
    for heads in (1, 2, 8):
        q, w = torch.randn(2, N, heads, 6), torch.rand(2, N, heads)
        scores = index_scores(q, torch.randn(2, N, 6), w)
        share[heads] = tied(scores, mask, 8).double().mean().item()
    assert share[1] > 0.2
    assert share[8] == 0


def test_a_layer_without_an_indexer_takes_the_pick_of_the_one_before():
    first, (x, positions) = layer(top_k=4), tokens()
    second = IndexedLatentAttention(D, HEADS, indexer=None, **SIZES).double()
    per_forward = PerForward()
    first(x, positions, None, per_forward)
    picked = per_forward.picked
    y = second(x, positions, None, per_forward)
    assert per_forward.picked is picked
    parts = second.split_queries(second.wq_up(second.query_latent(x)), second.rope.tables(positions, x.dtype))
    entries = second.entries(x, second.rope.tables(positions, x.dtype))
    want = second._plain(*parts, entries, entries[..., :8], picked)
    torch.testing.assert_close(y, second.wo(want.flatten(2)), **EXACT)
    with pytest.raises(ValueError, match="indexer=None"):
        second(x, positions)


def test_what_is_picked_by_the_weights_themselves_keeps_most_of_their_mass():
    q, k = torch.randn(1, 9, 2, 4), torch.randn(1, 9, 1, 4)
    mask = torch.ones(1, 9, 9, dtype=torch.bool).tril()
    _, weights = attend(q, k, k, mask)
    total = weights.sum(1)
    kept = picked_mass(weights, top_keys(total, mask, 3)).sum(1)
    for t in range(9):
        assert kept[0, t].item() == pytest.approx(total[0, t].topk(3).values.sum().item(), abs=1e-6)
    torch.testing.assert_close(picked_mass(weights, mask), torch.ones(1, 2, 9))


def test_the_alignment_loss_is_zero_at_the_heads_own_shares_and_trains_the_indexer():
    mask = torch.ones(1, 7, 7, dtype=torch.bool).tril()
    weights = torch.rand(1, 2, 7, 7).masked_fill(~mask[:, None], 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    exact = weights.sum(1).clamp(min=1e-9).log()
    assert alignment_loss(exact, weights, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert alignment_loss(torch.zeros(1, 7, 7), weights, mask) > 0.05
    ours, (x, positions) = layer(top_k=N), tokens(7)
    turn = ours.indexer.rope.tables(positions, x.dtype)
    keys = ours.indexer.keys(x, turn)
    scores = ours.indexer.scores(x, ours.query_latent(x), keys, turn)
    alignment_loss(scores, weights.expand(2, -1, -1, -1).double(), mask.expand(2, -1, -1)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.indexer.parameters())


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="top_k=0"):
        indexer(0)
    with pytest.raises(ValueError, match="top_k=0"):
        top_keys(torch.zeros(1, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool), 0)
    with pytest.raises(ValueError, match="q_rank=None"):
        IndexedLatentAttention(D, HEADS, indexer=indexer(2), **SIZES | {"q_rank": None})
