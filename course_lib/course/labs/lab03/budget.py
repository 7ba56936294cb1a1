"""Lab 3, exercise 5: bytes of a real model's cache, read off its config.

The truth is `course_lib.costs.cache.cache_bytes` on the spec that `spec_from_hf_config`
reads from the same config. `estimate` repeats it with one known mistake at a time, to
tell which one a wrong number comes from.
"""

from collections.abc import Mapping
from typing import Any

from course_lib.costs.cache import cache_bytes
from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.specs.from_hf import spec_from_hf_config

HINTS = {
    "two_tensors": "A token leaves a key and a value: factor 2.",
    "kv_heads": "The cache has num_key_value_heads heads, not num_attention_heads. "
    "Only a config without that field has as many of one as of the other.",
    "head_dim": "A config may set head_dim itself. hidden_size // num_attention_heads "
    "is the default only.",
    "window": "A layer with a window keeps at most sliding_window tokens.",
    "layer_types": "Where the config lists layer_types, only the 'sliding_attention' "
    "layers have the window.",
    "short": "A text shorter than the window fills only part "
    "of it: min(tokens, window).",
    "latent": "A config with kv_lora_rank keeps a latent in place of keys and values, "
    "whatever else it says.",
    "latent_once": "The latent serves as key and value at once: it is stored once, "
    "without a factor 2.",
    "latent_heads": "All heads share one latent and one rotary "
    "key: no factor for heads.",
    "rope_key": "Beside the latent stands the rotary key: kv_lora_rank + "
    "qk_rope_head_dim numbers a token.",
    "bytes": "Multiply by bytes_per_element; it is 2 for bf16, and 1 for int8.",
    "batch": "Each sequence of the batch has a cache of its own.",
    "layers": "Every layer has a cache of its own.",
    "gib": "1 GiB is 2**30 bytes; 1 GB is 10**9, about 7 % less.",
    "null": "A field may be there and hold None: that is as if it were absent.",
    "number": "Check each factor: 2, batch, tokens kept, KV heads, head width, "
    "layers, bytes an element.",
}
CHECK = Checker("Exercise 5", HINTS)
NULLS = (
    "num_key_value_heads",
    "head_dim",
    "sliding_window",
    "layer_types",
    "kv_lora_rank",
)
PLAIN = {"hidden_act": "silu", "rms_norm_eps": 1e-6, "vocab_size": 50}


def check_cache_bytes(cache_bytes_of, seed: int = 0) -> str:
    """Check `cache_bytes(config, *, batch, tokens, bytes_per_element)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    for name, config in random_configs(seed).items():
        seen = {k: v for k, v in config.items() if k not in PLAIN and k != "model_type"}
        for batch, tokens, width in ((1, 5, 2), (3, 64, 2), (2, 9, 1), (2, 33, 4)):
            sizes = {"batch": batch, "tokens": tokens, "bytes_per_element": width}
            told = ", ".join(f"{key}={size}" for key, size in sizes.items())
            what = f"cache_bytes({name}, {told})"
            try:
                got = CHECK.call(cache_bytes_of, seen, **sizes, what=what)
            except TypeError as error:
                if None in seen.values():
                    CHECK.fail("null", what, "no error", f"TypeError: {error}")
                raise
            want = _truth(config, sizes)
            numbers = {
                hint: estimate(config, batch, tokens, width, hint) for hint in MISTAKES
            }
            others = {hint: n for hint, n in numbers.items() if n != want}
            CHECK.equal(got, want, "number", what, others)
        plain = {"batch": 2, "tokens": 7}
        what = f"cache_bytes({name}, batch=2, tokens=7)"
        got = CHECK.call(cache_bytes_of, seen, **plain, what=what)
        want = _truth(config, plain | {"bytes_per_element": 2})
        CHECK.equal(got, want, "bytes", what)
    return "Exercise 5: bytes agree with course_lib.costs for every kind of cache."


def _truth(config: Mapping[str, Any], sizes: Mapping[str, int]) -> int:
    """The library's bytes, for the config without the fields that are None."""
    known = {key: value for key, value in config.items() if value is not None}
    return cache_bytes(spec_from_hf_config(known), **sizes, ring=True)


