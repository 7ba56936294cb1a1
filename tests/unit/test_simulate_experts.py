"""Routed batches in simulation: formulas where traffic is even, and where a placement can and cannot help."""

import numpy as np
import pytest

from course_lib.costs.expert_exchange import places_met
from course_lib.costs.experts import capacity, expected_drops, replicas_needed, zipf_loads
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.simulate.expert_placement import contiguous_slots, copies_by_load, packed_slots
from course_lib.simulate.expert_traffic import drifting, hot_topic, popularity, route, steady
from course_lib.simulate.experts import Cluster, StepReport, one_step, simulate_experts


def rng(seed=0):
    return np.random.default_rng(seed)


def test_picks_are_different_and_as_popular_as_asked():
    shares = popularity(8, skew=1.0)
    picks = route(shares, 20_000, 1, rng())
    assert np.bincount(picks.ravel(), minlength=8) / 20_000 == pytest.approx(shares, abs=0.01)
    many = route(shares, 500, 5, rng())
    assert all(len(set(row)) == 5 for row in many.tolist())


def test_a_limited_router_stays_in_its_groups():
    picks = route(popularity(32), 200, 6, rng(), groups=8, top_groups=3)
    nodes = [len({expert // 4 for expert in row}) for row in picks.tolist()]
    assert max(nodes) == 3
    assert np.mean(nodes) == pytest.approx(places_met(8, 6, top_places=3), rel=0.01)
    free = [len({expert // 4 for expert in row}) for row in route(popularity(32), 200, 6, rng()).tolist()]
    assert np.mean(free) > 4
    with pytest.raises(ValueError, match="k=6"):
        route(popularity(32), 2, 6, rng(), groups=8, top_groups=1)


def test_even_traffic_drops_and_touches_what_the_formulas_expect():
    tokens, e, k = 64, 16, 2
    alone = Cluster(slots=(tuple(range(e)),))
    run = simulate_experts(steady(popularity(e), 1500), alone, tokens=tokens, k=k, rng=rng(1), factor=1.0)
    wanted = expected_drops(tokens, e, k, capacity(tokens, e, k, 1.0))
    assert run.dropped_share == pytest.approx(wanted, rel=0.03)
    run = simulate_experts(steady(popularity(e), 1500), alone, tokens=5, k=k, rng=rng(1))
    touched = np.mean([step.touched for step in run.steps])
    assert touched == pytest.approx(expected_active_experts(e, k, 5), rel=0.01)


def test_even_routing_is_not_even_in_a_batch():
    """256 experts, 8 of them a token, 1,024 tokens: 1.52 an expert, 1.13 a rank of eight, by chance alone."""
    cluster = Cluster(slots=contiguous_slots(256, 32))
    run = simulate_experts(steady(popularity(256), 60), cluster, tokens=1024, k=8, rng=rng())
    assert np.mean(run.expert_imbalance()) == pytest.approx(1.52, abs=0.06)
    assert np.mean(run.rank_imbalance()) == pytest.approx(1.13, abs=0.03)


def test_replicas_help_where_one_expert_is_more_than_a_rank_can_carry():
    e, ranks = 64, 16
    rows = {}
    for skew in (0.0, 1.0):
        shares = popularity(e, skew, rng(3))
        for name, slots in {
            "packed": packed_slots(shares.tolist(), ranks),
            "replicas": packed_slots(shares.tolist(), ranks, 16),
        }.items():
            run = simulate_experts(steady(shares, 40), Cluster(slots=slots), tokens=1024, k=4, rng=rng(5))
            rows[skew, name] = np.mean(run.rank_imbalance())
    assert rows[1.0, "replicas"] < 0.75 * rows[1.0, "packed"]
    assert abs(rows[0.0, "replicas"] - rows[0.0, "packed"]) < 0.15


def test_a_placement_is_packed_by_load():
    loads = [9, 1, 1, 1, 5, 3, 2, 2]
    slots = packed_slots(loads, 4)
    assert sorted(i for own in slots for i in own) == list(range(8))
    carried = [sum(loads[i] for i in own) for own in slots]
    assert max(carried) <= 10 < sum(loads[i] for i in range(4)) + 1
    with_replicas = packed_slots(loads, 4, 4)
    assert all(len(set(own)) == len(own) for own in with_replicas)
    with pytest.raises(ValueError, match="replicas=1"):
        packed_slots(loads, 4, 1)
    with pytest.raises(ValueError, match="ranks=3"):
        contiguous_slots(8, 3)


def test_greedy_replicas_are_as_few_as_the_formula_says():
    for skew in (0.3, 0.7, 1.1):
        loads = zipf_loads(64, skew)
        needed = replicas_needed(loads, 1.5)
        copies = copies_by_load(loads, needed)
        assert max(load / n for load, n in zip(loads, copies, strict=True)) <= 1.5 / 64 * (1 + 1e-9)
        if needed:
            fewer = copies_by_load(loads, needed - 1)
            assert max(load / n for load, n in zip(loads, fewer, strict=True)) > 1.5 / 64


def test_a_step_waits_for_its_slowest_rank():
    loads = np.array([6, 2, 2, 2])
    even = Cluster(slots=((0, 1), (2, 3)), row_s=1.0, fixed_s=10.0)
    step = one_step(loads, even, None, 12, 1)
    assert (step.seconds, step.slowest, step.rank_rows) == (18.0, 0, (8.0, 4.0))
    slow = one_step(loads, Cluster(slots=even.slots, slow=(1, 3)), None, 12, 1)
    assert (slow.seconds, slow.slowest) == (12.0, 1)
    flat = one_step(loads, Cluster(slots=even.slots, weights_s=5.0, exchange_s=0.5), None, 12, 1)
    assert flat.seconds == 6 + 5 + 4  # six rows, weights of the other one, eight rows brought
    cut = one_step(loads, even, 1.0, 12, 1)
    assert (cut.dropped, cut.rank_rows, cut.touched) == (3, (5.0, 4.0), 4)
    with pytest.raises(ValueError, match="slow="):
        Cluster(slots=even.slots, slow=(1,))
    with pytest.raises(ValueError, match="each of 5 experts"):
        one_step(np.ones(5), even, None, 5, 1)


def test_replicas_share_an_experts_rows():
    cluster = Cluster(slots=((0, 1), (0, 2)))
    assert cluster.rank_rows(np.array([6.0, 1.0, 3.0])) == [[3.0, 1.0], [3.0, 3.0]]


def test_planning_anew_follows_a_drift():
    e, ranks = 32, 8
    shares = popularity(e, 1.0, rng(2))

    def run(**options):
        traffic = drifting(shares, 300, 0.002, rng(4))
        start = Cluster(slots=packed_slots(shares.tolist(), ranks, 8))
        return simulate_experts(traffic, start, tokens=512, k=2, rng=rng(6), **options)

    fixed = run()
    planned = run(plan=lambda loads: packed_slots(loads, ranks, 8), every=10)
    late = slice(150, None)
    assert np.mean(planned.rank_imbalance()[late]) < 0.85 * np.mean(fixed.rank_imbalance()[late])
    with pytest.raises(ValueError, match="every=5"):
        run(every=5)


def test_traffic_keeps_its_skew_and_turns_hot_at_its_step():
    shares = popularity(16, 1.0)
    last = list(drifting(shares, 50, 0.5, rng()))[-1]
    assert sorted(last) == pytest.approx(sorted(shares)) and not np.allclose(last, shares)
    before, after = list(hot_topic(shares, 4, start=2, experts=[15], heat=10))[1::2]
    assert before[15] == shares[15] and after[15] > 5 * shares[15] and after.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="rate=2"):
        next(drifting(shares, 1, 2, rng()))
    with pytest.raises(ValueError, match="heat=0"):
        next(hot_topic(shares, 1, start=0, experts=[0], heat=0))


def test_percentiles_are_steps_that_were():
    steps = tuple(
        one_step(np.array([n, 1]), Cluster(slots=((0,), (1,))), None, n + 1, 1) for n in range(1, 101)
    )
    report = StepReport(steps)
    assert (report.percentile_s(0.99), report.percentile_s(1), report.mean_s) == (99, 100, 50.5)
    with pytest.raises(ValueError, match="share=0"):
        report.percentile_s(0)
    with pytest.raises(ValueError, match="traffic is empty"):
        simulate_experts([], Cluster(slots=((0,),)), tokens=1, k=1, rng=rng())
