"""The serving budget: what fits, how long a request takes, where the cache outweighs the model."""

import math

import pytest

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import Hardware, load_hardware
from course_lib.costs.latency import request_latency, request_seconds, sum_of_steps
from course_lib.costs.roofline import decode_roofline, decode_step_time, prefill_time
from course_lib.costs.serving import (
    cache_equals_weights,
    concurrent_requests,
    devices_needed,
    equal_context,
    max_concurrency,
    weight_bytes,
)
from course_lib.specs.loader import load_spec
from tests.unit.costs_models import BERT, DEEPSEEK_V3, LLAMA_70B, LLAMA_70B_MHA, MISTRAL_V01, T5

K, GIB = 1024, 2**30
DEEPSEEK_V32 = load_spec("deepseek-v3.2")
H100, H200 = load_hardware("H100-SXM"), load_hardware("H200-SXM")


@pytest.mark.parametrize(("context", "batch"), [(4 * K, 105), (32 * K, 13), (128 * K, 3)])
def test_the_batch_whose_cache_weighs_as_much_as_a_70b_model(context, batch):
    assert round(cache_equals_weights(LLAMA_70B, context)) == batch


@pytest.mark.parametrize(("batch", "context"), [(1, 430_626), (8, 53_829), (64, 6_729)])
def test_the_context_whose_cache_weighs_as_much_as_a_70b_model(batch, context):
    assert equal_context(LLAMA_70B, batch) == context
    assert context == math.ceil(weight_bytes(LLAMA_70B) / (batch * 327_680))


def test_a_windowed_cache_may_never_outweigh_its_model():
    assert equal_context(MISTRAL_V01, 1) is None
    assert equal_context(BERT, 1) is None


def test_320_gib_of_cache_take_three_h200_and_the_weights_a_fourth():
    assert devices_needed(320 * GIB, H200) == 3
    assert devices_needed(320 * GIB + weight_bytes(LLAMA_70B), H200) == 4
    assert devices_needed(H200.memory_bytes, H200) == 1
    assert devices_needed(H200.memory_bytes, H200, reserve=0.1) == 2


@pytest.mark.parametrize(("context", "requests"), [(4 * K, 324), (32 * K, 40), (128 * K, 10)])
def test_requests_of_a_70b_model_on_eight_h100(context, requests):
    assert max_concurrency(LLAMA_70B, H100, context, devices=8) == requests


def test_what_shifts_the_limit():
    """Eight-bit caches double it, full key heads leave one request, and latents change its order."""
    assert max_concurrency(LLAMA_70B, H100, 128 * K, devices=8, bytes_per_element=1) == 20
    assert max_concurrency(LLAMA_70B_MHA, H100, 128 * K, devices=8) == 1
    node = {"devices": 8, "bytes_per_weight": 1}
    assert max_concurrency(DEEPSEEK_V3, H200, 128 * K, **node) == 4
    assert max_concurrency(DEEPSEEK_V3, H200, 128 * K, split="requests", **node) == 24


def test_weights_that_do_not_fit_leave_no_room():
    assert max_concurrency(LLAMA_70B, H100, 1, devices=1) == 0
    assert concurrent_requests(memory_bytes=10, weight_bytes=11, cache_bytes_per_request=1) == 0


def test_the_last_request_fits_exactly():
    room = {"weight_bytes": 16, "cache_bytes_per_request": 8}
    assert concurrent_requests(memory_bytes=80, **room) == 8
    assert concurrent_requests(memory_bytes=79, **room) == 7
    assert concurrent_requests(memory_bytes=80, reserve=0.5, **room) == 3


def step_by_step(spec, hardware, tokens_in, tokens_out, **options):
    """The request's time as written in its equation: one prefill, and n_out - 1 steps one by one."""
    contexts = range(tokens_in + 1, tokens_in + tokens_out)
    steps = sum(decode_step_time(spec, hardware, context=n, **options) for n in contexts)
    return prefill_time(spec, hardware, tokens_in, **options) + steps


# The toy devices make decode wait for memory, for compute, and change from one to the other on the way.
DEVICES = (H100, Hardware("slow sums", 1e12, 1e12, 1), Hardware("between", 1.0678e12, 1e12, 1))


