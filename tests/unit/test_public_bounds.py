"""What engines measured in public lies on the right side of every bound that the functions give.

The rows are typed here from the threads and pages that are named; `measured` is what they report. The L4 rows
were read in `docs/features/quantization/quantized_kvcache.md` of vllm-project/vllm at 0609ba1, which has
the text of pull request 49050 (vLLM 0.25.1); released pages of version 0.25 have no such table.
"""

from dataclasses import replace

import pytest

from course_lib.costs.cache import cache_bytes_per_token
from course_lib.costs.hardware import fastest_arithmetic, load_hardware
from course_lib.costs.latency import request_latency
from course_lib.costs.roofline import decode_step_time, prefill_time
from course_lib.costs.serving import tokens_in_all
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec

K, GIB = 1024, 2**30
QWEN3_4B = spec_from_hf_config(
    {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    }
)
LLAMA_8B, LLAMA_70B = load_spec("llama-3.1-8b"), load_spec("llama-3.1-70b")
QWEN3_8B, QWEN3_235B = load_spec("qwen3-8b"), load_spec("qwen3-235b-a22b")
TIMES = ("prefill", "step")


def at_bits(name: str, bits: float, **options) -> tuple:
    """A device at the fastest arithmetic for weights of so many bits, and their width."""
    device = load_hardware(name)
    return device.computing(fastest_arithmetic(device, bits / 8)), {"bytes_per_weight": bits / 8, **options}


L4, WHOLE = at_bits("L4", 16)
H200, OF_FOUR = at_bits("H200-SXM", 16, devices=4)
H100_FP8, OF_TWO = at_bits("H100-SXM", 8, devices=2)
B200_FP4, ALONE = at_bits("B200", 4.5, bytes_per_element=1)

# Source, what was measured in seconds, and the least time that the functions allow.
SECONDS = {
    "vLLM docs at 0609ba1, Qwen3-4B on an L4, a step at 2K": (
        1 / 29.1,
        lambda: decode_step_time(QWEN3_4B, L4, context=2 * K, **WHOLE),
    ),
    "vLLM docs at 0609ba1, Qwen3-4B on an L4, a step at 32K": (
        1 / 19.4,
        lambda: decode_step_time(QWEN3_4B, L4, context=32 * K, **WHOLE),
    ),
    "vLLM CI, 70B on 4 x H200, a step of 8 requests": (
        16.2e-3,
        lambda: decode_step_time(LLAMA_70B, H200, batch=8, context=K, **OF_FOUR),
    ),
    "vLLM CI, 8B on an H200, a step of 8 requests": (
        6.5e-3,
        lambda: decode_step_time(LLAMA_8B, H200, batch=8, context=K),
    ),
    "NVIDIA NIM, 70B in FP8 on 2 x H100, first token of 5,000": (
        407e-3,
        lambda: prefill_time(LLAMA_70B, H100_FP8, 5000, **OF_TWO),
    ),
    "NVIDIA NIM, 70B in FP8 on 2 x H100, a later token": (
        18.6e-3,
        lambda: decode_step_time(LLAMA_70B, H100_FP8, context=5250, **OF_TWO),
    ),
}


@pytest.mark.parametrize("row", SECONDS)
def test_no_pass_was_faster_than_its_bound(row):
    measured, bound = SECONDS[row][0], SECONDS[row][1]()
    assert bound <= measured
    assert bound >= measured / 4  # and the bound says something


def most_tokens_per_s(device, batches, tokens_in: int, tokens_out: int, **options) -> float:
    """The highest bound on the throughput of a 70B model over batches of requests in step."""
    shape = {"tokens_in": tokens_in, "tokens_out": tokens_out}
    return max(
        batch * tokens_out / request_latency(LLAMA_70B, device, batch=batch, **shape, **options)
        for batch in batches
    )


def test_a_model_in_four_bits_is_not_bounded_by_sixteen_bit_arithmetic():
    """TensorRT-LLM, performance overview: 70B in FP4 on one B200, 128 in and 128 out."""
    measured, batches = 11_147, (64, 256, 1024, 2048, 4096)
    assert B200_FP4.arithmetic == "FP4"
    assert most_tokens_per_s(B200_FP4, batches, 128, 128, **ALONE) > measured
    sixteen = B200_FP4.computing("16-bit")
    assert most_tokens_per_s(sixteen, batches, 128, 128, **ALONE) < measured  # the broken bound


def test_tokens_in_a_given_memory():
    """vLLM docs at 0609ba1, Qwen3-4B on an L4: 11.47 GiB of cache hold 83,488 tokens, in pages of 16."""
    assert 83_488 <= 11.47 * GIB / cache_bytes_per_token(QWEN3_4B) < 83_488 + 64


# Source, tokens that the engine logged, the model, the device, and how it is served.
TOKENS = {
    "vllm-project/vllm#10517, 8B on an RTX 3090": (31_232, LLAMA_8B, "RTX-3090", {}),
    "vllm-project/vllm#10517, the same with longer requests": (23_648, LLAMA_8B, "RTX-3090", {}),
    "vllm-project/vllm#42058, Qwen3-8B on an A100": (389_872, QWEN3_8B, "A100-80GB-SXM", {}),
    "vllm-project/vllm#21348, Qwen3-235B in FP8 on 4 x H100": (
        178_880,
        QWEN3_235B,
        "H100-SXM",
        {"devices": 4, "bytes_per_weight": 1},
    ),
    "vllm-project/vllm#21348, the same in SGLang": (
        367_404,
        QWEN3_235B,
        "H100-SXM",
        {"devices": 4, "bytes_per_weight": 1},
    ),
}


@pytest.mark.parametrize("row", TOKENS)
def test_no_engine_held_more_tokens_than_the_whole_memory_does(row):
    """The sheet's GB are read as 10^9 bytes, which is careful: drivers show about as many GiB. With a tenth
    of them in reserve two engines held more.
    """
    measured, spec, name, options = TOKENS[row]
    device = load_hardware(name)
    shown = replace(device, memory_bytes=device.memory_bytes / 1e9 * GIB)
    assert measured <= tokens_in_all(spec, shown, 8 * K, reserve=0, **options)
    if "SGLang" not in row and "A100" not in row:
        assert measured <= tokens_in_all(spec, device, 8 * K, **options)


def test_a_bound_without_a_peak_is_refused():
    for name, arithmetic in (("H100-SXM", "FP4"), ("A100-80GB-SXM", "FP8"), ("TPU-v5p", "INT8")):
        with pytest.raises(ValueError, match=f"arithmetic='{arithmetic}': .* has 16-bit"):
            load_hardware(name).computing(arithmetic)
