"""Several devices: what each holds when they split the heads or the requests, and what stands twice."""

from dataclasses import replace

import pytest

from course_lib.costs.cache import cache_bytes, cache_line
from course_lib.costs.devices import (
    SPLITS,
    busiest_batch,
    device_params,
    held_kv_heads,
    on_one_device,
    splits_evenly,
)
from course_lib.costs.hardware import load_hardware
from course_lib.costs.held import held_again, uneven_heads
from course_lib.costs.mixers.dispatch import mixer_params
from course_lib.costs.params import param_count
from course_lib.costs.reserved import reserved_cache
from course_lib.costs.roofline import decode_work, prefill_work
from course_lib.costs.serving import (
    device_request_bytes,
    device_weight_bytes,
    fewest_devices,
    max_concurrency,
    tokens_in_all,
)
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import JointSpec, SSMSpec
from course_lib.specs.small import small_llama
from tests.unit.costs_models import DEEPSEEK_V3, LLAMA_70B, T5

K, GIB = 1024, 2**30
H100, H200 = load_hardware("H100-SXM"), load_hardware("H200-SXM")
EIGHT = {"devices": 8, "bytes_per_weight": 1}


def test_latents_are_held_by_every_device_that_splits_heads():
    """sgl-project/sglang#2591: the memory of all eight as one pool would promise 149."""
    assert max_concurrency(DEEPSEEK_V3, H200, 32 * K, **EIGHT) == 18
    assert max_concurrency(DEEPSEEK_V3, H200, 32 * K, split="requests", **EIGHT) == 8 * 14
    alone = device_request_bytes(DEEPSEEK_V3, 32 * K)
    assert [device_request_bytes(DEEPSEEK_V3, 32 * K, devices=8, split=split) for split in SPLITS] == [
        alone
    ] * 2
    attention = sum(mixer_params(layer.mixer, DEEPSEEK_V3.width) for layer in DEEPSEEK_V3.layers)
    assert round(attention / 1e9, 1) == 11.4
    held = {one.what: one for one in held_again(DEEPSEEK_V3, 8, split="requests")}
    assert (held["attention weights"].params, held["attention weights"].copies) == (attention, 8)


def test_with_requests_split_a_device_holds_whole_mixers_and_its_share_of_the_rest():
    total, layers = param_count(DEEPSEEK_V3).total, DEEPSEEK_V3.layers
    parts = param_count(DEEPSEEK_V3).by_part
    whole = parts["attention"] + parts["norm"] + parts["router"]
    assert device_params(DEEPSEEK_V3, 8, split="requests") == whole + (total - whole) / 8
    assert len(layers) == 61


@pytest.mark.parametrize(
    ("kv_heads", "devices", "held"), [(8, 1, 8), (8, 4, 2), (8, 8, 1), (4, 8, 1), (1, 64, 1)]
)
def test_kv_heads_on_a_device(kv_heads, devices, held):
    assert held_kv_heads(kv_heads, devices) == held


@pytest.mark.parametrize(("kv_heads", "devices"), [(8, 3), (4, 6), (12, 8), (3, 4)])
def test_heads_that_do_not_divide_are_refused_as_engines_do(kv_heads, devices):
    with pytest.raises(ValueError, match=f"devices={devices} with heads split: a divisor or a multiple of"):
        held_kv_heads(kv_heads, devices)


def test_four_kv_heads_on_eight_devices_are_held_twice():
    """vLLM keeps max(1, G // D) heads on each: half as many requests as a pool would."""
    spec = load_spec("qwen2.5-7b")
    four, eight = (device_request_bytes(spec, 32 * K, devices=devices) for devices in (4, 8))
    assert four == eight == cache_bytes(spec, batch=1, tokens=32 * K) / 4
    assert [one.copies for one in held_again(spec, 8) if one.what == "4 KV heads"] == [2]
    assert not [one for one in held_again(spec, 4) if "KV" in one.what]
    assert (uneven_heads(spec, 8), uneven_heads(spec, 4), uneven_heads(spec, 8, "requests")) == (
        (28,),
        (),
        (),
    )


def test_even_heads_share_everything_but_norms():
    held = held_again(LLAMA_70B, 8)
    assert [(one.what, one.params) for one in held] == [("norms", 8192 * 161)]
    assert device_request_bytes(LLAMA_70B, 4 * K, devices=8) * 8 == cache_bytes(
        LLAMA_70B, batch=1, tokens=4 * K
    )
    assert max_concurrency(LLAMA_70B, H100, 32 * K, devices=8) == 40


def test_windows_are_split_by_heads_and_states_stay_whole():
    gemma = load_spec("gemma-3-27b")  # 16 KV heads
    whole, part = (cache_bytes(spec, batch=1, tokens=9000) for spec in (gemma, on_one_device(gemma, 8)))
    assert part * 8 == whole
    mamba = load_spec("mamba-2.8b")
    assert device_request_bytes(mamba, 9000, devices=8) == cache_bytes(mamba, batch=1, tokens=9000)
    assert "recurrent states" in [one.what for one in held_again(mamba, 8)]
    hybrid = load_spec("qwen3.5-35b-a3b")  # 2 KV heads beside gated DeltaNet
    line, shared = cache_line(hybrid), cache_line(on_one_device(hybrid, 8))
    assert shared.fixed_bytes == line.fixed_bytes
    assert shared.bytes_per_token * 2 == line.bytes_per_token


