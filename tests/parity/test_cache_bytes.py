"""`cache_bytes` equals, byte for byte, what a `transformers` cache holds after a forward pass."""

import pytest
import torch

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.mixers.dispatch import token_elements
from course_lib.specs.records import LatentAttentionSpec
from tests.parity.tiny_cost_models import ENCODER_DECODERS, FAMILIES, WINDOW, build, run


def held_bytes(output) -> int:
    """Bytes of every tensor in the cache of a `transformers` output."""
    for field in ("cache_params", "past_key_values", "state"):
        held = getattr(output, field, None)
        if held is not None:
            return sum(tensor.numel() * tensor.element_size() for tensor in tensors(held))
    raise AssertionError("the output holds no cache")


def tensors(held):
    if isinstance(held, torch.Tensor):
        yield held
    elif hasattr(held, "self_attention_cache"):
        yield from tensors(held.self_attention_cache)
        yield from tensors(held.cross_attention_cache)
    elif hasattr(held, "layers"):
        for layer in held.layers:
            yield from layer_tensors(layer)
    else:
        for part in held:
            yield from tensors(part)


def layer_tensors(layer):
    for states in (getattr(layer, "conv_states", {}), getattr(layer, "recurrent_states", {})):
        yield from (state for state in states.values() if state is not None)
    for name in ("keys", "values"):
        if getattr(layer, name, None) is not None:
            yield getattr(layer, name)


# Below, at and above the window, and the last lengths at which it has room.
@pytest.mark.parametrize("tokens", [1, WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_after_one_pass(family, tokens):
    model, spec = build(family, torch.bfloat16)
    source = {"source_tokens": 5} if family in ENCODER_DECODERS else {}
    held = held_bytes(run(model, family, batch=3, tokens=tokens))
    assert held > 0
    assert cache_bytes(spec, batch=3, tokens=tokens, **source) == held


@pytest.mark.parametrize(
    "family",
    ["llama-gqa", "mistral-window", "gemma2-pattern", "deepseek-v3", "jamba", "qwen3-next", "qwen3.5-moe"],
)
def test_after_decode_steps(family):
    model, spec = build(family, torch.float32)
    output = run(model, family, batch=2, tokens=4)
    for step in range(1, WINDOW + 1):
        token = torch.full((2, 1), step)
        with torch.no_grad():
            output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True)
        expected = cache_bytes(spec, batch=2, tokens=4 + step, bytes_per_element=4)
        assert held_bytes(output) == expected


@pytest.mark.parametrize("family", ["deepseek-v2", "deepseek-v3"])
def test_the_other_form_of_latent_attention(family):
    """`latent=False` counts the keys and values which the model multiplies out of the latent it keeps."""
    model, spec = build(family, torch.bfloat16)
    cache = run(model, family, batch=3, tokens=7).past_key_values
    attention = model.model.layers[0].self_attn
    latent, rotary_key = cache.layers[0].keys, cache.layers[0].values
    keys, values = attention.expand_kv(latent, rotary_key)
    expanded = len(cache.layers) * 2 * (keys.numel() + values.numel())
    assert cache_bytes(spec, batch=3, tokens=7, latent=False) == expanded
    assert cache_bytes(spec, batch=3, tokens=7) == len(cache.layers) * 2 * (
        latent.numel() + rotary_key.numel()
    )


@pytest.mark.parametrize(
    "family", ["llama-gqa", "llama-mqa", "deepseek-v3", "gemma2-pattern", "mamba", "rwkv", "qwen3.5"]
)
def test_growth_by_one_token(family):
    model, spec = build(family, torch.bfloat16)
    grown = held_bytes(run(model, family, batch=1, tokens=4)) - held_bytes(
        run(model, family, batch=1, tokens=3)
    )
    assert cache_bytes_per_token(spec) == grown


def test_latent_layers_are_latent():
    _, spec = build("deepseek-v2", torch.bfloat16)
    assert all(isinstance(layer.mixer, LatentAttentionSpec) for layer in spec.layers)
    assert token_elements(spec.layers[0].mixer) == 14 + 4
