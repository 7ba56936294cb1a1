"""Load of experts: against counting by hand, exact sums in fractions, and draws."""

import math
import random
from fractions import Fraction
from itertools import product

import pytest
import sympy
import torch

from course_lib.costs.arithmetic import round_up
from course_lib.costs.binomial import binomial_term, expected_excess
from course_lib.costs.collectives import Link
from course_lib.costs.expert_exchange import copies_sent, exchange, places_met
from course_lib.costs.experts import (
    capacity,
    copies_needed,
    expected_drops,
    expected_padding,
    memory_price,
    replicas_needed,
    usd_per_flop,
    zipf_hottest,
    zipf_loads,
    zipf_replicas,
)
from course_lib.costs.links import expert_parallel_traffic
from course_lib.layers.feed_forward.router import limit_groups, pick
from course_lib.specs.loader import load_spec


def exact_excess(n: int, p: float, limit: int) -> float:
    """The sum in whole fractions of the float that p is."""
    p = Fraction(p)
    terms = ((x - limit) * math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(limit + 1, n + 1))
    return float(sum(terms, Fraction(0)))


@pytest.mark.parametrize("seed", range(30))
def test_the_excess_of_a_binomial_count_is_the_exact_sum(seed):
    chance = random.Random(seed)
    n, p = int(10 ** chance.uniform(0, 2.5)), 10 ** chance.uniform(-3, 0)
    for limit in {0, 1, int(n * p), int(1.5 * n * p), max(n - 1, 0), n}:
        assert expected_excess(n, p, limit) == pytest.approx(exact_excess(n, p, limit), rel=1e-12, abs=1e-24)


def test_terms_of_a_binomial_count_sum_to_one_at_any_size():
    assert math.fsum(binomial_term(40, 0.3, x) for x in range(41)) == pytest.approx(1, rel=1e-14)
    n, p = 1_000_000, 0.03125
    middle = range(int(n * p) - 2000, int(n * p) + 2000)
    assert math.fsum(binomial_term(n, p, x) for x in middle) == pytest.approx(1, rel=1e-12)
    assert binomial_term(1000, 0.5, 1) == 0.0
    assert expected_excess(10, 1.0, 3) == 7 and expected_excess(10, 0.0, 0) == 0
    with pytest.raises(ValueError, match=r"chance=1\.5"):
        expected_excess(3, 1.5, 1)


def test_drops_of_two_tokens_by_counting_all_routings():
    """Three tokens, each at two of three experts, one slot or two: all 27 routings, counted."""
    pairs = [(0, 1), (0, 2), (1, 2)]
    for slots in (1, 2, 3):
        dropped = 0
        for routing in product(pairs, repeat=3):
            loads = [sum(expert in pair for pair in routing) for expert in range(3)]
            dropped += sum(max(0, load - slots) for load in loads)
        assert expected_drops(3, 3, 2, slots) == pytest.approx(dropped / (27 * 6), abs=1e-15)


def test_capacity_rounds_up_and_padding_is_what_is_left():
    assert capacity(4096, 8, 2, 1.25) == 1280
    assert capacity(10, 8, 2, 1.0) == 3
    assert capacity(50, 1, 1, 1.1) == 55 and math.ceil(50 * 1.1) == 56  # the float product is above 55
    slots = capacity(1024, 64, 8, 1.25)
    drops = expected_drops(1024, 64, 8, slots)
    filled = (1 - drops) * 1024 * 8
    assert expected_padding(1024, 64, 8, slots, drops) == pytest.approx(1 - filled / (64 * slots))
    assert expected_padding(8, 8, 8, 8, 0) == 0
    with pytest.raises(ValueError, match="top_k=9"):
        capacity(4, 8, 9, 1)
    with pytest.raises(ValueError, match="factor=0"):
        capacity(4, 8, 2, 0)


def test_round_up_of_what_is_whole_but_for_rounding():
    assert [round_up(x) for x in (3, 3.0, 2.999999999999, 3.000000000001, 3.0000001, 1e9 + 0.2)] == [
        3,
        3,
        3,
        3,
        4,
        10**9 + 1,
    ]


def test_copies_bring_every_load_to_the_target():
    loads = [9.0, 4.0, 2.0, 1.0]
    for target in (0.5, 1.0, 1.5, 2.25, 10):
        copies = copies_needed(loads, target)
        assert all(load / n <= target * 4 * (1 + 1e-12) for load, n in zip(loads, copies, strict=True))
        assert all(n == 1 or load / (n - 1) > target * 4 for load, n in zip(loads, copies, strict=True))
    assert replicas_needed(loads, 2.25) == 0
    assert zipf_replicas(8, 0, 1) == 0 and zipf_hottest(8, 0) == pytest.approx(1)
    assert sum(zipf_loads(100, 0.7)) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"loads\[1\]=-1"):
        copies_needed([2, -1], 1)
    with pytest.raises(ValueError, match="target=0"):
        copies_needed([2, 1], 0)


