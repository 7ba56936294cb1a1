"""Tiny `transformers` models of each family, at odd sizes, for the parity tests of the cost formulas.

`FAMILIES` names each variant: (model_type, fields of its config). `build` makes the random model and our spec
of it.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from course_lib.specs.from_hf import spec_from_hf_config

VOCAB = 37
WINDOW = 6

_DENSE = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 28,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "pad_token_id": 0,
}
_LATENT = {
    **_DENSE,
    "num_key_value_heads": 6,
    "head_dim": 4,
    "q_lora_rank": 9,
    "kv_lora_rank": 14,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
}
_ROUTED = {"num_experts_per_tok": 2, "moe_intermediate_size": 14}

FAMILIES = {
    "llama-mha": ("llama", {**_DENSE, "num_key_value_heads": 6}),
    "llama-gqa": ("llama", {**_DENSE, "attention_bias": True}),
    "llama-mqa": ("llama", {**_DENSE, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "mistral-window": ("mistral", {**_DENSE, "sliding_window": WINDOW}),
    "qwen2": ("qwen2", {**_DENSE, "head_dim": 4, "use_sliding_window": False}),
    "qwen3": ("qwen3", _DENSE),
    "gemma2-pattern": ("gemma2", {**_DENSE, "sliding_window": WINDOW}),
    "gemma3-pattern": (
        "gemma3_text",
        {**_DENSE, "num_hidden_layers": 7, "sliding_window": WINDOW, "sliding_window_pattern": 6},
    ),
    "gpt-oss-pattern": (
        "gpt_oss",
        {
            **_DENSE,
            "num_hidden_layers": 4,
            "sliding_window": WINDOW,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
    ),
    "mixtral": (
        "mixtral",
        {**_DENSE, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    ),
    "qwen3-moe": ("qwen3_moe", {**_DENSE, **_ROUTED, "num_experts": 4, "use_sliding_window": False}),
    "olmoe": ("olmoe", {**_DENSE, "head_dim": 4, "num_experts": 4, "num_experts_per_tok": 2}),
    "glm4-moe": (
        "glm4_moe",
        {
            **_DENSE,
            **_ROUTED,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "n_group": 1,
        },
    ),
    "deepseek-v2": ("deepseek_v2", {**_LATENT, "topk_method": "group_limited_greedy"}),
    "deepseek-v3": ("deepseek_v3", _LATENT),
    "deepseek-v3-plain-queries": ("deepseek_v3", {**_LATENT, "q_lora_rank": None}),
    "gpt2": ("gpt2", {"vocab_size": VOCAB, "n_embd": 24, "n_layer": 3, "n_head": 3, "n_positions": 64}),
    "gptj": (
        "gptj",
        {"vocab_size": VOCAB, "n_embd": 24, "n_layer": 3, "n_head": 3, "n_positions": 64, "rotary_dim": 4},
    ),
    "gpt-neox": ("gpt_neox", {**_DENSE, "num_attention_heads": 3}),
    "falcon-7b": (
        "falcon",
        {"vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6},
    ),
    "bloom": ("bloom", {"vocab_size": VOCAB, "hidden_size": 24, "n_layer": 3, "n_head": 3}),
    "cohere": ("cohere", {**_DENSE, "head_dim": 4}),
    "glm": ("glm", _DENSE | {"head_dim": 12}),
    "glm4": ("glm4", _DENSE | {"head_dim": 12}),
    "mamba": (
        "mamba",
        {
            "vocab_size": VOCAB,
            "hidden_size": 20,
            "state_size": 3,
            "num_hidden_layers": 3,
            "time_step_rank": 3,
        },
    ),
    "mamba2": (
        "mamba2",
        {
            "vocab_size": VOCAB,
            "hidden_size": 20,
            "state_size": 6,
            "num_hidden_layers": 3,
            "num_heads": 5,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 4,
        },
    ),
    "rwkv": (
        "rwkv",
        {
            "vocab_size": VOCAB,
            "hidden_size": 20,
            "num_hidden_layers": 3,
            "context_length": 64,
            "intermediate_size": 36,
        },
    ),
    "jamba": (
        "jamba",
        {
            "vocab_size": VOCAB,
            "hidden_size": 24,
            "intermediate_size": 28,
            "num_hidden_layers": 5,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "mamba_d_state": 3,
            "mamba_dt_rank": 5,
            "attn_layer_period": 4,
            "attn_layer_offset": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "pad_token_id": 0,
        },
    ),
    "t5": (
        "t5",
        {
            "vocab_size": VOCAB,
            "d_model": 24,
            "d_kv": 7,
            "d_ff": 28,
            "num_layers": 2,
            "num_decoder_layers": 3,
            "num_heads": 3,
            "decoder_start_token_id": 0,
        },
    ),
    "bart": (
        "bart",
        {
            "vocab_size": VOCAB,
            "d_model": 24,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "encoder_attention_heads": 3,
            "decoder_attention_heads": 3,
            "encoder_ffn_dim": 28,
            "decoder_ffn_dim": 20,
            "max_position_embeddings": 64,
        },
    ),
}
_DELTA = {
    **_DENSE,
    "num_hidden_layers": 5,
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 3,
    "linear_value_head_dim": 5,
    "full_attention_interval": 4,
}
_SHARED = {**_ROUTED, "num_experts": 4, "shared_expert_intermediate_size": 10}
FAMILIES["qwen3-next"] = ("qwen3_next", {**_DELTA, **_SHARED, "mlp_only_layers": [1]})
FAMILIES["qwen3.5-moe"] = ("qwen3_5_moe_text", {**_DELTA, **_SHARED})
FAMILIES["qwen3.5"] = ("qwen3_5_text", {**_DELTA, "linear_num_key_heads": 3})
FAMILIES["t5-gated"] = ("t5", FAMILIES["t5"][1] | {"feed_forward_proj": "gated-gelu"})
FAMILIES["marian"] = ("marian", FAMILIES["bart"][1] | {"pad_token_id": 1, "decoder_start_token_id": 1})
FAMILIES |= {name: (name, FAMILIES["t5"][1]) for name in ("mt5", "umt5")}
FAMILIES |= {
    name: (name, FAMILIES["bart"][1] | {"pad_token_id": 1, "decoder_start_token_id": 1})
    for name in ("mbart", "pegasus")
}

ENCODER_DECODERS = ("t5", "t5-gated", "bart", "marian", "mt5", "umt5", "mbart", "pegasus")


def build(family: str, dtype: torch.dtype):
    """A random model of the family in `dtype`, and the spec read from its config."""
    model_type, fields = FAMILIES[family]
    config = AutoConfig.for_model(model_type, **fields)
    config._experts_implementation = "eager"
    auto = AutoModelForSeq2SeqLM if family in ENCODER_DECODERS else AutoModelForCausalLM
    torch.manual_seed(0)
    model = auto.from_config(config, attn_implementation="eager", dtype=dtype).eval()
    return model, spec_from_hf_config(config.to_dict())


def run(model, family: str, *, batch: int, tokens: int, source_tokens: int = 5):
    """One forward pass with a cache over random tokens; the first `source_tokens` go to an encoder where
    there is one."""
    ids = torch.randint(1, VOCAB, (batch, tokens), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        if family in ENCODER_DECODERS:
            source = torch.randint(
                1, VOCAB, (batch, source_tokens), generator=torch.Generator().manual_seed(2)
            )
            return model(input_ids=source, decoder_input_ids=ids, use_cache=True)
        return model(input_ids=ids, use_cache=True)
