"""Small odd configs of GPT-2's kin and of the families whose heads turn in part."""

from random import Random

from tests.parity.tiny_decoders import Fields, decoder, odd

GPT2_NAMES = {
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
    "max_position_embeddings": "n_positions",
}
NO_TOKENS = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 2}


def plain(rng: Random, model_type: str, *flags: str, **names: str) -> Fields:
    """A decoder without groups of heads, some of its fields under other names."""
    fields = decoder(rng, model_type, *flags) | {"num_attention_heads": rng.choice((1, 2, 3))}
    fields |= {"hidden_size": fields["num_attention_heads"] * 2 * odd(rng, 7)} | NO_TOKENS
    fields.pop("num_key_value_heads")
    return {names.get(name, name): value for name, value in fields.items()}


def opt(rng: Random) -> Fields:
    flags = ("do_layer_norm_before", "enable_bias", "layer_norm_elementwise_affine")
    return plain(rng, "opt", *flags, intermediate_size="ffn_dim")


def gpt_bigcode(rng: Random) -> Fields:
    """With one key for all heads, or with attention to an encoder, or neither."""
    fields = plain(rng, "gpt_bigcode", "multi_query", intermediate_size="n_inner", **GPT2_NAMES)
    return fields | {"add_cross_attention": not fields["multi_query"] and rng.random() < 0.5}


def gpt_neo(rng: Random) -> Fields:
    fields = plain(rng, "gpt_neo", num_hidden_layers="num_layers", num_attention_heads="num_heads")
    kinds = [[["global", "local"], 2], [["local"], 1]]
    return fields | {"num_layers": 5, "attention_types": kinds, "window_size": 5}


def codegen(rng: Random) -> Fields:
    """CodeGen cuts its heads into four parts."""
    fields = plain(rng, "codegen", intermediate_size="n_inner", **GPT2_NAMES)
    return fields | {"n_head": 4, "n_embd": 4 * 2 * odd(rng, 7), "rotary_dim": 2}


def biogpt(rng: Random) -> Fields:
    return plain(rng, "biogpt", "scale_embedding")


def xglm(rng: Random) -> Fields:
    names = {"hidden_size": "d_model", "num_attention_heads": "attention_heads"}
    names |= {"num_hidden_layers": "num_layers", "intermediate_size": "ffn_dim"}
    return plain(rng, "xglm", "scale_embedding", "add_cross_attention", **names)


def turned(model_type: str, *flags: str):
    """A family of which a part of each head turns."""

    def draw(rng: Random) -> Fields:
        fields = decoder(rng, model_type, *flags) | {"partial_rotary_factor": 0.5} | NO_TOKENS
        return fields | {"hidden_size": fields["num_attention_heads"] * 4 * odd(rng, 7)}

    return draw


KIN = {
    "biogpt": biogpt,
    "codegen": codegen,
    "gpt_bigcode": gpt_bigcode,
    "gpt_neo": gpt_neo,
    "opt": opt,
    "phi": turned("phi", "qk_layernorm"),
    "stablelm": turned("stablelm", "qk_layernorm", "use_parallel_residual", "use_qkv_bias"),
    "xglm": xglm,
}


def qwen_vl(model_type: str, name: str, *flags: str, **more: object):
    """The language part of a Qwen that sees."""

    def draw(rng: Random) -> Fields:
        fields = decoder(rng, model_type, *flags) | NO_TOKENS | more | {"architectures": [name]}
        fields["hidden_size"] *= 4
        kind = {"rope_type": "default"} if "qwen3" in model_type else {"type": "mrope"}
        section = kind | {"mrope_section": [1, 1, 2]}
        return fields | {"rope_scaling": section, "rope_theta": 5e3}

    return draw


WINDOWS = {"sliding_window": 5, "max_window_layers": 1}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 7, "mlp_only_layers": [1]}
SEEING = {
    "qwen2_5_vl_text": qwen_vl("qwen2_5_vl_text", "Qwen2_5_VLTextModel", "use_sliding_window", **WINDOWS),
    "qwen2_vl_text": qwen_vl("qwen2_vl_text", "Qwen2VLTextModel", "use_sliding_window", **WINDOWS),
    "qwen3_vl_moe_text": qwen_vl("qwen3_vl_moe_text", "Qwen3VLMoeTextModel", "attention_bias", **EXPERTS),
    "qwen3_vl_text": qwen_vl("qwen3_vl_text", "Qwen3VLTextModel", "attention_bias", head_dim=10),
}
