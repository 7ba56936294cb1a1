"""Llama with every number of KV groups, Qwen2 (biases), Qwen3 (QK norm), SmolLM3 (NoPE layers)."""

import pytest
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair

SIZES = {"hidden_size": 18, "intermediate_size": 23, "num_hidden_layers": 3, "vocab_size": 29}
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
MODELS = {
    "llama-mha": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 6}),
    "llama-gqa": (LlamaForCausalLM, LlamaConfig, {}),
    "llama-mqa": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 1}),
    "llama-biases": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama-tied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "llama-linear-scaling": (
        LlamaForCausalLM,
        LlamaConfig,
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
    ),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {}),
    "smollm3": (
        SmolLM3ForCausalLM,
        SmolLM3Config,
        {"no_rope_layers": [1, 0, 1], "pad_token_id": 0, "tie_word_embeddings": False},
    ),
}


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    model_class, config_class, changes = MODELS[request.param]
    return Pair(config_class(**SIZES | HEADS | changes), model_class)


class TestLlamaAndQwen(checks.DecoderParity):
    pass
