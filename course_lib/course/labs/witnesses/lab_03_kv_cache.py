"""Lab 3's questions: caches, their bytes, and what a server makes of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from course_lib.costs.hardware import load_hardware
from course_lib.costs.roofline import decode_step_time
from course_lib.course.labs.lab03.pool import mixed
from course_lib.course.labs.lab03.reference import Cache, step
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole, with_diagonal
from course_lib.layers.attention.layer import Attention
from course_lib.layers.positions.rope import Rope
from course_lib.specs.loader import load_spec

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    h, k, n, prompt = size(rng, 2, 3), 4, size(rng, 6, 9), size(rng, 2, 4)
    news = (prompt, n - prompt, 1)
    parts = [(normal(rng, 2, new, h, k), normal(rng, 2, new, h, k)) for new in news]
    layer = Attention(h * k + 1, h, h, k, rope=Rope(dim=k)).double()
    for weight in layer.parameters():
        weight.data = normal(rng, *weight.shape)
    layer.requires_grad_(False)
    x, cuts = normal(rng, 2, n, h * k + 1), (slice(prompt), slice(prompt, n))

    def appended() -> list:
        caches = [names["ContiguousCache"](2, n, h, k) for _ in range(2)]
        return [cache.append(*part) for part in parts[:2] for cache in caches]

    def refused() -> Any:
        cache = names["ContiguousCache"](2, n, h, k)
        return [cache.append(*part) for part in parts]

    def stepped(cache: Any) -> list:
        return [names["step"](layer, x[:, cut], cache) for cut in cuts]

    def ran(cache: Any) -> Any:
        return names["run"](layer, x, prompt, cache)

    yield "append", appended
    yield "append", refused
    yield "step", lambda: stepped(Cache(2, n, h, k))
    yield "run", lambda: helped(lambda: ran(Cache(2, n, h, k)), names["run"], step=step)


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
    news = (size(rng, 1, 2), 1, window + 2, 1)
    entries = [(normal(rng, 2, new, 2, 3), normal(rng, 2, new, 2, 3)) for new in news]

    def ask() -> list:
        cache, at, seen = names["RingCache"](2, window, 2, 3), 0, []
        for pair in entries:
            places = torch.arange(at, at + pair[0].shape[1])
            seen.append(_in_reach(cache.append(*pair, places), places[0] - window))
            at += pair[0].shape[1]
        return seen

    yield "RingCache", ask


def _in_reach(seen: tuple, before: torch.Tensor) -> list:
    """What a ring cache returned of positions after `before`, in their order: what the
    first new query sees. Whether older entries come along is left to the answer.
    """
    keys, values, positions = seen
    order = positions.argsort()
    order = order[positions[order] > before.clamp(min=-1)]
    return [keys[:, order], values[:, order], positions[order]]


PARTS = {
    "allocate": ("allocate",),
    "locate": ("locate",),
    "append": ("append",),
    "copy_on_write": ("append",),
    "gather": ("gather",),
    "fork": ("fork",),
    "release": ("release",),
}


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    block, texts = size(rng, 2, 4), [(size(rng, 1, 5)), 1, 2, 2, 2]
    pairs = [(normal(rng, n, 1, 2), normal(rng, n, 1, 2)) for n in texts]
    for part, methods in PARTS.items():
        yield part, lambda methods=methods: _paged(names, methods, block, pairs)


def _paged(names: Names, methods: tuple[str, ...], block: int, pairs: list) -> list:
    """A parent and a child through their lives: with the lab's own methods beside those
    asked about, or else with the student's alone.
    """
    own = names["PagedCache"]
    try:
        return _lives(mixed(own, methods)(9, block, 1, 2), pairs)
    except Exception:  # the student's code may raise anything
        return _lives(own(9, block, 1, 2), pairs)


def _lives(cache: Any, pairs: list) -> list:
    seen: list = []
    cache.start("parent")
    for pair in pairs[:2]:
        cache.append("parent", *pair)
    seen.append(cache.gather("parent"))
    cache.fork("parent", "child")
    for name, pair in zip(("child", "parent", "child"), pairs[2:], strict=True):
        cache.append(name, *pair)
        seen.append([cache.gather(one) for one in ("parent", "child")])
        seen.append([len(cache.free), sorted(cache.references)])
    places = [cache.locate("child", at) for at in range(len(pairs[0][0]))]
    seen.append([cache.keys[place] for place in places])
    cache.release("parent")
    seen.append([cache.gather("child"), len(cache.free)])
    last = cache.allocate()
    seen.append([last in cache.free, cache.references[last], len(cache.free)])
    return seen


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
    latency, own = names["request_latency"], {"decode_step_time": decode_step_time}
    yield (
        "request_latency",
        lambda: helped(lambda: latency(spec, gpu, **lone), latency, **own),
    )
