"""SparseMixer's router by hand, a row whose experts run over, and a cache that goes back."""

from math import exp

import pytest
import torch

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.caches.roll_back import roll_back
from course_lib.layers.caches.window import RingCache
from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.feed_forward.sparse_mixer import SparseMixer, picks_in_turn


def test_only_near_experts_share_the_softmax():
    """2.0 is best; 1.9 falls short by a twentieth, 1.0 by half. Without 2.0 the best is 1.9."""
    logits = torch.tensor([[1.0, 2.0, 1.9, -3.0]]).double()
    picks, weights = picks_in_turn(logits, 2, tolerance=0.1)
    assert picks.tolist() == [[1, 2]]
    first = exp(2.0) / (exp(2.0) + exp(1.9))
    assert weights[0].tolist() == pytest.approx([first, 1.0])
    picks, weights = picks_in_turn(logits, 2, tolerance=0.5)
    first = exp(2.0) / (exp(2.0) + exp(1.9) + exp(1.0))
    second = exp(1.9) / (exp(1.9) + exp(1.0))
    assert weights[0].tolist() == pytest.approx([first, second])


def test_with_a_wide_tolerance_the_first_weight_is_a_softmax():
    torch.manual_seed(0)
    logits = torch.randn(5, 6).double()
    picks, weights = picks_in_turn(logits, 2, tolerance=1e9)
    torch.testing.assert_close(weights[:, :1], logits.softmax(-1).gather(-1, picks[:, :1]))
    assert torch.equal(picks, logits.topk(2, -1).indices)
    assert not torch.isclose(weights.sum(-1), torch.ones(5).double()).any()


def test_the_gradient_goes_through_near_experts_alone():
    logits = torch.tensor([[1.0, 2.0, 1.9, -3.0]]).double().requires_grad_()
    _, weights = picks_in_turn(logits, 1, tolerance=0.1)
    weights.sum().backward()
    assert (logits.grad[0] != 0).tolist() == [False, True, True, False]


def test_a_router_of_that_kind_in_a_mixture():
    torch.manual_seed(0)
    moe, x = MoE(SparseMixer(6, 4, tolerance=0.2), Experts(4, 6, 5)), torch.randn(7, 6)
    routing = moe.router(x)
    expected = torch.zeros_like(x)
    for row in range(7):
        for index, weight in zip(routing.experts[row].tolist(), routing.weights[row], strict=True):
            expected[row] += weight * moe.experts(x[row : row + 1], index)[0]
    torch.testing.assert_close(moe(x), expected)
    with pytest.raises(ValueError, match="tolerance=0"):
        SparseMixer(6, 4, tolerance=0)


def test_later_tokens_of_a_row_are_dropped_and_rows_do_not_meet():
    """Three tokens a row, all to one expert of capacity 2: the third of each row gets nothing."""
    torch.manual_seed(0)
    router, experts = Router(4, 2, 1, renormalise=False), Experts(2, 4, 5)
    with torch.no_grad():
        router.gate.weight.copy_(torch.tensor([[1.0] * 4, [-1.0] * 4]))
    x = torch.rand(2, 3, 4) + 0.1
    whole, limited = MoE(router, experts)(x), MoE(router, experts, capacity=Capacity(slots=2))(x)
    torch.testing.assert_close(limited[:, :2], whole[:, :2])
    assert limited[:, 2].abs().max() == 0 < whole[:, 2].abs().max()
    torch.testing.assert_close(MoE(router, experts, capacity=Capacity(slots=3))(x), whole)


def test_a_cache_forgets_its_newest_tokens():
    for cache in (ContiguousCache(1, 8, 2, 3), LatentCache(1, 8, 4, 2)):
        wide = cache if isinstance(cache, ContiguousCache) else None
        sizes = ((1, 5, 2, 3), (1, 5, 2, 3)) if wide else ((1, 5, 1, 6), (1, 5, 1, 4))
        keys, values = (torch.randn(size) for size in sizes)
        cache.update(keys, values, torch.arange(5)[None])
        roll_back(cache, 2)
        again = cache.update(keys[:, 2:3], values[:, 2:3], torch.tensor([[2]]))
        assert again[2].tolist() == [[0, 1, 2]] and cache.length == 3
        torch.testing.assert_close(again[0], keys[:, :3])


def test_a_cache_that_cannot_go_back_says_so():
    with pytest.raises(ValueError, match="cache=RingCache"):
        roll_back(ModelCache([RingCache(1, 3, 1, 2)]), 0)
    with pytest.raises(ValueError, match="length=2: allowed are 0 to 0"):
        roll_back(ContiguousCache(1, 3, 1, 2), 2)
