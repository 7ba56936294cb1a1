"""Small odd configs of the decoders, each drawn from a random stream.

Widths are odd multiples where the family allows it, so that no two sizes agree by accident. Every flag which
adds or removes a parameter is drawn too.
"""

from random import Random
from typing import Any

Fields = dict[str, Any]


def odd(rng: Random, most: int = 15) -> int:
    """An odd number from 3 to `most`."""
    return rng.randrange(3, most + 1, 2)


def heads_and_width(rng: Random) -> Fields:
    """Grouped heads, and a width they divide into an even share (RoPE turns pairs)."""
    groups = rng.choice((1, 2, 3))
    heads = groups * rng.choice((1, 2, 3))
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "hidden_size": heads * 2 * odd(rng, 7),
    }


def decoder(rng: Random, model_type: str, *flags: str) -> Fields:
    """The fields of the LLaMA line; each of `flags` is true or false."""
    return {
        "model_type": model_type,
        **heads_and_width(rng),
        "num_hidden_layers": rng.randint(2, 7),
        "intermediate_size": odd(rng, 31),
        "vocab_size": rng.randint(11, 40),
        "max_position_embeddings": 64,
        "tie_word_embeddings": rng.random() < 0.5,
        **{flag: rng.random() < 0.5 for flag in flags},
    }


def experts(rng: Random, count: str) -> Fields:
    """How many experts there are, in the field `count`, and how many a token visits."""
    number = rng.randint(3, 7)
    return {count: number, "num_experts_per_tok": rng.randint(1, number - 1)}


def fine_grained(rng: Random) -> Fields:
    """DeepSeek's experts: even groups of them, dense layers first, shared ones beside them."""
    groups = rng.choice((1, 2))
    return {
        "n_routed_experts": groups * 4,
        "num_experts_per_tok": rng.randint(1, 3),
        "n_group": groups,
        "topk_group": 1,
        "n_shared_experts": rng.randint(1, 3),
        "moe_intermediate_size": odd(rng),
        "first_k_dense_replace": rng.randint(0, 2),
        "routed_scaling_factor": 1.5,
    }


def latent(rng: Random, model_type: str) -> Fields:
    """DeepSeek's attention, with compressed queries or without."""
    fields = decoder(rng, model_type, "attention_bias") | fine_grained(rng)
    return fields | {
        "num_key_value_heads": fields["num_attention_heads"],
        "q_lora_rank": rng.choice((None, odd(rng))),
        "kv_lora_rank": odd(rng),
        "qk_nope_head_dim": odd(rng),
        "qk_rope_head_dim": 2 * odd(rng, 5),
        "v_head_dim": odd(rng),
    }


def windowed(rng: Random, model_type: str, *flags: str) -> Fields:
    """A decoder whose heads have their own width and whose layers have windows."""
    fields = decoder(rng, model_type, "attention_bias", *flags)
    return fields | {"head_dim": 2 * odd(rng, 9), "sliding_window": 5}


def gemma3(rng: Random) -> Fields:
    """Gemma 3's text model, with a shorter pattern than six layers."""
    return windowed(rng, "gemma3_text") | {"sliding_window_pattern": rng.randint(2, 4)}


def qwen3_moe(rng: Random) -> Fields:
    """Qwen3's experts, with dense layers between them."""
    fields = decoder(rng, "qwen3_moe", "attention_bias") | experts(rng, "num_experts")
    return fields | {
        "head_dim": 2 * odd(rng, 9),
        "moe_intermediate_size": odd(rng),
        "decoder_sparse_step": rng.randint(1, 3),
        "mlp_only_layers": rng.choice(([], [0], [1])),
    }


