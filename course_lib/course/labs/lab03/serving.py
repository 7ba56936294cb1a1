"""Lab 3, exercise 6: a serving budget. How many requests fit, and how long a step and a
request take.

The truth is `course_lib.costs`; known mistakes are computed beside it from the same
parts.
"""

from collections.abc import Callable

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import flops_per_token
from course_lib.costs.hardware import Hardware
from course_lib.costs.latency import request_latency
from course_lib.costs.roofline import decode_step_time, prefill_time, weights_read
from course_lib.costs.serving import max_concurrency, weight_bytes
from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import helped
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.records import ModelSpec

HINTS = {
    "weights_first": "The weights are in memory before the first request: only what "
    "is left holds caches.",
    "reserve": "Keep a tenth of the memory back before you divide.",
    "whole": "A request that fits nine tenths does not fit: round down.",
    "none_fit": "Where the weights alone do not fit, the answer is 0 requests, not a "
    "negative number.",
    "weights_once": "A step reads the weights once for the whole batch; each "
    "sequence's cache comes on top.",
    "cache_read": "A decode step reads the cache of every sequence in the batch, "
    "besides the weights.",
    "batch_flops": "Every sequence of the batch needs "
    "flops_per_token FLOPs of its own.",
    "experts": "A batch meets more experts than one token does: give weights_read the "
    "batch of the step.",
    "roofline": "A step takes the longer of its times for arithmetic and memory: not "
    "one, not the sum.",
    "first_token": "The prefill gives the first new token: tokens_out tokens take "
    "tokens_out - 1 decode steps.",
    "growing": "Each step sees one token more: the contexts run from tokens_in + 1 "
    "to tokens_in + tokens_out - 1.",
    "prefill": "The latency starts with the prefill of the prompt: prefill_time(spec, "
    "hardware, tokens_in).",
    "number": "Write the formula down with its units; every term must be seconds (or "
    "bytes, for memory).",
}
CHECK = Checker("Exercise 6", HINTS)


def check_max_concurrency(max_requests, seed: int = 0) -> str:
    """Check `max_concurrency(spec, hardware, context)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do the two other checks.
    """
    spec, devices = _model_and_devices(seed)
    for hardware in devices:
        for context in (30, 500):
            _check_concurrency(max_requests, spec, hardware, context)
    return "Exercise 6: what is left beside the weights holds the caches."


def check_decode_step_time(step_time, seed: int = 0) -> str:
    """Check `decode_step_time(spec, hardware, *, batch, context)`."""
    spec, devices = _model_and_devices(seed)
    for hardware in devices:
        for batch, context in ((1, 100), (7, 100), (60, 100), (3, 17)):
            _check_step(step_time, spec, hardware, batch, context)
    for batch in (1, 3):
        _check_step(step_time, _mixture(seed), devices[0], batch, context=100)
    return "Exercise 6: a step takes as long as the slower of memory and arithmetic."


def check_request_latency(latency, seed: int = 0) -> str:
    """Check `request_latency(spec, hardware, *, tokens_in, tokens_out)`, with the
    library's step time beside it, or else with the student's.
    """
    spec, devices = _model_and_devices(seed)

    def trial() -> None:
        for hardware in devices:
            for tokens_in, tokens_out in ((40, 1), (40, 2), (100, 9)):
                _check_latency(latency, spec, hardware, tokens_in, tokens_out)

    helped(trial, latency, decode_step_time=decode_step_time)
    return "Exercise 6: concurrency, step time and latency agree with course_lib.costs."


def _model_and_devices(seed: int) -> tuple[ModelSpec, tuple[Hardware, ...]]:
    """A small grouped model, and devices on which it is bound by memory, by compute,
    and too large.
    """
    _, size = random_sizes(
        seed, layers=(2, 4), groups=(1, 2), in_group=(2, 3), width=(3, 6), share=(2, 9)
    )
    heads = size["groups"] * size["in_group"]
    spec = spec_from_hf_config(
        {
            "model_type": "llama",
            "num_hidden_layers": size["layers"],
            "num_attention_heads": heads,
            "num_key_value_heads": size["groups"],
            "hidden_size": heads * 2 * size["width"],
            "intermediate_size": 40,
            "vocab_size": 97,
        }
    )
    need = weight_bytes(spec)
    room = need + 11.5 * cache_bytes(spec, batch=1, tokens=500)
    return spec, (
        Hardware("a device bound by memory", 1e9 * size["share"], 1e6, room / 0.9),
        Hardware("a device bound by compute", 1e6 * size["share"], 1e9, room / 0.9),
        Hardware(
            "a device between the two",
            4e6 * size["share"],
            2e6 * size["share"],
            room / 0.9,
        ),
        Hardware("a device too small for the weights", 1e9, 1e6, 0.8 * need),
    )


