"""Published devices, and the times of prefill and decode."""

import math
from datetime import date

import pytest

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.hardware import (
    ARITHMETIC,
    Hardware,
    fastest_arithmetic,
    list_hardware,
    load_hardware,
)
from course_lib.costs.params import param_count
from course_lib.costs.roofline import (
    attention_intensity,
    decode_roofline,
    decode_step_time,
    decode_work,
    prefill_roofline,
    prefill_time,
    weights_read,
)
from course_lib.costs.work import RooflineTime, roofline_time
from course_lib.specs.records import RWKVSpec
from tests.unit.costs_models import DEEPSEEK_V3, LLAMA_70B, MISTRAL_V01, MIXTRAL, T5

K = 1024
H100 = load_hardware("H100-SXM")


@pytest.mark.parametrize("name", list_hardware())
def test_every_device_has_its_figures_and_their_source(name):
    device = load_hardware(name)
    assert device.name
    assert device.source.startswith("https://")
    assert date.fromisoformat(device.checked) <= date(2026, 11, 30)
    assert 10e12 < device.peak_flops < 10e15
    assert 100e9 < device.bandwidth_bytes_per_s < 20e12
    assert 8e9 <= device.memory_bytes <= 300e9
    assert 30 < device.ridge < 600
    assert device.interconnect_bytes_per_s is None or 30e9 < device.interconnect_bytes_per_s < 2e12
    peaks = device.all_peaks()
    assert set(peaks) <= set(ARITHMETIC) and peaks["16-bit"] == device.peak_flops
    for arithmetic, peak in peaks.items():
        assert device.computing(arithmetic).peak_flops == peak
        assert device.computing(arithmetic).computing("16-bit") == device
        if (name, arithmetic) != ("B300", "INT8"):
            assert peak >= device.peak_flops


def test_named_devices():
    """Dense figures: the H100's sheet prints twice this, with sparsity."""
    assert (H100.peak_flops, H100.bandwidth_bytes_per_s, H100.memory_bytes) == (989.4e12, 3.35e12, 80e9)
    a100 = load_hardware("A100-80GB-SXM")
    assert (a100.peak_flops, a100.bandwidth_bytes_per_s, a100.memory_bytes) == (312e12, 2.039e12, 80e9)
    assert load_hardware("H200-SXM").peak_flops == H100.peak_flops


@pytest.mark.parametrize(
    ("name", "bits", "arithmetic"),
    [
        ("H100-SXM", 32, "16-bit"),
        ("H100-SXM", 16, "16-bit"),
        ("H100-SXM", 8.5, "FP8"),
        ("H100-SXM", 4.25, "FP8"),
        ("A100-80GB-SXM", 4.5, "INT8"),
        ("A100-80GB-SXM", 9, "16-bit"),
        ("B200", 4.25, "FP4"),
        ("B200", 5, "FP8"),
        ("B300", 8, "FP8"),
        ("RTX-4090", 8, "INT8"),
        ("TPU-v5p", 4, "16-bit"),
    ],
)
def test_the_fastest_arithmetic_never_narrows_the_weights(name, bits, arithmetic):
    assert fastest_arithmetic(load_hardware(name), bits / 8) == arithmetic


def test_a_derated_device():
    slow = H100.derated(compute=0.5, bandwidth=0.8)
    assert slow.peak_flops == H100.peak_flops / 2
    assert slow.bandwidth_bytes_per_s == pytest.approx(0.8 * H100.bandwidth_bytes_per_s)
    assert slow.memory_bytes == H100.memory_bytes
    assert slow.computing("FP8").peak_flops == H100.computing("FP8").peak_flops / 2


def test_the_longer_time_counts():
    device = Hardware("toy", peak_flops=100.0, bandwidth_bytes_per_s=10.0, memory_bytes=1)
    long_sum = roofline_time(flops=500, bytes_moved=20, hardware=device)
    assert (long_sum.compute_s, long_sum.memory_s, long_sum.time_s, long_sum.bound) == (5, 2, 5, "compute")
    assert roofline_time(flops=50, bytes_moved=20, hardware=device, devices=4).time_s == 0.5
    assert RooflineTime(1.0, 1.0).bound == "memory"


def test_a_decode_step_is_its_bytes_over_the_bandwidth():
    read = 2 * (param_count(LLAMA_70B).by_part["attention"] + param_count(LLAMA_70B).by_part["ffn"])
    read += 2 * param_count(LLAMA_70B).by_part["head"]
    read += cache_bytes(LLAMA_70B, batch=4, tokens=32 * K)
    step = decode_roofline(LLAMA_70B, H100, batch=4, context=32 * K, devices=8)
    assert step.memory_s == pytest.approx(read / 8 / 3.35e12, rel=1e-12)
    assert step.compute_s == pytest.approx(4 * flops_per_token(LLAMA_70B, 32 * K) / 8 / 989.4e12, rel=1e-12)
    assert step.bound == "memory"
    assert step.time_s == decode_step_time(LLAMA_70B, H100, batch=4, context=32 * K, devices=8)


def test_the_cache_of_one_128k_request_slows_decode_by_three_tenths():
    short, long = (decode_step_time(LLAMA_70B, H100, context=n, devices=8) for n in (1, 128 * K))
    assert long / short == pytest.approx(1.309, abs=5e-4)