def gated_delta(rng: Random, model_type: str) -> Fields:
    """Qwen3-Next's two mixers, their kinds listed or left to the interval; a quarter of a head turns."""
    keys, depth = rng.randint(1, 3), rng.randint(2, 7)
    kinds = [rng.choice(("linear_attention", "full_attention")) for _ in range(depth)]
    pattern = rng.choice(({"layer_types": kinds}, {"full_attention_interval": rng.randint(1, 4)}))
    return decoder(rng, model_type, "attention_bias") | {
        "num_hidden_layers": depth,
        "head_dim": 8 * odd(rng, 7),
        "linear_num_key_heads": keys,
        "linear_num_value_heads": keys * rng.randint(1, 3),
        "linear_key_head_dim": odd(rng),
        "linear_value_head_dim": odd(rng),
        "linear_conv_kernel_dim": rng.randint(2, 5),
        **pattern,
    }


def qwen3_5_moe_text(rng: Random) -> Fields:
    """Qwen3.5's experts, and a shared one of another width."""
    fields = gated_delta(rng, "qwen3_5_moe_text") | experts(rng, "num_experts")
    return fields | {"moe_intermediate_size": odd(rng), "shared_expert_intermediate_size": odd(rng)}


def qwen3_next(rng: Random) -> Fields:
    """Qwen3-Next, with dense layers between its experts."""
    return qwen3_5_moe_text(rng) | {
        "model_type": "qwen3_next",
        "decoder_sparse_step": rng.randint(1, 3),
        "mlp_only_layers": rng.choice(([], [0], [1])),
        "norm_topk_prob": rng.random() < 0.5,
    }


def seeing(text: Fields, model_type: str) -> Fields:
    """A model that sees, around its text model; the whole says whether the head is tied."""
    return {
        "model_type": model_type,
        "text_config": {key: value for key, value in text.items() if key != "tie_word_embeddings"},
        "tie_word_embeddings": text["tie_word_embeddings"],
    }


def jamba(rng: Random) -> Fields:
    """Jamba, with its two periods out of step."""
    attention, sparse = rng.randint(2, 4), rng.randint(1, 3)
    return decoder(rng, "jamba", "mamba_conv_bias", "mamba_proj_bias") | {
        **experts(rng, "num_experts"),
        "num_hidden_layers": 7,
        "attn_layer_period": attention,
        "attn_layer_offset": rng.randrange(attention),
        "expert_layer_period": sparse,
        "expert_layer_offset": rng.randrange(sparse),
        "mamba_d_state": odd(rng),
        "mamba_d_conv": rng.randint(2, 5),
        "mamba_expand": rng.randint(1, 3),
        "mamba_dt_rank": rng.choice(("auto", odd(rng))),
    }


def deepseek_v2(rng: Random) -> Fields:
    """DeepSeek-V2, with either way of picking experts."""
    return latent(rng, "deepseek_v2") | {"topk_method": rng.choice(("greedy", "group_limited_greedy"))}


def glm4_moe(rng: Random) -> Fields:
    """GLM-4.5, with norms on query and key or without."""
    return decoder(rng, "glm4_moe", "attention_bias", "use_qk_norm") | fine_grained(rng) | {"head_dim": 8}


def gpt_oss(rng: Random) -> Fields:
    """gpt-oss, with its extended context."""
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    return windowed(rng, "gpt_oss") | experts(rng, "num_local_experts") | {"rope_scaling": scaling}


def qwen2(rng: Random) -> Fields:
    """Qwen2, windowed from its second layer on or nowhere."""
    return decoder(rng, "qwen2", "use_sliding_window") | {"sliding_window": 5, "max_window_layers": 1}


def rotary_sizes(rng: Random) -> Fields:
    """Heads that share the width out, and an even number of coordinates that turn."""
    heads = rng.randint(1, 4)
    return {
        "num_attention_heads": heads,
        "hidden_size": heads * 8 * rng.randint(1, 3),
        "max_position_embeddings": 64,
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": odd(rng, 31),
        "tie_word_embeddings": rng.random() < 0.5,
    }


