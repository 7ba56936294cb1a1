"""The worked numbers and answers of the KV-cache page, computed again; it must print what comes out."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token, cache_line, kv_cache_bytes
from course_lib.costs.flops import prefill_flops
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers.dispatch import attention_flops_per_pair
from course_lib.costs.params import param_count
from course_lib.costs.roofline import attention_intensity, decode_step_time, weights_read
from course_lib.costs.serving import cache_equals_weights, max_concurrency, weight_bytes
from course_lib.kit.values import read_values
from course_lib.layers.caches.plain import append_to_ring
from course_lib.simulate.serving import Engine, simulate
from course_lib.simulate.workload import Request
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "03_kv_cache.md").read_text(encoding="utf-8")
SOLUTIONS = dict(re.findall(r":::\{solution\} (\S+)\n:class: dropdown\n(.*?)\n:::", PAGE, flags=re.S))
EXERCISES = dict(re.findall(r":label: (\S+)\n(.*?)\n:::", PAGE, flags=re.S))
K, MIB, GB = 1024, 2**20, 1e9
LLAMA, QWEN, SMOL, V3 = map(load_spec, ("llama-3.1-70b", "qwen3.5-35b-a3b", "smollm2-135m", "deepseek-v3"))
H100, H200 = load_hardware("H100-SXM"), load_hardware("H200-SXM")
LINE = cache_line(QWEN)


def printed(label: str, *shown: str) -> None:
    """The solution says each of these."""
    assert [part for part in shown if part not in SOLUTIONS[label]] == []


def whole(number: float) -> str:
    """A whole number as a formula prints it."""
    assert number == int(number)
    return f"{int(number):,}".replace(",", "{,}")


def test_every_exercise_has_its_answer_and_a_test_here():
    assert list(EXERCISES) == list(SOLUTIONS) and len(EXERCISES) == 18
    code = Path(__file__).read_text(encoding="utf-8")
    assert [label for label in EXERCISES if f'"{label}"' not in code] == []
    on_the_hybrid = [label for label in EXERCISES if label.startswith("kv-try-hybrid")]
    assert len(on_the_hybrid) >= len(EXERCISES) / 3


def test_worked_numbers_of_the_text():
    assert f"= {whole(cache_bytes_per_token(SMOL))}$ bytes" in PAGE
    assert cache_bytes_per_token(LLAMA) == 320 * K and "keeps 320 KiB per token" in PAGE
    assert f"(0.9 \\cdot 640 - {weight_bytes(LLAMA) / GB:.1f}) / 42.9" in PAGE
    assert round(cache_bytes(LLAMA, batch=1, tokens=128 * K) / GB, 1) == 42.9
    times = param_count(V3).total / param_count(LLAMA).total
    assert 9 < times < 10 and "nine times the parameters" in PAGE
    fifth = cache_bytes_per_token(V3) / cache_bytes_per_token(LLAMA)
    assert 0.2 < fifth < 0.22 and "a fifth of the 70B model's" in PAGE
    fp8 = read_values(ROOT / "notebooks/03_kv_cache/05_windows_and_quantisation.ipynb")["fp8_nats"].value
    assert round(fp8, 2) == 0.01 and "costs a hundredth of a nat" in PAGE
    assert attention_intensity(LLAMA.layers[0].mixer) == 8 and "which is 8 in the 70B model" in PAGE
    mixer = QWEN.layers[3].mixer
    assert mixer.heads / mixer.kv_heads == 8 and "8 in Qwen3.5-35B-A3B. The arithmetic" in PAGE
    states = QWEN.layers[0].mixer
    assert (states.value_heads, states.key_dim, states.value_dim) == (32, 128, 128)
    assert "32 matrices of $128 \\times 128$" in PAGE
    assert f"{2**30 / 1e9 - 1:.1%}".replace("%", " %") == "7.4 %"


def test_count_the_steps():
    without = sum(1000 + i for i in range(500))
    printed("kv-problem-5", "499 steps", "1000 + 499 = 1499", whole(without))
    assert 1000 + 500 - 1 == 1499


def test_eight_requests():
    shape = {"kv_heads": 8, "head_dim": 128, "layers": 48, "bytes_per_element": 2}
    held = kv_cache_bytes(batch=8, tokens=16384, **shape)
    assert held == 24 * 2**30
    printed("kv-problem-1", whole(held), "24 GiB")


def test_few_layers_that_attend():
    shape = {"kv_heads": 2, "head_dim": 256, "bytes_per_element": 2, "batch": 1}
    token = kv_cache_bytes(tokens=1, layers=10, **shape)
    assert token == LINE.bytes_per_token == 20 * K < cache_bytes_per_token(SMOL)
    assert QWEN.context == 262_144 and token * QWEN.context == 5 * 2**30
    assert kv_cache_bytes(tokens=1, layers=40, **shape) == 80 * K
    printed("kv-try-hybrid-token", whole(token), "20 KiB", "5 GiB", "80 KiB and 20 GiB")


def test_the_story_at_64k():
    one = cache_bytes(LLAMA, batch=1, tokens=64 * K)
    options = {"context": 64 * K, "devices": 8, "reserve": 0.1}
    fit = [max_concurrency(LLAMA, H100, bytes_per_element=width, **options) for width in (2, 1)]
    assert fit == [20, 40]
    room = 0.9 * 640 - weight_bytes(LLAMA) / GB
    printed("kv-try-64k", f"{one / GB:.2f}$ GB", f"{room:.1f}$ GB", "20 requests, or 40")


def test_how_many_users_on_one_gpu():
    assert f"{param_count(QWEN).total / 1e9:.2f} billion" in EXERCISES["kv-try-hybrid-fit"]
    assert f"{LINE.fixed_bytes / 1e6:.1f} MB" in EXERCISES["kv-try-hybrid-fit"]
    fit = [max_concurrency(QWEN, H100, context=32 * K, bytes_per_weight=width) for width in (1, 2)]
    assert fit == [50, 3] and 16 < 50 / 3 < 17
    rooms = [72 - weight_bytes(QWEN, width) / GB for width in (1, 2)]
    printed(
        "kv-try-hybrid-fit", f"{rooms[0]:.2f}$ GB: 50", f"{rooms[1]:.2f} GB: 3 requests", "more than sixteen"
    )
    keys, held = LINE.bytes_per_token * 32 * K / 1e6, LINE.at(32 * K) / 1e6
    printed("kv-try-hybrid-fit", f"{keys:.0f}$ MB", f"{held:.0f} MB")


def test_what_falls_and_what_does_not():
    heads = [AttentionSpec(heads=32, kv_heads=groups, head_dim=128, value_dim=128) for groups in (32, 4)]
    assert [attention_intensity(mixer) for mixer in heads] == [1, 8]
    assert len({attention_flops_per_pair(mixer) for mixer in heads}) == 1
    printed("kv-try-groups", "fall by 8", "stay", "from 1 FLOP per byte to 8")


def test_latent_against_groups():
    latent = cache_bytes(V3, batch=1, tokens=1) / 61
    one_group = kv_cache_bytes(batch=1, tokens=1, kv_heads=1, head_dim=128, layers=1, bytes_per_element=2)
    assert latent / one_group == 2.25
    printed("kv-problem-3", "G = 2.25")


@pytest.mark.parametrize(("tokens", "share"), [(4096, 1.0), (32768, 0.5625), (131072, 0.515625)])
def test_where_the_window_pays(tokens, share):
    full = load_spec("mistral-7b-v0.3")
    windowed = replace(full.layers[0], mixer=replace(full.layers[0].mixer, window=4096))
    mixed = replace(full, layers=full.layers[::2] + (windowed,) * 16)
    options = {"batch": 1, "tokens": tokens, "ring": True}
    assert cache_bytes(mixed, **options) / cache_bytes(full, **options) == share
    printed("kv-problem-2", *([] if share == 1 else [str(share), f"{1 / share:.2f} times"]))


def test_two_tokens_at_once():
    slots = [None] * 4
    for position in range(10):
        append_to_ring(slots, position, position)
    printed("kv-try-ring", f"Before: {', '.join(map(str, slots))}.")
    gone = slots[11 % 4]
    for position in (10, 11):
        append_to_ring(slots, position, position)
    printed("kv-try-ring", f"After: {', '.join(map(str, slots))}.", f"11 overwrites {gone}")
    assert gone in range(10 - 3, 11)


def test_when_is_a_state_cheap():
    attends = sum(isinstance(layer.mixer, AttentionSpec) for layer in QWEN.layers)
    instead = (len(QWEN.layers) - attends) * LINE.bytes_per_token / attends
    assert LINE.fixed_bytes / MIB == 61.875 and instead == 60 * K
    tokens = [LINE.fixed_bytes / slope for slope in (LINE.bytes_per_token, instead)]
    printed("kv-try-hybrid-state", *(f"= {int(n)}$ tokens" for n in tokens))
    assert tokens == [3168, 1056]


def test_how_small_is_four_bits():
    bits = [4 + (16 + 16) / group for group in (32, 128)]
    printed(
        "kv-try-quant",
        f"= {bits[0]:g}$ bits, {16 / bits[0]:g} times",
        f"{bits[1]:g}$ bits, {16 / bits[1]:.2f}",
    )


def test_is_it_the_cache():
    cache = 2048 * 128 * K
    printed("kv-problem-4", f"{cache / 1e6:.0f}$ MB", "0.9 %")
    assert f"{cache / 2 / (14e9 + cache):.1%}" == "0.9%"


def test_a_step_of_a_mixture_of_experts():
    for batch, read in ((1, "2.95"), (64, "29.9")):
        weights = weights_read(QWEN, batch=batch)
        assert f"{weights / 1e9:.3g}" == read and f"{read} billion" in EXERCISES["kv-try-hybrid-step"]
        step = decode_step_time(QWEN, H200, batch=batch, context=32 * K)
        shown = (
            f"{2 * weights / GB:.3g} +",
            f"= {step * 1e3:.3g}$ ms",
            f"{batch / step:,.0f} tokens per second",
        )
        printed("kv-try-hybrid-step", *shown)
    assert round(256 * (1 - (1 - 8 / 256) ** 64)) == 222
    assert 10 < weights_read(QWEN, batch=64) / weights_read(QWEN, batch=1) < 10.5


@pytest.mark.parametrize(("block", "shown"), [(16, r"1.8\,\%"), (256, r"24\,\%")])
def test_blocks(block, shown):
    """Lengths that run once through every remainder of the block; the mean length is the problem's 400."""
    lengths = [400 * block + remainder for remainder in range(block)]
    empty = sum(-length % block for length in lengths) / block
    assert empty == (block - 1) / 2
    assert f"{100 * empty / (400 + empty):.2g}" == shown.split("\\")[0]
    printed("kv-problem-6", shown)