def test_decode_turns_to_compute_at_large_batch_and_short_context_only():
    """Attention does h / g FLOPs a cached byte at any batch, far below the ridge of 295."""
    bounds = [decode_roofline(LLAMA_70B, H100, batch=b, context=512, devices=8).bound for b in (1, 452, 453)]
    assert bounds == ["memory", "memory", "compute"]
    assert decode_roofline(LLAMA_70B, H100, batch=10**6, context=4 * K, devices=8).bound == "memory"


def test_attention_reads_more_than_it_computes_unless_its_latent_is_absorbed():
    """8 FLOPs a byte for grouped heads, 1 for latents kept multiplied out, 242 absorbed: close to a ridge of
    295."""
    grouped, latent = LLAMA_70B.layers[0].mixer, DEEPSEEK_V3.layers[0].mixer
    assert attention_intensity(grouped) == 8
    assert attention_intensity(grouped, bytes_per_element=1) == 16
    assert attention_intensity(latent, absorbed=False) == 1
    assert attention_intensity(latent) == pytest.approx(241.8, abs=0.05)
    assert load_hardware("H200-SXM").ridge < attention_intensity(latent) < H100.ridge


@pytest.mark.parametrize("context", [1, 4095, 4096, 4097])
def test_a_decode_step_reads_a_window_as_a_ring_of_its_slots(context):
    """Mistral keeps 8 KV heads of 128 + 128 in 32 layers; a step reads min(context, 4096) slots of each."""
    slots = min(context, 4096)
    assert decode_work(MISTRAL_V01, context=context, batch=3).cache_bytes == 3 * 2 * 32 * slots * 8 * 256


def test_prefill_waits_for_compute():
    prompt = prefill_roofline(LLAMA_70B, H100, 32 * K, devices=8)
    assert prompt.bound == "compute"
    assert prompt.time_s == prefill_flops(LLAMA_70B, 32 * K) / (8 * 989.4e12)
    assert prefill_time(LLAMA_70B, H100, 32 * K, devices=8) == prompt.time_s
    assert prefill_roofline(LLAMA_70B, H100, 1, devices=8).bound == "memory"


def test_a_prompt_reads_every_expert_it_meets_and_writes_its_cache():
    prompt = prefill_roofline(MIXTRAL, H100, 50, batch=3)
    moved = 2 * weights_read(MIXTRAL, batch=150) + cache_bytes(MIXTRAL, batch=3, tokens=50)
    assert prompt.memory_s == pytest.approx(moved / 3.35e12, rel=1e-12)


def test_a_mixture_reads_more_experts_in_a_larger_batch():
    count = param_count(MIXTRAL)
    stored = count.total - count.by_part["embedding"] - count.by_part["norm"]
    read = [weights_read(MIXTRAL, batch=batch) for batch in (1, 4, 16, 256)]
    assert read[0] == count.active - count.by_part["embedding"] - count.by_part["norm"]
    assert read == sorted(read)
    assert read[1] / 1e9 == pytest.approx(32.30, abs=0.005)
    assert math.isclose(read[-1], stored, rel_tol=1e-9)


def test_an_encoder_decoder_reads_its_encoder_in_the_prefill_only():
    encoder = 12 * (4 * 768**2 + 2 * 768 * 3072)
    cross_keys_and_values = 12 * 2 * 768**2
    read = [weights_read(T5, batch=1, prefill=stage) for stage in (True, False)]
    assert read[0] - read[1] == encoder + cross_keys_and_values


def test_latent_attention_kept_multiplied_out_is_slower_to_read_at_length():
    absorbed, kept = (
        decode_roofline(DEEPSEEK_V3, H100, context=128 * K, devices=16, absorbed=form)
        for form in (True, False)
    )
    assert kept.memory_s > 8 * absorbed.memory_s
    assert absorbed.compute_s > 3 * kept.compute_s


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_hardware("H100"), "name='H100': one of A100-80GB-SXM"),
        (lambda: Hardware("toy", 0, 1, 1), "peak_flops=0: a finite number above 0"),
        (lambda: Hardware("toy", 1, 1, math.inf), "memory_bytes=inf: a finite number above 0"),
        (lambda: H100.derated(compute=1.2), "compute=1.2: at most peak=1"),
        (lambda: H100.derated(bandwidth=0), "bandwidth=0: a finite number above 0"),
        (lambda: roofline_time(flops=0, bytes_moved=1, hardware=H100), "flops=0: a finite number above 0"),
        (lambda: roofline_time(flops=1, bytes_moved=1, hardware=H100, devices=0), "devices=0: a whole"),
        (lambda: attention_intensity(RWKVSpec(width=4)), "mixer=RWKVSpec.*: a causal attention"),
        (lambda: weights_read(LLAMA_70B, batch=0), "batch=0: a whole number of at least 1"),
        (lambda: prefill_time(LLAMA_70B, H100, 0), "tokens=0: a whole number of at least 1"),
        (lambda: prefill_time(LLAMA_70B, H100, 1, bytes_per_weight=-1), "bytes_per_weight=-1: a finite"),
        (lambda: decode_step_time(LLAMA_70B, H100, context=0), "context=0: a whole number of at least 1"),
        (lambda: decode_step_time(LLAMA_70B, H100, batch=0, context=1), "batch=0: a whole number"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
