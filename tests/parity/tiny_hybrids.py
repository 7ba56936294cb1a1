"""Tiny hybrids of Mamba-2 and attention, one or more a family: odd sizes, both kinds of layers."""

STATE = {"mamba_d_state": 5, "mamba_d_conv": 3, "mamba_n_heads": 8, "mamba_d_head": 6, "mamba_n_groups": 2}
SIZES = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "intermediate_size": 13,
    "vocab_size": 29,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
KINDS = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
GRANITE = SIZES | STATE | KINDS | {"mamba_expand": 2, "mamba_chunk_size": 4, "shared_intermediate_size": 11}
GRANITE |= {"attention_multiplier": 0.3, "residual_multiplier": 0.7, "embedding_multiplier": 1.7}
GRANITE |= {"logits_scaling": 1.3}
FALCON = SIZES | STATE | {"mamba_d_ssm": 48, "mamba_chunk_size": 4, "head_dim": 6}
FACTORS = {
    "attention_in_multiplier": 1.4,
    "attention_out_multiplier": 0.7,
    "key_multiplier": 0.5,
    "ssm_in_multiplier": 1.3,
    "ssm_out_multiplier": 0.8,
    "ssm_multipliers": [0.875, 1.5, 0.625, 1.25, 0.75],  # theirs are kept in float32
    "mlp_multipliers": [1.5, 0.4],
    "attention_bias": True,
}
BAMBA = {"hidden_size": 32, "attn_layer_indices": [1], "mamba_expand": 2, "mamba_d_head": 8}
NEMOTRON = SIZES | {
    "mamba_num_heads": 8,
    "mamba_head_dim": 3,
    "ssm_state_size": 5,
    "conv_kernel": 3,
    "n_groups": 2,
    "chunk_size": 4,
    "head_dim": 6,
    "layer_norm_epsilon": 1e-2,
}
EXPERTS = {
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 7,
    "moe_shared_expert_intermediate_size": 9,
    "n_group": 3,
    "topk_group": 2,
    "routed_scaling_factor": 1.7,
}
MODELS: dict[str, tuple[str, dict]] = {
    "bamba": ("bamba", SIZES | STATE | BAMBA),
    "falcon-h1": ("falcon_h1", FALCON | {"embedding_multiplier": 1.7, "lm_head_multiplier": 0.6}),
    "falcon-h1-factors": ("falcon_h1", FALCON | FACTORS),
    "granite": ("granitemoehybrid", GRANITE | {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "granite-dense": (
        "granitemoehybrid",
        GRANITE | {"num_local_experts": 0, "position_embedding_type": "rope", "tie_word_embeddings": True},
    ),
    "nemotron-h": (
        "nemotron_h",
        NEMOTRON | {"layers_block_type": ["linear_attention", "mlp", "full_attention", "linear_attention"]},
    ),
    "nemotron-3": (
        "nemotron_h",
        NEMOTRON
        | EXPERTS
        | {
            "layers_block_type": [
                "linear_attention",
                "moe",
                "full_attention",
                "mlp",
                "linear_attention",
                "moe",
            ],
            "moe_latent_size": 8,
            "use_bias": True,
        },
    ),
}
"""Families and the fields of their configs."""

BRIEF = ("granite-dense", "nemotron-h")
"""Second ones of a family, which are compared in fewer ways."""

PADDING_LEAKS = ("nemotron-3",)
"""Theirs changes with left padding: the projection's bias enters the convolution there."""