@pytest.mark.parametrize("hardware", DEVICES, ids=lambda device: device.name)
@pytest.mark.parametrize("lengths", [(5, 1), (5, 2), (100, 37), (2000, 100), (4000, 300)])
@pytest.mark.parametrize("spec", [LLAMA_70B, MISTRAL_V01, DEEPSEEK_V32], ids=["70b", "window", "indexer"])
def test_a_request_is_the_sum_of_its_steps(spec, lengths, hardware):
    """To rounding: 300 additions of like numbers stay well within 1e-12."""
    found = request_latency(spec, hardware, tokens_in=lengths[0], tokens_out=lengths[1])
    assert found == pytest.approx(step_by_step(spec, hardware, *lengths), rel=1e-12)


def test_the_bound_changes_on_the_way_of_the_last_device():
    bounds = [decode_roofline(LLAMA_70B, DEVICES[2], context=context).bound for context in (4001, 4299)]
    assert bounds == ["memory", "compute"]


def test_one_token_is_the_prefill_alone():
    assert request_latency(LLAMA_70B, H100, tokens_in=64, tokens_out=1) == prefill_time(LLAMA_70B, H100, 64)


def test_the_closed_form_of_a_straight_line():
    """Against the steps at contexts 11 .. 19, each 2 s and 0.5 s a token."""
    explicit = 3 + sum(2 + 0.5 * context for context in range(11, 20))
    line = {"prefill_s": 3, "step_s": 2, "step_s_per_token": 0.5}
    assert request_seconds(tokens_in=10, tokens_out=10, **line) == explicit
    assert request_seconds(tokens_in=10, tokens_out=1, **line) == 3


def test_an_encoder_decoder_reads_the_source_once():
    steps = sum(decode_step_time(T5, H100, context=n, source_tokens=400) for n in range(2, 21))
    expected = prefill_time(T5, H100, 1, source_tokens=400) + steps
    assert request_latency(T5, H100, tokens_in=400, tokens_out=20) == pytest.approx(expected, rel=1e-12)


def test_no_steps_take_no_time():
    def never(context):
        raise AssertionError(f"no step at {context} was asked for")

    assert sum_of_steps(never, first=5, last=4) == 0


def test_a_batch_shares_the_weights():
    alone, eight = (request_latency(LLAMA_70B, H100, tokens_in=16, tokens_out=64, batch=b) for b in (1, 8))
    assert alone < eight < 1.1 * alone


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_concurrency(LLAMA_70B, H100, 0), "context=0: a whole number of at least 1"),
        (lambda: max_concurrency(LLAMA_70B, H100, 8, devices=0), "devices=0: a whole number of at least 1"),
        (lambda: max_concurrency(LLAMA_70B, H100, 8, reserve=1), "reserve=1: a number from 0"),
        (lambda: max_concurrency(BERT, H100, 8), "spec='bert-base': a model that keeps a cache"),
        (lambda: cache_equals_weights(BERT, 8), "spec='bert-base': a model that keeps a cache"),
        (lambda: devices_needed(0, H100), "bytes_held=0: a finite number above 0"),
        (lambda: devices_needed(1, H100, reserve=-0.1), "reserve=-0.1: a number from 0"),
        (lambda: weight_bytes(LLAMA_70B, 0), "bytes_per_weight=0: a finite number above 0"),
        (lambda: request_latency(LLAMA_70B, H100, tokens_in=1, tokens_out=0), "tokens_out=0: a whole"),
        (lambda: request_latency(LLAMA_70B, H100, tokens_in=0, tokens_out=1), "tokens_in=0: a whole"),
        (
            lambda: request_seconds(prefill_s=0, tokens_in=1, tokens_out=1, step_s=1, step_s_per_token=1),
            "prefill_s=0: a finite number above 0",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_cache_is_what_concurrency_divides_by():
    free = 8 * 0.9 * 80e9 - weight_bytes(LLAMA_70B)
    one = cache_bytes(LLAMA_70B, batch=1, tokens=64 * K)
    assert max_concurrency(LLAMA_70B, H100, 64 * K, devices=8) == free // one
