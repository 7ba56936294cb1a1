"""Public measurements lie on the right side of every bound, each with its source; what is said of them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from course_lib.costs.hardware import list_hardware, load_hardware
from course_lib.costs.latency import request_latency
from course_lib.costs.measured import (
    RATES,
    Measurement,
    bound,
    measured_on,
    public_measurements,
    rate_bound,
    reached,
    reached_by_device,
)
from course_lib.course.beside import GROUPS, group_shares, measured_facts, measured_lines, nearest, range_text
from course_lib.specs.loader import load_spec

ROWS = public_measurements()
# Rows of devices that the table of hardware does not have yet (H20, GB200, TPU v6e, MI355X) wait for them:
# they are held against their bounds from the day the device is listed.
HELD = [row for row in ROWS if row.bound_is_known]


def ids(rows):
    return [f"{row.device}-{row.model}-{row.quantity}-{row.value:g}" for row in rows]


@pytest.mark.parametrize("row", HELD, ids=ids(HELD))
def test_a_measurement_lies_on_the_right_side_of_its_bound(row):
    limit = bound(row)
    assert row.value <= limit if row.quantity in RATES else row.value >= limit
    assert 0.05 < reached(row) <= 1  # far below would be another setting than the one written down


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_a_row_says_what_where_and_who(row):
    spec = load_spec(row.model)
    assert row.url.startswith("https://") and row.read >= "2026-11-30" and row.how and row.engine
    assert row.reported is None or row.reported <= row.read
    assert row.weight_bits <= 16 and row.cache_bits in (8, 16) and row.arithmetic_bits in (4, 8, 16)
    assert set(row.assumed) <= {"weight", "cache", "arithmetic"}
    if row.quantity == "cached_tokens":
        assert row.tokens_in is row.tokens_out is row.batch is None
    else:
        assert row.tokens_in + row.tokens_out <= (spec.context or 10**9)
        assert row.quantity == "output_rate" or row.batch


def test_there_are_twenty_rows_over_six_classes_of_device():
    assert len(HELD) >= 20 and len({row.device for row in HELD}) >= 6
    assert len(set(ids(ROWS))) == len(ROWS)


def test_the_six_reports_that_the_table_began_with():
    found = {(row.model, row.device, row.quantity): row for row in ROWS}
    assert found["qwen3-235b-a22b", "H100-SXM", "cached_tokens"].value == 178_880
    assert {row.value for row in measured_on("RTX-3090")} == {31_232, 23_648}
    assert found["llama-3-70b", "H200-SXM", "request"].value / 128 == pytest.approx(0.0162, abs=5e-5)
    assert found["llama-3.1-8b", "H200-SXM", "request"].value / 128 == pytest.approx(0.0065, abs=5e-5)
    assert found["llama-3.1-70b", "H100-SXM", "first_token"].value == 0.40677
    assert max(row.value for row in measured_on("B200") if row.model == "llama-3.1-70b") == 11_147


def test_16_bit_arithmetic_would_be_no_bound_for_4_bits():
    """The broken bound: 11,147 tokens/s of a 70B in FP4 lie above what 16-bit products allow on one B200."""
    row = next(row for row in measured_on("B200") if row.value == 11_147)
    assert bound(replace(row, arithmetic_bits=16)) < row.value < bound(row)


def test_a_full_server_needs_its_arithmetic_and_its_bytes():
    """By hand, at one request: one prefill of 100 tokens, then 9 steps that read weights and cache."""
    spec, h100 = load_spec("llama-3.1-8b"), load_hardware("H100-SXM")
    widths = {"devices": 1, "split": "heads", "bytes_per_weight": 2, "bytes_per_element": 2}
    rate = rate_bound(spec, h100, tokens_in=100, tokens_out=10, batch=1, **widths)
    weights = 8_030_261_248 - 128_256 * 4096 - 65 * 4096  # neither the word table nor the norms
    steps = sum(2 * weights + 131_072 * (100 + i) for i in range(1, 10))
    assert rate == pytest.approx(10 / (steps / 3.35e12), rel=1e-6)
    assert rate >= 10 / request_latency(spec, h100, tokens_in=100, tokens_out=10)
    more = rate_bound(spec, h100, tokens_in=100, tokens_out=10, **widths)
    assert more > 20 * rate


def test_more_room_and_more_devices_never_lower_a_bound():
    spec, h100 = load_spec("llama-3.1-70b"), load_hardware("H100-SXM")
    widths = {"bytes_per_weight": 1, "bytes_per_element": 1, "tokens_in": 1000, "tokens_out": 1000}
    rates = [rate_bound(spec, h100, devices=n, **widths) for n in (1, 2, 4, 8)]
    batches = [rate_bound(spec, h100, devices=2, batch=n, **widths) for n in (1, 8, 64)]
    assert all(a < b for a, b in [*pairwise(rates), *pairwise(batches)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": "speed"}, "quantity='speed'"),
        ({"split": "pipeline"}, "split='pipeline'"),
        ({"devices": 2}, "split=None"),
        ({"value": 0}, "value=0"),
    ],
)
def test_a_row_with_a_wrong_field_is_refused(change, words):
    one = next(row for row in ROWS if row.devices == 1)
    with pytest.raises(ValueError, match=words):
        replace(one, **change)


def test_an_unknown_device_has_no_bound_and_no_share():
    row = replace(HELD[0], device="H101")
    assert not row.bound_is_known and "H101" not in reached_by_device()
    with pytest.raises(ValueError, match="H101"):
        bound(row)


def test_shares_are_counted_by_device_and_by_what_limits():
    shares = reached_by_device()
    assert sum(count for *_, count in shares.values()) == len(HELD)
    assert all(0 < low <= middle <= high <= 1 for low, middle, high, _ in shares.values())
    by_group = group_shares()
    assert sum(count for found in by_group.values() for *_, count in found.values()) == len(HELD)
    assert set(by_group) == set(GROUPS)
    assert range_text(None) == "-"


def test_the_nearest_rows_are_those_of_models_of_that_size():
    small, large = (nearest(load_spec(name), "H100-SXM")[0] for name in ("qwen3-8b", "llama-2-70b"))
    assert small.model == "qwen3-8b" and large.model == "llama-3.1-70b"
    assert isinstance(small, Measurement) and nearest(load_spec("qwen3-8b"), "TPU-v5e") == []


def test_fit_says_what_to_expect():
    spec = load_spec("qwen3-8b")
    facts = measured_facts(spec, load_hardware("H100-SXM").name)
    assert facts["reports"] == len(measured_on("H100-SXM")) and facts["nearest"][0]["engine"] == "vLLM 0.30.0"
    lines = measured_lines(facts)
    assert "of the bound: first token" in lines[0] and "13,322 tokens/s" in lines[1]
    unmeasured = next(name for name in list_hardware() if not measured_on(name))
    assert "No public measurement" in measured_lines(measured_facts(spec, load_hardware(unmeasured).name))[0]
