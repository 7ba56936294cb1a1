"""A mixture over processes equals the mixture in one, and sends what `costs` says.

One start of the processes for each world size runs all cases; the tests look at what they reported.
"""

import pytest
import torch

from course_lib.costs.collectives import all_to_all
from course_lib.costs.expert_exchange import exchange
from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.hash_router import HashRouter
from course_lib.parallel.experts import ExpertParallel
from course_lib.parallel.placement import Placement
from course_lib.parallel.ranks import run_ranks
from tests.shapes import unchecked

from .expert_parallel_cases import CASES, EXPERTS, WIDTH, all_cases, whole_layer

NUMBER = 8  # bytes of a float64


@pytest.fixture(scope="module", params=[2, 4])
def reports(request):
    """What the ranks of one world size report."""
    return run_ranks(all_cases, request.param, limit_s=300)


@pytest.mark.parametrize("case", [*CASES, *(f"{case}, once per rank" for case in CASES)])
def test_outputs_and_gradients_equal_one_process(reports, case):
    for report in reports:
        facts = report[case]
        assert max(facts[name] for name in ("forward", "gradients", "input gradient")) < 1e-12, facts


@pytest.mark.parametrize("case", CASES)
def test_bytes_sent_are_those_of_the_formula(reports, case):
    """By each rank's picks: what leaves it on the way out, what it returns to others; backward as much."""
    for report in reports:
        facts = report[case]
        row = facts["width"] * NUMBER
        out = (
            all_to_all(facts["picks"] * row, local=1 - facts["away"] / facts["picks"])
            if facts["picks"]
            else None
        )
        sent = (out.sent_bytes if out else 0) + facts["returned"] * row
        assert facts["sent"] == pytest.approx(sent, abs=1e-6)
        assert facts["sent backward"] == facts["sent"]
        assert (facts["exchanges"], facts["arrived"]) == (2, facts["gets"])


@pytest.mark.parametrize("case", CASES)
def test_once_per_rank_a_token_is_sent_to_each_of_its_ranks(reports, case):
    """Out, a token and a weight for each slot; back, one vector, however many of its experts were there."""
    for report in reports:
        facts, plain = report[f"{case}, once per rank"], report[case]
        out, back = (facts["width"] + facts["slots"]) * NUMBER, facts["width"] * NUMBER
        assert facts["sent"] == facts["away once"] * out + facts["returned once"] * back
        assert facts["sent backward"] == facts["away once"] * back + facts["returned once"] * out
        assert facts["arrived"] == facts["gets once"] <= plain["arrived"]


def test_even_picks_send_what_the_formula_expects(reports):
    """With the default share, 1 - 1/D: a device's dispatch and combine, without counting a pick."""
    ranks = len(reports)
    for report in reports:
        facts = report["even"]
        sent = exchange(
            facts["tokens"], WIDTH, top_k=2, per_node=ranks, dispatch_bytes=NUMBER, combine_bytes=NUMBER
        )
        assert facts["sent"] == sent.within.sent_bytes and sent.between.sent_bytes == 0
        assert facts["counts"] == (ranks - 1) * EXPERTS // ranks * 8  # int64, before the rows


def test_a_token_of_a_limited_router_visits_few_ranks(reports):
    """Four groups on 2 or 4 ranks, of which a token may pick two."""
    limited = [report["sigmoid, bias, groups"] for report in reports]
    assert max(facts["most ranks of a token"] for facts in limited) == 2
    assert sum(facts["away once"] for facts in limited) < 0.9 * sum(facts["away"] for facts in limited)


def test_a_skewed_router_fills_one_rank(reports):
    arrived = [report["all to one rank"]["arrived"] for report in reports]
    assert arrived[0] == sum(arrived) and all(
        report["all to one rank"]["forward"] < 1e-12 for report in reports
    )


def test_replicas_take_turns():
    both = Placement(((0, 1), (0, 2)))
    picks = torch.tensor([[0, 1], [0, -1], [2, 0], [0, 1]])
    assert both.slot_of(picks).tolist() == [[0, 1], [2, -1], [3, 0], [2, 1]]


@pytest.mark.parametrize("slots", [((0, 1), (2,)), ((0, 2), (3, 3)), ()])
def test_a_placement_holds_every_expert(slots):
    with pytest.raises(ValueError, match="slots="):
        Placement(slots)


class Two:
    """In a `Ranks`'s place."""

    rank, count, group = 0, 2, None


def test_a_placement_belongs_to_its_ranks():
    build = unchecked(ExpertParallel.__init__)
    layer = whole_layer("softmax, top 2")
    with pytest.raises(ValueError, match="4 ranks and 8 experts: allowed are 2 and 8"):
        build(object.__new__(ExpertParallel), layer, Two(), Placement.contiguous(8, 4))
    with pytest.raises(ValueError, match="ranks=3"):
        Placement.contiguous(8, 3)


def test_what_ranks_cannot_do_alone_is_refused():
    """A capacity would count a rank's own tokens only; hash routing looks at tokens, which nobody passes."""
    build = unchecked(ExpertParallel.__init__)
    limited, hashed = whole_layer("softmax, top 2"), whole_layer("softmax, top 2")
    limited.capacity = Capacity()
    hashed.router = HashRouter(WIDTH, EXPERTS, torch.zeros(29, 2, dtype=torch.long))
    for layer, word in ((limited, "capacity="), (hashed, "router=HashRouter")):
        with pytest.raises(ValueError, match=word):
            build(object.__new__(ExpertParallel), layer, Two())
