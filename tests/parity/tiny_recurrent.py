"""Tiny models with a state in some of their layers, one or two a family: odd sizes, both kinds of layers."""

from tests.parity.tiny_moe import SIZES

DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 3,
    "linear_value_head_dim": 5,
    "linear_conv_kernel_dim": 3,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "rms_norm_eps": 1e-2,
}
TURNED = {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5}}
EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 7}
SHARED = EXPERTS | {"shared_expert_intermediate_size": 11}
QWEN = SIZES | DELTA | TURNED | {"head_dim": 8}
CONV = SIZES | {"layer_types": ["conv", "full_attention", "conv"], "norm_eps": 1e-2, "conv_L_cache": 3}
KIMI = {
    "num_key_value_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 7,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 4,
    "v_head_dim": 3,
    "linear_num_heads": 3,
    "linear_head_dim": 5,
    "linear_conv_kernel_dim": 3,
    "num_experts": 4,
    "num_experts_per_token": 2,
    "num_shared_experts": 2,
    "num_expert_group": 2,
    "topk_group": 1,
    "moe_intermediate_size": 7,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "mlp_layer_types": ["dense", "sparse", "sparse"],
    "rms_norm_eps": 1e-2,
}

OLMO = SIZES | DELTA | {"head_dim": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}}
MINIMAX = {
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "block_size": 4,
    "rms_norm_eps": 1e-2,
    "full_attn_alpha_factor": 0.7,
    "full_attn_beta_factor": 1.3,
    "linear_attn_alpha_factor": 1.1,
    "linear_attn_beta_factor": 0.6,
    "mlp_alpha_factor": 0.8,
    "mlp_beta_factor": 1.2,
}
GRIFFIN = {
    "hidden_size": 16,  # the factor on the words, its root, is bfloat16 in theirs
    "lru_width": 16,
    "intermediate_size": 22,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "num_hidden_layers": 3,
    "vocab_size": 29,
    "attention_window_size": 5,
    "conv1d_width": 3,
    "rms_norm_eps": 1e-2,
    "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
}
RWKV = {"hidden_size": 12, "intermediate_size": 17, "num_hidden_layers": 3, "vocab_size": 29}
RWKV |= {"layer_norm_epsilon": 1e-2, "rescale_every": 0, "context_length": 64}

MODELS: dict[str, tuple[str, dict]] = {
    "kimi-linear": ("kimi_linear", SIZES | KIMI),
    "lfm2": ("lfm2", CONV | {"conv_bias": False, "block_auto_adjust_ff_dim": False}),
    "lfm2-biased": ("lfm2", CONV | {"conv_bias": True, "block_multiple_of": 7, "num_hidden_layers": 3}),
    "lfm2-moe": ("lfm2_moe", CONV | EXPERTS | {"num_dense_layers": 1}),
    "minimax": ("minimax", SIZES | MINIMAX),
    "olmo-hybrid": ("olmo_hybrid", SIZES | DELTA | {"head_dim": 6}),
    "olmo-hybrid-turned": ("olmo_hybrid", OLMO | {"linear_allow_neg_eigval": False}),
    "qwen3-next": ("qwen3_next", QWEN | SHARED | {"mlp_only_layers": [1]}),
    "qwen3.5": ("qwen3_5_text", QWEN | {"attention_bias": True}),
    "qwen3.5-moe": ("qwen3_5_moe_text", QWEN | SHARED),
    "recurrent-gemma": ("recurrent_gemma", GRIFFIN),
    "rwkv": ("rwkv", RWKV),
    "rwkv-tied": ("rwkv", RWKV | {"tie_word_embeddings": True}),
}
"""Families and the fields of their configs."""

PADDING_LEAKS = ("lfm2-biased", "recurrent-gemma", "rwkv", "rwkv-tied")
"""Theirs changes with left padding: biases enter the convolution there (LFM2), or no mask is looked at."""

TOLERANCES = {"lfm2-moe": 1e-5}
"""Theirs adds 1e-6 to the sum that the experts' weights are divided by."""
