"""The worked answers of chapter 0, computed again; the page must print what comes out."""

from pathlib import Path

import pytest

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.flops import flops_per_token
from course_lib.costs.mixers.dispatch import mixer_weights
from course_lib.costs.params import layer_params, param_count
from course_lib.decide.selection import Criteria, Weights, tie_weight
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec

PAGE = Path(__file__).parents[2] / "book" / "00_why_architecture.md"
ANSWERS = PAGE.read_text(encoding="utf-8").split("(why-problems)=")[1]


def printed(number: int) -> str:
    """A whole number as prose prints it."""
    return f"{number:,}"


def in_maths(number: int) -> str:
    """A whole number as a formula prints it."""
    return f"{number:,}".replace(",", "{,}")


def test_a_configuration_three_numbers():
    config = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "vocab_size": 128256}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336}
    spec = spec_from_hf_config(config | heads)
    layer = spec.layers[0]
    assert in_maths(mixer_weights(layer.mixer, spec.width)) in ANSWERS
    assert in_maths(ffn_weights(layer.ffn, spec.width)) in ANSWERS
    assert layer_params(layer, spec.width)["norm"] == 8192
    total = param_count(spec).total
    assert total == param_count(load_spec("llama-3-8b")).total
    assert printed(total) in ANSWERS
    assert in_maths(cache_bytes_per_token(spec)) in ANSWERS
    matrices = (flops_per_token(spec, 1) - 4 * 32 * 128 * 32) // 2
    assert in_maths(matrices) in ANSWERS
    flops = flops_per_token(spec, 8192)
    assert flops == 2 * matrices + 4 * 32 * 128 * 8192 * 32
    assert f"{flops / 1e9:.1f} GFLOPs" in ANSWERS


def test_the_tie():
    encoder = Criteria(error=0.08, latency_s=1, cost_usd=0.0002, risk=0)
    decoder = Criteria(error=0.06, latency_s=1, cost_usd=0.0100, risk=0)
    tie = tie_weight(encoder, decoder, Weights(usd_per_error=0, usd_per_second=0), "error")
    assert f"= {tie:.2f}$ USD" in ANSWERS
    assert tie == pytest.approx(0.49, rel=1e-9)


def test_the_crossing():
    tokens = 13e9 / (8 * 131072)
    assert in_maths(round(tokens)) in ANSWERS


def test_read_the_name():
    spec = load_spec("mixtral-8x22b")
    moe, count = spec.layers[0].ffn, param_count(spec)
    assert (len(spec.layers), spec.width, moe.experts, moe.top_k, moe.expert.width) == (56, 6144, 8, 2, 16384)
    expert = ffn_weights(moe.expert, spec.width)
    assert f"= {expert / 1e6:.0f}$ million" in ANSWERS
    assert f"{56 * 8 * expert / 1e9:.1f} billion" in ANSWERS
    assert f"takes {(count.total - 56 * 8 * expert) / 1e9:.1f} billion" in ANSWERS
    assert f"the total is {count.total / 1e9:.1f}" in ANSWERS
    assert f"= {5.3 + 56 * 2 * 0.302:.1f}$ billion" in ANSWERS
    assert count.active / 1e9 == pytest.approx(39.1, abs=0.1)  # the page's terms are rounded


def test_two_points():
    assert f"{196 * (0.8 * 0.2 / 500) ** 0.5:.1f}$ points" in ANSWERS


def test_same_weights_another_graph():
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 9}
    config = {"model_type": "mistral", "num_hidden_layers": 32, "intermediate_size": 96, **sizes}
    full, windowed = (spec_from_hf_config(config | {"sliding_window": w}) for w in (None, 1024))
    assert param_count(full) == param_count(windowed)
    held = [cache_bytes(spec, batch=1, tokens=8192, ring=True) for spec in (full, windowed)]
    assert held[0] == 8 * held[1]
    assert in_maths(32 * 1023) in ANSWERS
