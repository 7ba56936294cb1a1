"""A sequence split over processes equals the sequence in one, and sends what `costs.state_handoff` says.

One start of four processes runs all cases, on all of them and on two; the tests look at what they reported.
"""

import pytest
import torch

from course_lib.costs.collectives import Link
from course_lib.costs.state_handoff import (
    border_bytes,
    handed_bytes,
    in_turn_seconds,
    in_turn_traffic,
    rounds,
    sent_in_all,
    two_step_seconds,
    two_step_traffic,
)
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.parallel.ranks import run_ranks
from course_lib.parallel.state_line import conv_over_ranks
from course_lib.specs.loader import load_spec
from tests.shapes import unchecked

from .state_line_cases import ALONE, BATCH, FORMS, LAYERS, STACK, WAYS, WIDTH, all_cases

WIDE = {"batch": BATCH, "bytes_per_element": 8}
CASES = [*(f"{form}, {way}" for form in FORMS for way in WAYS), "convolution", *ALONE, "two layers"]


@pytest.fixture(scope="module")
def every_report():
    return run_ranks(all_cases, 4, limit_s=300)


@pytest.fixture(params=[2, 4])
def reports(request, every_report):
    """What the ranks of one world size report."""
    return [report[request.param] for report in every_report if request.param in report]


@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_and_final_state_equal_one_process(reports, case):
    for report in reports:
        facts = report[case]
        gaps = [facts.get(name, 0.0) for name in ("forward", "final", "gradients", "start gradient")]
        assert max(gaps) < 1e-11, facts  # sums in another order


@pytest.mark.parametrize("form", FORMS)
def test_in_turn_a_state_goes_to_the_right_and_its_gradient_to_the_left(reports, form):
    facts = [report[f"{form}, in turn"] for report in reports]
    state, ranks = facts[0]["state bytes"], len(facts)
    assert [one["sent"] for one in facts] == [state] * (ranks - 1) + [0]
    assert [one["sent backward"] for one in facts] == [0] + [state] * (ranks - 1)
    assert sum(one["sent"] for one in facts) == in_turn_traffic(state, ranks).sent_bytes


@pytest.mark.parametrize("form", FORMS)
def test_in_two_steps_the_messages_are_those_of_the_prefix(reports, form):
    facts = [report[f"{form}, in two steps"] for report in reports]
    state, transition, ranks = facts[0]["state bytes"], facts[0]["transition bytes"], len(facts)
    traffic = two_step_traffic(state, transition, ranks)
    assert facts[0]["sent"] == facts[-1]["sent backward"] == traffic.sent_bytes
    assert facts[0]["messages"] == traffic.hops == rounds(ranks)
    assert sum(one["messages"] for one in facts) == sent_in_all(ranks)
    assert facts[-1]["sent"] == facts[0]["sent backward"] == 0


def test_border_columns_are_one_less_than_the_filter_is_wide(reports):
    sent = border_bytes(WIDTH, 4, **WIDE)
    assert [report["convolution"]["sent"] for report in reports] == [sent] * (len(reports) - 1) + [0]
    assert reports[-1]["convolution"]["sent backward"] == sent


@pytest.mark.parametrize("names", [*((name,) for name in ALONE), STACK], ids=" and ".join)
def test_a_layer_hands_on_what_its_cache_keeps(reports, names):
    case = names[0] if len(names) == 1 else "two layers"
    sent = sum(handed_bytes(LAYERS[name], WIDTH, state_bytes_per_element=8, **WIDE) for name in names)
    assert [report[case]["sent"] for report in reports] == [sent] * (len(reports) - 1) + [0]
    assert [report[case]["sent backward"] for report in reports] == [0] + [sent] * (len(reports) - 1)


def test_attention_hands_on_no_state():
    with pytest.raises(ValueError, match="mixer=AttentionSpec: allowed is a mixer that keeps a state"):
        handed_bytes(load_spec("llama-3-8b").layers[0].mixer, 4096)


class Two:
    """In a `StateLine`'s place: rank 0 of two."""

    class ranks:
        rank, count = 0, 2


def test_too_few_tokens_for_the_border_are_refused():
    with pytest.raises(ValueError, match="x has 3 tokens: allowed are at least w=4"):
        unchecked(conv_over_ranks)(CausalConv(2, 4), torch.zeros(1, 3, 2), Two())


def test_two_steps_pay_from_three_devices_on_where_messages_are_short():
    link = Link(1e11, latency_s=1e-6)
    turn = [in_turn_seconds(1.0, 1e6, devices, link) for devices in (2, 3, 8)]
    steps = [two_step_seconds(1.0, 1e6, 1e6, devices, link) for devices in (2, 3, 8)]
    assert steps[0] > turn[0] and steps[1] < turn[1] and 3.9 < turn[2] / steps[2] < 4
