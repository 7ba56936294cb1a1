"""Tiny mixtures of experts, one or two a family: odd sizes, and every part of the routing switched on.

A field that would leave a path untested by its default is given: groups, scales, biases, windows and clips.
"""

from tests.parity.tiny_decoders import Fields

HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
SIZES = {
    **HEADS,
    "hidden_size": 20,
    "head_dim": 6,
    "num_hidden_layers": 3,
    "intermediate_size": 13,
    "vocab_size": 29,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHARED_OUT = SIZES | {"hidden_size": 24}  # heads that make up the width
OWN_WIDTH = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 7}
LOCAL = {"num_local_experts": 5, "num_experts_per_tok": 2}
DEEP = {
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_group": 3,
    "topk_group": 2,
    "n_shared_experts": 2,
    "moe_intermediate_size": 7,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.7,
}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 10,
    "q_lora_rank": 9,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 6,
    "v_head_dim": 7,
}
GRANITE = {
    "residual_multiplier": 0.22,
    "embedding_multiplier": 3.0,
    "logits_scaling": 4.0,
    "attention_multiplier": 0.3,
}
PLAIN_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}

MODELS: dict[str, tuple[str, Fields]] = {
    "afmoe": (
        "afmoe",
        SIZES
        | OWN_WIDTH
        | {"num_dense_layers": 1, "num_shared_experts": 2, "route_scale": 1.3, "mup_enabled": True}
        | {"sliding_window": 5, "global_attn_every_n_layers": 3},
    ),
    "aria": (
        "aria_text",
        SHARED_OUT | {"moe_num_experts": 5, "moe_topk": 2, "moe_num_shared_experts": 2},
    ),
    "dbrx": (
        "dbrx",
        {
            "d_model": 24,
            "n_heads": 4,
            "n_layers": 3,
            "max_seq_len": 64,
            "vocab_size": 29,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 0.7, "rope_theta": 500.0},
            "ffn_config": {"ffn_hidden_size": 7, "moe_num_experts": 5, "moe_top_k": 2},
            **PLAIN_ROPE,
        },
    ),
    "deepseek-v2": (
        "deepseek_v2",
        SIZES | DEEP | LATENT | {"topk_method": "group_limited_greedy"},
    ),
    "deepseek-v2-lite": (
        "deepseek_v2",
        SIZES | DEEP | LATENT | {"topk_method": "greedy", "q_lora_rank": None},
    ),
    "deepseek-v3": ("deepseek_v3", SIZES | DEEP | LATENT),
    "deepseek-v3-unnormed": ("deepseek_v3", SIZES | DEEP | LATENT | {"norm_topk_prob": False}),
    "dots1": ("dots1", SIZES | DEEP | {"sliding_window": 5, "max_window_layers": 1, "norm_topk_prob": True}),
    "ernie4_5": (
        "ernie4_5_moe",
        SHARED_OUT
        | {"moe_num_experts": 5, "moe_k": 2, "moe_intermediate_size": 7, "moe_num_shared_experts": 2}
        | {"moe_layer_start_index": 1, "moe_layer_interval": 1},
    ),
    "exaone": (
        "exaone_moe",
        SIZES
        | OWN_WIDTH
        | {"num_experts": 6, "n_group": 3, "topk_group": 2, "num_shared_experts": 2}
        | {"first_k_dense_replace": 1, "sliding_window": 5, "sliding_window_pattern": 3},
    ),
    "flint": (
        "flint",
        SIZES
        | OWN_WIDTH
        | {"shared_expert_intermediate_size": 11, "mlp_only_layers": [1], "sliding_window": 5}
        | {"num_hidden_layers": 4},
    ),
    "flex-olmo": ("flex_olmo", SHARED_OUT | {"num_experts": 5, "num_experts_per_tok": 2}),
    "glm-4.5": ("glm4_moe", SIZES | DEEP | {"head_dim": 8, "attention_bias": True, "use_qk_norm": True}),
    "glm-4.7-flash": ("glm4_moe_lite", SIZES | DEEP | LATENT),
    "gpt-oss": (
        "gpt_oss",
        SIZES | LOCAL | PLAIN_ROPE | {"sliding_window": 5, "num_hidden_layers": 4},
    ),
    "granite": ("granitemoe", SHARED_OUT | LOCAL | GRANITE),
    "granite-shared": ("granitemoeshared", SHARED_OUT | LOCAL | GRANITE | {"shared_intermediate_size": 11}),
    "granite-windows": (
        "granitemoe_swa",
        SHARED_OUT | LOCAL | GRANITE | {"shared_intermediate_size": 11, "sliding_window": 5},
    ),
    "hunyuan": ("hunyuan_v1_moe", SIZES | {"num_experts": 5, "moe_topk": 2}),
    "hy-v3": ("hy_v3", SIZES | OWN_WIDTH | {"num_shared_experts": 2, "router_scaling_factor": 1.4}),
    "kolibri": (
        "kolibri1",
        SIZES
        | LOCAL
        | {"moe_intermediate_size": 7, "shared_expert_intermediate_size": 11, "sliding_window": 5}
        | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "llama-4": (
        "llama4_text",
        SIZES
        | LOCAL
        | {"num_hidden_layers": 4, "intermediate_size_mlp": 11, "attention_chunk_size": 5}
        | {"interleave_moe_layer_step": 2, "use_qk_norm": True, "attn_temperature_tuning": False},
    ),
    "llama-4-long": (
        "llama4_text",
        SIZES
        | LOCAL
        | {"num_hidden_layers": 4, "intermediate_size_mlp": 11, "attention_chunk_size": 5}
        | {"num_experts_per_tok": 1, "floor_scale": 4, "attn_scale": 0.5},
    ),
    "mellum": (
        "mellum",
        SIZES
        | LOCAL
        | {"moe_intermediate_size": 7, "sliding_window": 5}
        | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
        | {
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            }
        },
    ),
    "minimax-m2": ("minimax_m2", SIZES | LOCAL | {"rotary_dim": 4}),
    "mixtral": ("mixtral", SIZES | LOCAL | {"sliding_window": 5}),
    "olmoe": (
        "olmoe",
        SHARED_OUT | {"num_experts": 5, "num_experts_per_tok": 2, "clip_qkv": 0.7, "norm_topk_prob": False},
    ),
    "phi-moe": ("phimoe", SHARED_OUT | LOCAL | {"router_jitter_noise": 0.3, "lm_head_bias": True}),
    "qwen2": (
        "qwen2_moe",
        SHARED_OUT | OWN_WIDTH | {"shared_expert_intermediate_size": 11, "mlp_only_layers": [1]},
    ),
    "qwen3": ("qwen3_moe", SIZES | OWN_WIDTH | {"norm_topk_prob": True, "decoder_sparse_step": 1}),
    "qwen3-unnormed": ("qwen3_moe", SIZES | OWN_WIDTH | {"norm_topk_prob": False, "mlp_only_layers": [0]}),
    "solar-open": ("solar_open", SIZES | DEEP),
}
"""Name -> (model type, fields)."""
