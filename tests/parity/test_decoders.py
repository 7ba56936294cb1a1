"""The decoders beside the LLaMA line: serial and parallel blocks, learned, rotary and linear positions."""

import pytest
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    HunYuanDenseV1Config,
    HunYuanDenseV1ForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Olmo3Config,
    Olmo3ForCausalLM,
)

from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair

ENDS = {"vocab_size": 29, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZES = {"num_hidden_layers": 3, "num_attention_heads": 5, "hidden_size": 40, **ENDS}
GPT = {"n_layer": 3, "n_head": 5, "n_embd": 40, "n_inner": 23, "n_positions": 17, **ENDS}
GROUPED = {"num_key_value_heads": 2, "num_attention_heads": 6, "head_dim": 12, "intermediate_size": 23}
GPT2 = GPT2LMHeadModel, GPT2Config, GPT
GPTJ = GPTJForCausalLM, GPTJConfig, GPT | {"rotary_dim": 6}
NEOX = GPTNeoXForCausalLM, GPTNeoXConfig, SIZES | {"intermediate_size": 23}
FALCON = FalconForCausalLM, FalconConfig, SIZES | {"ffn_hidden_size": 23}
BLOOM = BloomForCausalLM, BloomConfig, {"n_layer": 3, "hidden_size": 20, **ENDS}
COHERE = CohereForCausalLM, CohereConfig, SIZES | {"intermediate_size": 23, "logit_scale": 0.25}
GRANITE = GraniteForCausalLM, GraniteConfig, SIZES | {"intermediate_size": 23}
HUNYUAN = HunYuanDenseV1ForCausalLM, HunYuanDenseV1Config, SIZES | GROUPED
OLMO2 = Olmo2ForCausalLM, Olmo2Config, SIZES | {"intermediate_size": 23, "num_key_value_heads": 1}
OLMO3 = Olmo3ForCausalLM, Olmo3Config, SIZES | {"intermediate_size": 23}
GLM = GlmForCausalLM, GlmConfig, SIZES | GROUPED
GLM4 = Glm4ForCausalLM, Glm4Config, SIZES | GROUPED
MODELS = {
    "gpt2": (*GPT2, {}),
    "gpt2-relu": (*GPT2, {"activation_function": "relu"}),
    "gptj": (*GPTJ, {}),
    "gpt-neox": (*NEOX, {"rotary_pct": 0.5}),
    "gpt-neox-serial": (*NEOX, {"use_parallel_residual": False, "attention_bias": False}),
    "falcon-7b": (*FALCON, {}),
    "falcon-serial": (*FALCON, {"multi_query": False, "parallel_attn": False, "bias": True}),
    "falcon-40b": (*FALCON, {"new_decoder_architecture": True, "num_attention_heads": 4, "num_kv_heads": 2}),
    "falcon-one-norm": (
        *FALCON,
        {"new_decoder_architecture": True, "num_kv_heads": 5, "num_ln_in_parallel_attn": 1},
    ),
    "bloom": (*BLOOM, {"n_head": 4}),
    "bloom-5-heads": (*BLOOM, {"n_head": 5}),
    "cohere": (*COHERE, {}),
    "cohere-grouped": (*COHERE, {"num_key_value_heads": 1, "attention_bias": True}),
    "cohere-untied": (*COHERE, {"tie_word_embeddings": False}),
    "granite": (*GRANITE, {"residual_multiplier": 0.22, "logits_scaling": 4.0}),
    "granite-multipliers": (*GRANITE, {"embedding_multiplier": 3.0, "attention_multiplier": 0.3}),
    "hunyuan": (*HUNYUAN, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    "olmo2": (*OLMO2, {}),
    "olmo3": (*OLMO3, {"sliding_window": 5, "sliding_window_pattern": 3}),
    "glm": (*GLM, {}),
    "glm4": (*GLM4, {}),
    "glm4-no-biases": (*GLM4, {"attention_bias": False, "tie_word_embeddings": True}),
}
OPTIONS = {
    # Their GELU has the root of 2 / pi with eight digits, a relative error of 7e-10 a layer.
    "bloom": {"tolerance": 1e-7},
    "bloom-5-heads": {"tolerance": 1e-7},
    "falcon-40b": {"key_copies": 2},  # their cache repeats a group's keys for each of its heads
}


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    model_class, config_class, sizes, changes = MODELS[request.param]
    return Pair(config_class(**sizes | changes), model_class, **OPTIONS.get(request.param, {}))


class TestDecoders(checks.DecoderParity):
    pass


def test_the_layouts_are_all_there():
    layouts, kinds = set(), set()
    for model_class, config_class, sizes, changes in MODELS.values():
        layer = Pair(config_class(**sizes | changes), model_class).spec.layers[0]
        layouts.add(layer.norm_layout)
        kinds.add("alibi" if layer.mixer.alibi else layer.mixer.rope and layer.mixer.rope.pairing)
    assert layouts == {"pre", "parallel", "parallel_two", "sandwich", "output"}
    assert kinds == {None, "alibi", "rotate_half", "interleaved"}