def test_the_tie_of_memory_price_is_a_tie():
    """By hand: at that price both models cost the same; above it the dense one is cheaper."""
    flop = usd_per_flop(3.6, peak_flops=1e12, utilisation=0.5)
    assert flop == 3.6 / (3600 * 0.5e12)
    given = {"total": 47e9, "active": 13e9, "dense": 30e9, "tokens_per_hour": 1e6, "bytes_per_weight": 2}
    price = memory_price(**given, flop_usd=flop)

    def cost(stored, used, price):
        return 2 * used * 1e6 * flop + 2 * stored * price

    assert cost(47e9, 13e9, price) == pytest.approx(cost(30e9, 30e9, price))
    assert cost(47e9, 13e9, 2 * price) > cost(30e9, 30e9, 2 * price)
    assert memory_price(**given | {"total": 30e9}, flop_usd=flop) == math.inf
    assert memory_price(**given | {"dense": 10e9}, flop_usd=flop) == 0


def test_places_against_draws():
    chance = random.Random(1)
    drawn = [len({chance.randrange(4) for _ in range(6)}) for _ in range(40_000)]
    assert places_met(4, 6) == pytest.approx(sum(drawn) / len(drawn), rel=0.01)
    assert places_met(8, 3, top_places=1) == 1 and places_met(1, 5) == 1
    assert places_met(8, 3, top_places=8) == places_met(8, 3)
    with pytest.raises(ValueError, match="top_places=9"):
        places_met(8, 2, top_places=9)


def test_distinct_experts_meet_a_few_more_nodes_than_independent_picks():
    """8 of 256 experts on 8 nodes, 32 on each, drawn without putting back."""
    exact = 8 * (1 - math.comb(224, 8) / math.comb(256, 8))
    assert places_met(8, 8) < exact < 1.02 * places_met(8, 8)


@pytest.mark.parametrize(
    ("e", "groups", "kept", "k"), [(256, 8, 4, 8), (160, 8, 3, 6), (256, 8, 6, 8), (256, 8, 4, 4)]
)
def test_a_limited_router_meets_nearly_all_the_nodes_that_it_keeps(e, groups, kept, k):
    """Random scores through a router of DeepSeek-V3's sizes and others: no more, and at most 3 % less."""
    scores = torch.rand(2000, e, generator=torch.Generator().manual_seed(k)).logit()
    picks = pick(limit_groups(scores, groups, kept), k) // (e // groups)
    met = sum(len(set(row)) for row in picks.tolist()) / 2000
    assert 0.97 * places_met(groups, k, kept) < met <= places_met(groups, k, kept)


def test_one_node_sends_what_links_say():
    """The same layer, on one level of links."""
    spec = load_spec("mixtral-8x7b")
    layers = len(spec.layers)
    sent = exchange(4096, spec.width, top_k=2, per_node=4)
    whole = expert_parallel_traffic(spec, 4096, devices=4)
    assert layers * sent.within.sent_bytes == pytest.approx(whole.sent_bytes)
    assert sent.between.sent_bytes == 0 and layers * sent.within.hops == whole.hops


def test_once_per_node_sends_less_between_nodes_and_more_inside():
    each, once = (
        copies_sent(8, nodes=8, per_node=8, once_per_node=once, top_nodes=4 if once else None)
        for once in (False, True)
    )
    assert each == (7.0, 0.875)
    assert once == (4 * 7 / 8, 7.0)
    sent = exchange(64 * 128, 7168, top_k=8, nodes=8, per_node=8, top_nodes=4, dispatch_bytes=1)
    assert sent.between.sent_bytes == pytest.approx(128 * 7168 * 3 * once[0])
    slow, fast = Link(50e9, 1e-6), Link(400e9)
    assert sent.seconds(slow, fast) == 2e-6 + sent.between.sent_bytes / 50e9
    assert sent.seconds(Link(1e15), fast) == sent.within.sent_bytes / 400e9


def test_a_trace_of_each_formula_gives_its_number():
    """With symbols, then filled: SymPy's numbers, not JavaScript's, which the calculators' tests hold."""
    n, e, k = sympy.symbols("tokens experts top_k", positive=True, integer=True)
    c = sympy.Symbol("factor", positive=True)
    filled = {n: 100, e: 8, k: 2, c: 1.3}
    assert capacity(n, e, k, c).subs(filled) == capacity(100, 8, 2, 1.3)
    slots = sympy.Symbol("slots", positive=True)
    drops = expected_drops(n, e, k, slots)
    (call,) = drops.atoms(sympy.core.function.AppliedUndef)
    assert call.args == (n, k / e, slots) and drops.subs(call, 3) == 3 * e / (n * k)
    assert places_met(n, k).subs(filled) == pytest.approx(places_met(100, 2))
