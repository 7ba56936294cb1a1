"""Lab 3's questions: caches, their bytes, and what a server makes of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from course_lib.costs.hardware import load_hardware
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole, with_diagonal
from course_lib.layers.attention.layer import Attention
from course_lib.layers.positions.rope import Rope
from course_lib.specs.loader import load_spec

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    h, k, n, prompt = size(rng, 2, 3), 4, size(rng, 6, 9), size(rng, 2, 4)
    caches = [names["ContiguousCache"](2, n, h, k) for _ in range(2)]
    for cache in caches:
        for new in (prompt, n - prompt, 1):
            entries = normal(rng, 2, new, h, k), normal(rng, 2, new, h, k)
            yield "ContiguousCache", lambda c=cache, e=entries: c.append(*e)
        yield "ContiguousCache", lambda c=cache: c.length
    layer = Attention(h * k + 1, h, h, k, rope=Rope(dim=k)).double()
    for weight in layer.parameters():
        weight.data = normal(rng, *weight.shape)
    layer.requires_grad_(False)
    x, cache = normal(rng, 2, n, h * k + 1), names["ContiguousCache"](2, n, h, k)
    for part in (x[:, :prompt], x[:, prompt : n - 1], x[:, n - 1 :]):
        yield "step", lambda part=part: names["step"](layer, part, cache)
    fresh = names["ContiguousCache"](2, n, h, k)
    yield "run", lambda: names["run"](layer, x, prompt, fresh)


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    g, n, k = size(rng, 2, 3), size(rng, 4, 6), 4
    q, keys, values = (
        normal(rng, 2, n, 2 * g, k),
        normal(rng, 2, n, g, k),
        normal(rng, 2, n, g, 3),
    )
    mask = with_diagonal(rng, 2, n)
    yield "grouped_attention", lambda: names["grouped_attention"](q, keys, values, mask)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    window, n = size(rng, 3, 5), size(rng, 9, 14)
    queries, keys = whole(rng, n, 6), whole(rng, n, 8) - 1
    yield "visible", lambda: names["visible"](queries, keys, window)
    cache, at = names["RingCache"](2, window, 2, 3), 0
    for new in (size(rng, 1, 2), 1, window + 2, 1):
        entries = (normal(rng, 2, new, 2, 3), normal(rng, 2, new, 2, 3))
        places = torch.arange(at, at + new)
        yield (
            "RingCache",
            lambda e=entries, p=places: _in_reach(cache.append(*e, p), p[0] - window),
        )
        at += new


def _in_reach(seen: tuple, before: torch.Tensor) -> list:
    """What a ring cache returned of positions after `before`, in their order: what the
    first new query sees. Whether older entries come along is left to the answer.
    """
    keys, values, positions = seen
    order = positions.argsort()
    order = order[positions[order] > before.clamp(min=-1)]
    return [keys[:, order], values[:, order], positions[order]]


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    cache = names["PagedCache"](9, size(rng, 2, 4), 1, 2)
    cache.start("parent")
    for new in (size(rng, 1, 5), 1):
        cache.append("parent", normal(rng, new, 1, 2), normal(rng, new, 1, 2))
    yield "PagedCache", lambda: cache.gather("parent")
    cache.fork("parent", "child")
    for name in ("child", "parent", "child"):
        cache.append(name, normal(rng, 2, 1, 2), normal(rng, 2, 1, 2))
        yield "PagedCache", lambda: [cache.gather(one) for one in ("parent", "child")]
        yield "PagedCache", lambda: [len(cache.free), sorted(cache.references)]
    cache.release("parent")
    yield "PagedCache", lambda: [cache.gather("child"), len(cache.free)]


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    config: dict[str, Any] = {
        "num_hidden_layers": size(rng, 3, 9),
        "num_attention_heads": 8,
        "hidden_size": 8 * size(rng, 8, 32),
    }
    kinds = ["sliding_attention", "full_attention"] * 9
    grouped = config | {"num_key_value_heads": 2, "head_dim": size(rng, 20, 90)}
    latent = config | {"kv_lora_rank": size(rng, 90, 600), "qk_rope_head_dim": 64}
    layers = config["num_hidden_layers"]
    windowed = grouped | {"sliding_window": 64, "layer_types": kinds[:layers]}
    sizes = {"batch": size(rng, 1, 9), "tokens": size(rng, 100, 9000)}
    for one in (config, grouped, latent, windowed):
        yield "cache_bytes", lambda one=one: names["cache_bytes"](dict(one), **sizes)
    yield "as_gib", lambda: names["as_gib"](size(rng, 1, 10**9))


def exercise_6(rng: torch.Generator, names: Names) -> Iterator[Question]:
    spec, gpu = load_spec("llama-3-8b"), load_hardware("H100-SXM")
    context, batch = size(rng, 1000, 60000), size(rng, 1, 90)
    ask = {"batch": batch, "context": context}
    lone = {"tokens_in": context, "tokens_out": size(rng, 2, 40)}
    yield "max_concurrency", lambda: names["max_concurrency"](spec, gpu, context)
    yield "decode_step_time", lambda: names["decode_step_time"](spec, gpu, **ask)
    yield "request_latency", lambda: names["request_latency"](spec, gpu, **lone)