def test_cross_attention_is_split_too():
    whole, part = (
        cache_bytes(spec, batch=1, tokens=10, source_tokens=700) for spec in (T5, on_one_device(T5, 4))
    )
    assert part * 4 == whole


def test_one_query_head_group_is_held_by_all():
    palm = load_spec("palm-540b")  # MQA
    assert device_request_bytes(palm, K, devices=64) == device_request_bytes(palm, K)
    assert [one.copies for one in held_again(palm, 64) if one.what == "1 KV head"] == [64]


def test_tokens_in_all_are_the_room_over_the_slope():
    options = {"devices": 8, "reserve": 0.1}
    room = 0.9 * H100.memory_bytes - device_weight_bytes(LLAMA_70B, 8)
    assert tokens_in_all(LLAMA_70B, H100, 777, **options) == int(room // (327_680 / 8))
    split = tokens_in_all(DEEPSEEK_V3, H200, 32 * K, split="requests", **EIGHT)
    assert 8 * 14 * 32 * K < split < 8 * 15 * 32 * K
    assert tokens_in_all(LLAMA_70B, H100, 777) == 0


def test_more_devices_may_never_be_enough():
    """A request whose latents alone outgrow a device fits on no number of them."""
    assert fewest_devices(DEEPSEEK_V3, H200, 32 * K, bytes_per_weight=1) == 6
    far = 2 * K * K  # a latent of 147 GB, on every device
    assert fewest_devices(DEEPSEEK_V3, H200, far, bytes_per_weight=1) is None
    assert fewest_devices(LLAMA_70B, H100, far) is None  # one KV head of it alone is 86 GB
    assert fewest_devices(LLAMA_70B, H100, K * K) == 8


def test_the_busiest_device_does_its_share_and_what_it_holds_whole():
    one = decode_work(LLAMA_70B, batch=8, context=4 * K)
    eight = decode_work(LLAMA_70B, batch=8, context=4 * K, devices=8)
    assert eight == type(one)(one.flops / 8, one.weights_read / 8, one.cache_bytes / 8)
    latents = decode_work(DEEPSEEK_V3, batch=8, context=4 * K, devices=8)
    assert latents.cache_bytes == decode_work(DEEPSEEK_V3, batch=8, context=4 * K).cache_bytes
    own = decode_work(DEEPSEEK_V3, batch=9, context=4 * K, devices=8, split="requests")
    assert own.cache_bytes == latents.cache_bytes / 4
    assert busiest_batch(9, 8, "requests") == 2
    prompt = prefill_work(DEEPSEEK_V3, 100, batch=1, devices=8, split="requests")
    assert prompt.cache_bytes == cache_bytes(DEEPSEEK_V3, batch=1, tokens=100)


def test_what_pages_of_one_size_reserve():
    """alvarobartt/hf-mem#70: 49 % of what is reserved for gpt-oss-20b is never filled."""
    found = reserved_cache(load_spec("gpt-oss-20b"), batch=32, tokens=8 * K)
    assert (round(found.kept_bytes / GIB, 2), found.reserved_bytes / GIB) == (6.09, 12)
    assert round(100 * found.added_share) == 49
    for name in ("mistral-7b-v0.1", "llama-3-8b", "mamba-2.8b", "deepseek-v3"):
        assert reserved_cache(load_spec(name), batch=1, tokens=20_000).added_share == 0
    short = reserved_cache(load_spec("gpt-oss-20b"), batch=1, tokens=100)
    assert short.added_share == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: device_params(LLAMA_70B, 0), "devices=0: a whole number of at least 1"),
        (lambda: device_params(LLAMA_70B, 8, split="layers"), "split='layers': one of heads, requests"),
        (lambda: max_concurrency(LLAMA_70B, H100, 8, devices=3), "kv_heads=8 is allowed"),
        (lambda: on_one_device(LLAMA_70B, 1.5), "devices=1.5: a whole number"),
        (lambda: decode_work(LLAMA_70B, context=8, devices=3), "kv_heads=8 is allowed"),
        (lambda: tokens_in_all(LLAMA_70B, H100, 8, reserve=1), "reserve=1: a number from 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_attention_beside_a_state_space_is_cut_by_its_heads():
    """Falcon-H1's layer: a KV head on each device, on two where they are twice as many; the state whole."""
    plain = small_llama(heads=4, kv_heads=2)
    beside = SSMSpec(kind="mamba1", d_inner=128, state=16, conv=4, dt_rank=4)
    joint = JointSpec(attention=plain.layers[0].mixer, state=beside)
    spec = replace(plain, layers=(replace(plain.layers[0], mixer=joint),) * 2)
    head = 2 * 64 * 2 * 16 * 2  # layers, tokens, key and value, width, bytes
    state = cache_bytes(spec, batch=1, tokens=64) - 2 * head
    kept = [device_request_bytes(spec, 64, devices=n) for n in (1, 2, 4)]
    assert kept == [state + 2 * head, state + head, state + head]
    assert [(h.what, h.copies) for h in held_again(spec, 4)] == [
        ("2 KV heads", 2),
        ("recurrent states", 4),
        ("norms", 4),
    ]
    assert not splits_evenly(spec, 3)
    assert uneven_heads(spec, 8) == (4,)


def test_every_published_model_is_split_or_refused_by_its_heads():
    """No mechanism is unknown to the devices: only KV heads that do not divide are refused."""
    for name in list_specs():
        spec = load_spec(name)
        for split in SPLITS:
            if splits_evenly(spec, 8, split):
                assert device_params(spec, 8, split=split) * 8 >= param_count(spec).total
                held_again(spec, 8, split=split)