def test_two_kv_heads_on_eight_devices():
    keys, states = 128 * K * LINE.bytes_per_token, LINE.fixed_bytes
    mine, share = keys / 2 + states / 8, LINE.at(128 * K) / 8
    shown = (f"{keys / 2 / MIB:.0f}$ MiB", f"{states / 8 / MIB:.1f} MiB", f"{mine / MIB:,.0f} MiB")
    printed("kv-try-hybrid-split", *shown, f"would be {share / MIB:.0f}", f"{mine / share:.1f} times")


def test_a_prefix_of_a_hybrid():
    copies, keys = 32 * LINE.fixed_bytes, 32 * K * LINE.bytes_per_token
    shown = (
        f"{copies / MIB:.0f}$ MiB",
        f"{keys / MIB:.0f}$ MiB",
        f"{copies / keys:.1f} times",
        "3,168 tokens",
    )
    printed("kv-try-hybrid-prefix", *shown)


def test_send_or_compute():
    flops, sent = prefill_flops(QWEN, 32 * K), LINE.at(32 * K)
    assert f"{flops / 1e12:.0f} TFLOP" in EXERCISES["kv-try-hybrid-send"]
    assert f"{sent / 1e6:.0f} MB" in EXERCISES["kv-try-hybrid-send"]
    seconds = (flops / H200.peak_flops, sent / (400e9 / 8), sent / (10e9 / 8))
    shown = [f"{s * 1e3:.3g}" for s in seconds]
    printed("kv-try-hybrid-send", f"= {shown[0]}$ ms", f"= {shown[1]}$ ms", f"{shown[2]} ms")
    assert seconds[2] > seconds[0]


def test_two_requests_two_schedulers():
    one_a_second = {"prefill_s": float, "step_s": lambda batch, total: 1.0, "cache_bytes": float}
    engine = Engine(memory_bytes=100, max_batch=4, **one_a_second)
    two = [Request(prompt=1, output=6), Request(prompt=10, output=2, arrival_s=1.5)]
    ends = {}
    for policy in ("static-packed", "continuous"):
        outcomes = sorted(simulate(two, engine, policy=policy).outcomes, key=lambda o: o.request.arrival_s)
        ends[policy] = [o.finish_s for o in outcomes]
    assert ends == {"static-packed": [6, 17], "continuous": [16, 13]}
    printed("kv-try-schedule", "A ends at 6 s", "ends at 17 s", "B ends at 13 s", "A ends at 16 s")


def test_a_smaller_cache_does_little_at_batch_one_and_short_context():
    share = 1 / (1 + cache_equals_weights(LLAMA, 4096))
    assert share * 7 / 8 < 0.01