def _mixture(seed: int) -> ModelSpec:
    """A small mixture of experts: two tokens read more of it than one."""
    _, size = random_sizes(seed, layers=(1, 3), width=(3, 6), experts=(5, 9))
    return spec_from_hf_config(
        {
            "model_type": "mixtral",
            "num_hidden_layers": size["layers"],
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "hidden_size": 4 * size["width"],
            "intermediate_size": 40,
            "vocab_size": 97,
            "num_local_experts": size["experts"],
            "num_experts_per_tok": 2,
        }
    )


def _check_concurrency(
    max_requests, spec: ModelSpec, hardware: Hardware, context: int
) -> None:
    memory, weights = hardware.memory_bytes, weight_bytes(spec)
    one = cache_bytes(spec, batch=1, tokens=context)
    room = (0.9 * memory - weights) / one
    want = max_concurrency(spec, hardware, context)
    mistakes = {
        "none_fit": int(room // 1),
        "whole": max(0, int(room // 1) + 1),
        "weights_first": int(0.9 * memory // one),
        "reserve": max(0, int((memory - weights) // one)),
    }
    what = f"max_concurrency on {hardware.name}, context {context}"
    got = CHECK.call(max_requests, spec, hardware, context, what=what)
    late = max(0, int(0.9 * (memory - weights) // one))
    if type(got) is int and got == late:
        mistakes["reserve"] = late
    CHECK.equal(
        got,
        want,
        "number" if room >= 0 else "none_fit",
        what,
        {hint: n for hint, n in mistakes.items() if n != want},
    )


def _check_step(
    step_time, spec: ModelSpec, hardware: Hardware, batch: int, context: int
) -> None:
    flops, weights = flops_per_token(spec, context), 2 * weights_read(spec, batch=batch)
    cache = cache_bytes(spec, batch=batch, tokens=context)

    def seconds(flops: float, bytes_moved: float, join: Callable = max) -> float:
        return join(
            (flops / hardware.peak_flops, bytes_moved / hardware.bandwidth_bytes_per_s)
        )

    mistakes = {
        "weights_once": seconds(batch * flops, batch * weights + cache),
        "cache_read": seconds(batch * flops, weights),
        "experts": seconds(batch * flops, 2 * weights_read(spec, batch=1) + cache),
        "batch_flops": seconds(flops, weights + cache),
        "roofline": seconds(batch * flops, weights + cache, join=sum),
    }
    want = decode_step_time(spec, hardware, batch=batch, context=context)
    what = f"decode_step_time on {hardware.name}, batch {batch}, context {context}"
    sizes = {"batch": batch, "context": context}
    got = CHECK.call(step_time, spec, hardware, **sizes, what=what)
    for one_side in (min, lambda times: times[0], lambda times: times[1]):
        alone = seconds(batch * flops, weights + cache, join=one_side)
        if _near(got, alone) and not _near(alone, want):
            mistakes = {"roofline": alone}
    lone = cache_bytes(spec, batch=1, tokens=context)
    if _near(got, seconds(batch * flops, weights + lone)):
        mistakes = {"cache_read": got}
    _compare(got, want, what, mistakes)


def _check_latency(
    latency, spec: ModelSpec, hardware: Hardware, tokens_in: int, tokens_out: int
) -> None:
    def steps(contexts: range) -> float:
        return sum(
            decode_step_time(spec, hardware, batch=1, context=context)
            for context in contexts
        )

    first = prefill_time(spec, hardware, tokens_in)
    end = tokens_in + tokens_out
    mistakes = {
        "first_token": [
            first + steps(range(tokens_in + 1, end + 1)),
            first + steps(range(tokens_in, end)),
        ],
        "growing": [
            first + (tokens_out - 1) * steps(range(tokens_in, tokens_in + 1)),
            first + (tokens_out - 1) * steps(range(tokens_in + 1, tokens_in + 2)),
            first + (tokens_out - 1) * steps(range(end, end + 1)),
            first + steps(range(tokens_in, end - 1)),
            first + steps(range(1, tokens_out)),
        ],
        "prefill": [steps(range(tokens_in + 1, end))],
    }
    want = request_latency(spec, hardware, tokens_in=tokens_in, tokens_out=tokens_out)
    what = (
        f"request_latency on {hardware.name}, {tokens_in} tokens in, {tokens_out} out"
    )
    sizes = {"tokens_in": tokens_in, "tokens_out": tokens_out}
    got = CHECK.call(latency, spec, hardware, **sizes, what=what)
    _compare(
        got,
        want,
        what,
        {
            h: next((n for n in ns if _near(got, n)), ns[0])
            for h, ns in mistakes.items()
        },
    )


def _near(a: float, b: float) -> bool:
    return type(a) in (int, float) and abs(a - b) <= 1e-9 * abs(b)


def _compare(got: float, want: float, what: str, mistakes: dict[str, float]) -> None:
    """Fail unless equal to nine digits, with the hint of the mistake that gives the
    same number.
    """
    CHECK.near(got, want, "number", what, mistakes, unit=" s")