def gptj(rng: Random) -> Fields:
    """GPT-J, in GPT-2's field names."""
    sizes = rotary_sizes(rng)
    return {
        "model_type": "gptj",
        "n_embd": sizes["hidden_size"],
        "n_head": sizes["num_attention_heads"],
        "n_layer": sizes["num_hidden_layers"],
        "n_positions": odd(rng),
        "n_inner": rng.choice((None, odd(rng, 31))),
        "rotary_dim": rng.choice((2, 4, 6, 8)),
        "vocab_size": sizes["vocab_size"],
        "tie_word_embeddings": False,  # a tied head would share the word table but keep its bias
    }


def gpt_neox(rng: Random) -> Fields:
    """GPT-NeoX, side by side or one after the other."""
    return rotary_sizes(rng) | {
        "model_type": "gpt_neox",
        "intermediate_size": odd(rng, 31),
        "rotary_pct": rng.choice((0.25, 0.5, 1.0)),
        "rotary_emb_base": rng.choice((10_000, 500)),
        **{flag: rng.random() < 0.5 for flag in ("attention_bias", "use_parallel_residual")},
    }


def falcon(rng: Random) -> Fields:
    """Falcon, old and new."""
    groups = rng.choice((1, 2))
    heads = groups * rng.randint(1, 3)
    flags = ("multi_query", "parallel_attn", "bias", "new_decoder_architecture")
    fields = {flag: rng.random() < 0.5 for flag in flags}
    fields["parallel_attn"] |= fields["new_decoder_architecture"]  # theirs cannot be built otherwise
    return (
        rotary_sizes(rng)
        | fields
        | {
            "model_type": "falcon",
            "num_attention_heads": heads,
            "hidden_size": heads * 2 * odd(rng, 5),
            "num_kv_heads": groups if fields["new_decoder_architecture"] else heads,
            "ffn_hidden_size": rng.choice((None, odd(rng, 31))),
        }
    )


def glm(rng: Random, model_type: str) -> Fields:
    """GLM-4, with or without biases."""
    return decoder(rng, model_type, "attention_bias") | {"head_dim": 4 * odd(rng, 5), "pad_token_id": 0}


def smollm3(rng: Random) -> Fields:
    """SmolLM3, in which every second layer is without RoPE."""
    own = {"no_rope_layer_interval": 2, "pad_token_id": 0}
    return decoder(rng, "smollm3", "attention_bias", "mlp_bias") | own


DECODERS = {
    "cohere": lambda rng: decoder(rng, "cohere", "attention_bias") | {"logit_scale": 0.25},
    "falcon": falcon,
    "glm": lambda rng: glm(rng, "glm"),
    "glm4": lambda rng: glm(rng, "glm4"),
    "gpt_neox": gpt_neox,
    "gptj": gptj,
    "deepseek_v2": deepseek_v2,
    "deepseek_v3": lambda rng: latent(rng, "deepseek_v3"),
    "gemma2": lambda rng: windowed(rng, "gemma2"),
    "gemma3_text": gemma3,
    "glm4_moe": glm4_moe,
    "gpt_oss": gpt_oss,
    "jamba": jamba,
    "llama": lambda rng: decoder(rng, "llama", "attention_bias", "mlp_bias"),
    "mistral": lambda rng: windowed(rng, "mistral"),
    "mixtral": lambda rng: decoder(rng, "mixtral") | experts(rng, "num_local_experts"),
    "olmoe": lambda rng: decoder(rng, "olmoe", "attention_bias") | experts(rng, "num_experts"),
    "qwen2": qwen2,
    "qwen3": lambda rng: windowed(rng, "qwen3", "use_sliding_window") | {"max_window_layers": 2},
    "qwen3_5": lambda rng: seeing(gated_delta(rng, "qwen3_5_text"), "qwen3_5"),
    "qwen3_5_moe": lambda rng: seeing(qwen3_5_moe_text(rng), "qwen3_5_moe"),
    "qwen3_5_moe_text": qwen3_5_moe_text,
    "qwen3_5_text": lambda rng: gated_delta(rng, "qwen3_5_text"),
    "qwen3_moe": qwen3_moe,
    "qwen3_next": qwen3_next,
    "smollm3": smollm3,
}
