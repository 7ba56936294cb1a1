"""Gemma 2 and Gemma 3: local and global layers, sandwich norms, soft caps, two rotary bases."""

import pytest
from transformers import Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig

from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair

SIZES = {"hidden_size": 15, "intermediate_size": 17, "num_hidden_layers": 7, "vocab_size": 31}
HEADS = {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 6, "query_pre_attn_scalar": 9}
MODELS = {
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config,
        {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma2-uncapped": (
        Gemma2ForCausalLM,
        Gemma2Config,
        {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {"use_bidirectional_attention": False}),
}


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    model_class, config_class, changes = MODELS[request.param]
    return Pair(config_class(sliding_window=5, **SIZES, **HEADS, **changes), model_class)


class TestGemma(checks.DecoderParity):
    pass


def test_decode_far_past_the_window(pair):
    checks.check_cached_decode(pair, prompt=3, length=31)


def test_layers_are_local_and_global(pair):
    windows = [layer.mixer.window for layer in pair.spec.layers]
    bases = {(layer.mixer.window, layer.mixer.rope.theta) for layer in pair.spec.layers}
    assert set(windows) == {5, None}
    assert len(bases) == 2, "one rotary base for each kind of layer"
