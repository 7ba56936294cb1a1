"""A text over 2 and 4 processes equals attention in one, with gradients, and sends what `costs.ring` says.

One start of four processes runs all cases; the tests look at what they reported.
"""

import pytest
import torch

from course_lib.costs.ring import LAYOUTS, hiding_tokens, ring_bytes, ring_pairs, ring_steps
from course_lib.parallel.ranks import run_ranks
from course_lib.parallel.ring_attention import tokens_of

from .ring_attention_cases import BATCH, CASES, GROUPS, VALUE_WIDTH, WIDTH, all_cases

WIDE = {"batch": BATCH, "kv_heads": GROUPS, "head_dim": WIDTH, "value_dim": VALUE_WIDTH}
WIDE["bytes_per_element"] = 8


@pytest.fixture(scope="module")
def every_report():
    return run_ranks(all_cases, 4, limit_s=300)


@pytest.fixture(params=[2, 4])
def reports(request, every_report):
    """What the ranks of one world size report."""
    return [report[request.param] for report in every_report if request.param in report]


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_equal_one_process(reports, case):
    for report in reports:
        assert report[case]["forward"] < 1e-13, report[case]
        assert report[case]["gradients"] < 1e-12, report[case]


@pytest.mark.parametrize("case", CASES)
def test_bytes_equal_the_formula(reports, case):
    sizes = WIDE | {"devices": len(reports)}
    for report in reports:
        facts = report[case]
        assert facts["sent"] == ring_bytes(**sizes, tokens=facts["tokens"])
        assert facts["sent backward"] == ring_bytes(**sizes, tokens=facts["tokens"], backward=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("devices", [1, 2, 3, 4])
def test_pairs_of_each_step_are_counted_and_each_token_has_one_rank(layout, devices):
    n, length = 6, 6 * devices
    held = [tokens_of(rank, devices, length, layout) for rank in range(devices)]
    assert torch.cat(held).sort().values.tolist() == list(range(length))
    for rank in range(devices):
        for source in range(devices):
            counted = int((held[source][None] <= held[rank][:, None]).sum())
            options = {"tokens": n, "devices": devices, "layout": layout}
            assert ring_pairs(rank, source, **options) == counted


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("length", [1, 5, 7, 9])
def test_lengths_that_do_not_divide_are_filled_up_equally(layout, length):
    held = [tokens_of(rank, 3, length, layout) for rank in range(3)]
    assert len({len(one) for one in held}) == 1
    every = torch.cat(held)
    assert every[every >= 0].sort().values.tolist() == list(range(length))


def test_balanced_layouts_take_about_half_of_the_time():
    for devices in (2, 4, 8):
        plain, striped, zigzag = (ring_steps(64, devices, layout) for layout in LAYOUTS)
        assert plain / zigzag == pytest.approx(2 - 1 / devices, rel=0.02)
        assert striped / zigzag < 1.03


def test_sending_hides_from_the_tokens_on_that_the_formula_gives():
    chip = {"flops_per_s": 300e12, "bytes_per_s": 25e9}
    n = hiding_tokens(heads=32, kv_heads=8, bytes_per_element=2, **chip)
    pairs = n * n / 2
    computing = 2 * pairs * 32 * (128 + 64) / chip["flops_per_s"]
    sending = n * 8 * (128 + 64) * 2 / chip["bytes_per_s"]
    assert computing == pytest.approx(sending)
    assert hiding_tokens(heads=32, kv_heads=8, bytes_per_element=2, causal=False, **chip) == n / 2


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="layout='spiral'"):
        tokens_of(0, 2, 4, "spiral")
    with pytest.raises(ValueError, match="rank=2"):
        tokens_of(2, 2, 4)
    with pytest.raises(ValueError, match="tokens=3"):
        ring_pairs(0, 0, tokens=3, devices=2, layout="zigzag")
    with pytest.raises(ValueError, match="devices=0"):
        ring_bytes(**WIDE, tokens=4, devices=0)