def check_as_gib(as_gib, seed: int = 0) -> str:
    """Check `as_gib(number)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    _, size = random_sizes(seed, odd=(1, 10**9))
    for number in (2**30, 10 * 2**30, 3 * 2**29, 0, size["odd"]):
        what = f"as_gib({number})"
        got = CHECK.call(as_gib, number, what=what)
        others = {"gib": number / 10**9} if number else {}
        CHECK.near(got, number / 2**30, "compare", what, others)
    return "Exercise 5: a GiB is 2**30 bytes."


def random_configs(seed: int) -> dict[str, dict[str, Any]]:
    """Small configs with Hugging Face's fields: grouped, plain, windowed, local and
    global, latent.
    """
    _, size = random_sizes(
        seed,
        layers=(4, 7),
        groups=(2, 3),
        in_group=(2, 4),
        width=(3, 7),
        window=(7, 12),
        rank=(5, 9),
    )
    heads = size["groups"] * size["in_group"]
    plain = PLAIN | {
        "num_hidden_layers": size["layers"],
        "num_attention_heads": heads,
        "hidden_size": heads * 2 * size["width"],
        "intermediate_size": 24,
    }
    grouped = plain | {"num_key_value_heads": size["groups"]}
    wide = {"head_dim": 2 * size["width"] + 2}
    kinds = [
        "full_attention" if i % 3 == 2 else "sliding_attention"
        for i in range(size["layers"])
    ]
    latent = {
        "q_lora_rank": 6,
        "kv_lora_rank": size["rank"],
        "qk_nope_head_dim": 4,
        "qk_rope_head_dim": 2,
    }
    latent |= {
        "v_head_dim": 4,
        "first_k_dense_replace": size["layers"],
        "moe_intermediate_size": 8,
    }
    latent |= {
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
    }
    return {
        "grouped": grouped | {"model_type": "llama"},
        "one KV head a head": plain | {"model_type": "llama"},
        "head_dim of its own": grouped | wide | {"model_type": "qwen3"},
        "window": grouped | {"model_type": "mistral", "sliding_window": size["window"]},
        "local and global": grouped
        | wide
        | {
            "model_type": "gemma3_text",
            "sliding_window": size["window"],
            "layer_types": kinds,
        },
        "latent": grouped
        | latent
        | {"model_type": "deepseek_v3", "num_key_value_heads": heads},
        "all layers global": grouped
        | wide
        | {
            "model_type": "gemma3_text",
            "sliding_window": size["window"],
            "layer_types": ["full_attention"] * size["layers"],
        },
        "null for what it lacks": plain
        | {"model_type": "llama"}
        | dict.fromkeys(NULLS),
    }


MISTAKES = tuple(hint for hint in HINTS if hint not in ("gib", "number", "null"))


def estimate(
    config: Mapping[str, Any], batch: int, tokens: int, width: int, mistake: str = ""
) -> int:
    """Return the bytes that the named mistake gives; without one, the right number."""
    gone = ("kv_lora_rank",) * (mistake == "latent")
    config = {k: v for k, v in config.items() if v is not None and k not in gone}
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    total = sum(
        _elements(config, kept, mistake) for kept in _kept(config, tokens, mistake)
    )
    total = total // layers if mistake == "layers" else total
    heads_too = heads if mistake == "latent_heads" and "kv_lora_rank" in config else 1
    return (
        total
        * heads_too
        * (1 if mistake == "batch" else batch)
        * (2 if mistake == "bytes" else width)
    )


def _elements(config: Mapping[str, Any], kept: int, mistake: str) -> int:
    """Elements of one layer that keeps `kept` tokens."""
    if "kv_lora_rank" in config:
        rope_key = 0 if mistake == "rope_key" else config["qk_rope_head_dim"]
        return (
            kept
            * (config["kv_lora_rank"] + rope_key)
            * (2 if mistake == "latent_once" else 1)
        )
    heads = config["num_attention_heads"]
    groups = (
        heads if mistake == "kv_heads" else config.get("num_key_value_heads", heads)
    )
    own = None if mistake == "head_dim" else config.get("head_dim")
    return (
        kept
        * groups
        * (own or config["hidden_size"] // heads)
        * (1 if mistake == "two_tensors" else 2)
    )


def _kept(config: Mapping[str, Any], tokens: int, mistake: str) -> list[int]:
    """Tokens that each layer keeps."""
    layers, window = config["num_hidden_layers"], config.get("sliding_window")
    if window is None or mistake == "window":
        return [tokens] * layers
    local = window if mistake == "short" else min(tokens, window)
    types = config.get("layer_types")
    if types is None or mistake == "layer_types":
        return [local] * layers
    return [local if kind == "sliding_attention" else tokens for kind in types]
