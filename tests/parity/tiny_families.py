"""Small odd configs of the families that differ from LLaMA by settings, each drawn from a random stream."""

from collections.abc import Callable
from random import Random

from tests.parity import tiny_decoders
from tests.parity.tiny_decoders import Fields, decoder, odd
from tests.parity.tiny_kin import KIN

BIAS = ("attention_bias",)
BOTH = ("attention_bias", "mlp_bias")


def of_line(model_type: str, *flags: str, **more: object) -> Callable[[Random], Fields]:
    """A family of the line with these flags drawn; a callable in `more` is drawn too."""

    def draw(rng: Random) -> Fields:
        fields = decoder(rng, model_type, *flags) | {"pad_token_id": None}
        fields |= {name: one(rng) if callable(one) else one for name, one in more.items()}
        if fields.pop("even_heads", False):  # heads of which theirs demands that they make up the width
            fields["head_dim"] = fields["hidden_size"] // fields["num_attention_heads"]
        return fields

    return draw


def own_head(rng: Random) -> int:
    """A width of a head that the width does not follow from."""
    return 2 * odd(rng, 9)


def eight(rng: Random) -> int:
    """A width of a head of which a quarter is even."""
    return rng.choice((8, 16, 24))


HEAD = {"head_dim": own_head}
PLAIN = {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}
WINDOW = {"sliding_window": 5}
GRANITE = {
    "residual_multiplier": 0.22,
    "embedding_multiplier": 12.0,
    "logits_scaling": 8.0,
    "attention_multiplier": 0.0625,
}

NARROW = ("num_experts", "num_experts_per_tok", "moe_intermediate_size")

LINES = {
    "apertus": of_line("apertus", *BIAS, **PLAIN),
    "arcee": of_line("arcee", *BOTH, **HEAD),
    "cohere2": of_line("cohere2", *BIAS, **WINDOW, logit_scale=0.25),
    "cwm": of_line("cwm", "mlp_bias", **HEAD, **WINDOW, **PLAIN),
    "ernie4_5": of_line("ernie4_5", "use_bias", **HEAD),
    "exaone4": of_line("exaone4", **WINDOW, sliding_window_pattern=3),
    "granite": of_line("granite", *BOTH, **GRANITE),
    "granite_swa": of_line("granite_swa", *BOTH, **GRANITE, **WINDOW),
    "helium": of_line("helium", *BOTH, even_heads=True),
    "hunyuan_v1_dense": of_line("hunyuan_v1_dense", *BIAS, **HEAD),
    "internlm3": of_line("internlm3", qkv_bias=False, bias=False, **HEAD),
    "iquestcoder": of_line("iquestcoder", *BOTH, **HEAD),
    "jais2": of_line("jais2", *BOTH, **HEAD),
    "ministral": of_line("ministral", **HEAD, **WINDOW),
    "ministral3": of_line(
        "ministral3",
        **HEAD,
        sliding_window=lambda rng: rng.choice((None, 5)),
        rope_parameters=PLAIN["rope_parameters"]
        | {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 32},
    ),
    "nemotron": of_line("nemotron", *BOTH, head_dim=eight),
    "olmo": of_line("olmo", *BIAS, clip_qkv=lambda rng: rng.choice((None, 8.0))),
    "olmo2": of_line("olmo2", *BIAS),
    "olmo3": of_line("olmo3", *BIAS, **WINDOW),
    "phi3": of_line("phi3", sliding_window=lambda rng: rng.choice((None, 5))),
    "seed_oss": of_line("seed_oss", *BOTH, "attention_out_bias", **HEAD),
    "starcoder2": of_line("starcoder2", "use_bias", sliding_window=lambda rng: rng.choice((None, 5))),
}


def routed(
    model_type: str, *flags: str, names: tuple[str, str, str] = NARROW, **more: object
) -> Callable[[Random], Fields]:
    """A family with experts, whose number, pick and width stand under these names."""

    def draw(rng: Random) -> Fields:
        number = 2 * rng.randint(2, 3)
        sizes = {names[0]: number, names[1]: rng.randint(1, number // 2), names[2]: odd(rng, 31)}
        return of_line(model_type, *flags, **more)(rng) | sizes

    return draw


def count_of(rng: Random) -> int:
    return rng.randint(1, 3)


def parts_of(rng: Random) -> int:
    """A width of a part that may be missing."""
    return rng.choice((0, odd(rng)))


LOCAL = ("num_local_experts", "num_experts_per_tok", "intermediate_size")
LOCAL_NARROW = ("num_local_experts", "num_experts_per_tok", "moe_intermediate_size")
DEEP = {
    "names": ("n_routed_experts", "num_experts_per_tok", "moe_intermediate_size"),
    "n_shared_experts": count_of,
    "routed_scaling_factor": 1.5,
    "n_group": lambda rng: rng.choice((1, 2)),
}
SHARED = {"shared_expert_intermediate_size": odd}

PHIMOE = routed(
    "phimoe",
    *BIAS,
    "lm_head_bias",
    names=LOCAL,
    sliding_window=lambda rng: rng.choice((None, 5)),
    tie_word_embeddings=False,
)

MIXTURES = {
    "afmoe": routed(
        "afmoe",
        *BIAS,
        "mup_enabled",
        **HEAD,
        **WINDOW,
        num_dense_layers=count_of,
        num_shared_experts=count_of,
        global_attn_every_n_layers=3,
    ),
    "aria_text": routed(
        "aria_text",
        *BIAS,
        names=("moe_num_experts", "moe_topk", "intermediate_size"),
        moe_num_shared_experts=count_of,
    ),
    "dots1": routed("dots1", *BIAS, **DEEP, first_k_dense_replace=count_of, max_window_layers=2, **WINDOW),
    "ernie4_5_moe": routed(
        "ernie4_5_moe",
        names=("moe_num_experts", "moe_k", "moe_intermediate_size"),
        moe_num_shared_experts=count_of,
        moe_layer_interval=lambda rng: rng.choice((1, 2)),
        moe_layer_end_index=-1,
    ),
    "exaone_moe": routed(
        "exaone_moe",
        first_k_dense_replace=count_of,
        num_shared_experts=count_of,
        sliding_window_pattern=3,
        **WINDOW,
        **HEAD,
    ),
    "flex_olmo": routed(
        "flex_olmo", *BIAS, names=("num_experts", "num_experts_per_tok", "intermediate_size")
    ),
    "flint": routed("flint", *BIAS, **HEAD, **WINDOW, **SHARED, mlp_only_layers=[1]),
    "granitemoe": routed("granitemoe", *BIAS, names=LOCAL, **GRANITE),
    "granitemoe_swa": routed(
        "granitemoe_swa", *BIAS, names=LOCAL, **GRANITE, **WINDOW, shared_intermediate_size=parts_of
    ),
    "granitemoeshared": routed(
        "granitemoeshared", *BIAS, names=LOCAL, **GRANITE, shared_intermediate_size=parts_of
    ),
    "hunyuan_v1_moe": routed(
        "hunyuan_v1_moe", *BIAS, names=("num_experts", "moe_topk", "intermediate_size"), **HEAD
    ),
    "hy_v3": routed("hy_v3", *BIAS, **HEAD, num_shared_experts=count_of),
    "kolibri1": routed("kolibri1", names=LOCAL_NARROW, **HEAD, **WINDOW, **SHARED),
    "mellum": routed(
        "mellum",
        *BIAS,
        names=LOCAL_NARROW,
        **HEAD,
        **WINDOW,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    ),
    "minimax_m2": routed("minimax_m2", names=LOCAL, **HEAD),
    "phimoe": lambda rng: PHIMOE(rng) | {"num_experts_per_tok": 2},  # whose router always picks two
    "qwen2_moe": routed(
        "qwen2_moe",
        "qkv_bias",
        "use_sliding_window",
        max_window_layers=2,
        **WINDOW,
        **SHARED,
        mlp_only_layers=[1],
        decoder_sparse_step=lambda rng: rng.choice((1, 2)),
    ),
    "solar_open": routed("solar_open", *BIAS, **DEEP, **HEAD),
}


def listed(words: tuple[str, ...]) -> Callable[[Random, Fields], list[str]]:
    """A kind for each layer: each kind once, then any."""

    def draw(rng: Random, fields: Fields) -> list[str]:
        more = fields["num_hidden_layers"] - len(words)
        return [*words, *(rng.choice(words) for _ in range(more))][: fields["num_hidden_layers"]]

    return draw


def hybrid(
    model_type: str, *flags: str, kinds: tuple[str, ...] = (), field: str = "layer_types", **more: object
):
    """A hybrid whose kinds of layers are listed."""

    def draw(rng: Random) -> Fields:
        fields = of_line(model_type, *flags, **more)(rng)
        return fields | ({field: listed(kinds)(rng, fields)} if kinds else {})

    return draw


def mamba2_names(rng: Random, fields: Fields) -> Fields:
    """Mamba-2 whose heads make up twice the width."""
    heads = fields["num_attention_heads"]
    return fields | {
        "mamba_n_heads": heads,
        "mamba_d_head": 2 * fields["hidden_size"] // heads,
        "mamba_d_state": odd(rng),
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_conv_bias": rng.random() < 0.5,
    }


LIN = ("linear_attention", "full_attention")
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": odd,
    "linear_value_head_dim": odd,
    "linear_conv_kernel_dim": 4,
}


def bamba(rng: Random) -> Fields:
    fields = mamba2_names(rng, of_line("bamba", "attention_bias", "mlp_bias", "mamba_proj_bias")(rng))
    return (
        fields
        | {"hidden_size": 4 * fields["hidden_size"], "attn_layer_indices": [1]}
        | {"mamba_d_head": 8 * fields["hidden_size"] // fields["mamba_n_heads"]}
    )


def falcon_h1(rng: Random) -> Fields:
    fields = mamba2_names(
        rng, of_line("falcon_h1", "attention_bias", "mamba_rms_norm", head_dim=own_head)(rng)
    )
    return fields | {"mamba_d_ssm": 2 * fields["hidden_size"], "key_multiplier": 0.5}


def granitemoehybrid(rng: Random) -> Fields:
    fields = mamba2_names(
        rng, hybrid("granitemoehybrid", "attention_bias", "mamba_proj_bias", kinds=LIN, **GRANITE)(rng)
    )
    fields |= {"shared_intermediate_size": odd(rng), "num_local_experts": rng.choice((0, 4))}
    return fields | {"num_experts_per_tok": 2, "position_embedding_type": rng.choice((None, "rope", "nope"))}


def falcon_mamba(rng: Random) -> Fields:
    flags = {flag: rng.random() < 0.5 for flag in ("use_bias", "use_conv_bias", "tie_word_embeddings")}
    sizes = {
        "hidden_size": odd(rng, 31),
        "expand": rng.randint(1, 3),
        "state_size": odd(rng),
        "conv_kernel": 4,
    }
    ends = {
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": odd(rng, 31),
        "time_step_rank": rng.choice(("auto", odd(rng))),
    }
    return {"model_type": "falcon_mamba", **sizes, **ends, **flags}


def nemotron_h(rng: Random) -> Fields:
    fields = of_line(
        "nemotron_h", use_bias=False, use_conv_bias=True, head_dim=own_head, tie_word_embeddings=False
    )(rng)
    kinds = [
        "linear_attention",
        "moe",
        "full_attention",
        "linear_attention",
        "mlp",
        *rng.choice(([], ["full_attention", "mlp"])),
    ]
    fields |= {
        "layers_block_type": kinds,
        "ssm_state_size": odd(rng),
        "mamba_num_heads": 2,
        "mamba_head_dim": odd(rng),
    }
    fields |= {
        "n_groups": rng.choice((1, 2)),
        "conv_kernel": 4,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
    }
    fields |= {
        "moe_intermediate_size": odd(rng),
        "moe_shared_expert_intermediate_size": odd(rng),
        "moe_latent_size": rng.choice((None, odd(rng))),
    }
    fields.pop("num_hidden_layers")
    return fields


def recurrent_gemma(rng: Random) -> Fields:
    fields = of_line("recurrent_gemma", "attention_bias")(rng)
    heads = fields["num_attention_heads"]
    return fields | {
        "head_dim": fields["hidden_size"] // heads,
        "lru_width": fields["hidden_size"],
        "num_hidden_layers": 4,
        "attention_window_size": 5,
        "tie_word_embeddings": True,
        "intermediate_size": 2 * odd(rng, 31),
    }


def latent(model_type: str, *flags: str, deep: bool = True, **more: object):
    """Kin of DeepSeek-V3."""

    def draw(rng: Random) -> Fields:
        fields = tiny_decoders.latent(rng, model_type) if deep else {}
        fields |= of_line(model_type, *flags, **more)(rng) if not deep else {}
        fields |= {name: one(rng) if callable(one) else one for name, one in more.items()}
        rank = odd(rng)
        own = {
            "q_lora_rank": rank,
            "kv_lora_rank": odd(rng),
            "qk_nope_head_dim": odd(rng),
            "qk_rope_head_dim": 2 * odd(rng, 5),
            "v_head_dim": odd(rng),
        }
        fields |= own | {"num_key_value_heads": fields["num_attention_heads"], "pad_token_id": None}
        return fields | {flag: rng.random() < 0.5 for flag in flags}

    return draw


INDEX = {"index_n_heads": count_of, "index_head_dim": 20, "index_topk": 5}


def kimi_linear(rng: Random) -> Fields:
    fields = latent("kimi_linear", "attention_bias", deep=False)(rng)
    fields |= {
        "q_lora_rank": None,
        "layer_types": listed(LIN)(rng, fields),
        "num_experts": 4,
        "num_experts_per_token": 2,
        "num_shared_experts": 1,
    }
    fields |= {
        "moe_intermediate_size": odd(rng),
        "linear_num_heads": 3,
        "linear_head_dim": odd(rng),
        "linear_conv_kernel_dim": 4,
    }
    kinds = ["dense", *["sparse"] * (fields["num_hidden_layers"] - 1)]
    fields |= {"model_max_length": fields.pop("max_position_embeddings"), "tie_word_embeddings": False}
    return fields | {"mlp_layer_types": kinds, "num_expert_group": 1, "topk_group": 1}


HYBRIDS = {
    "bamba": bamba,
    "falcon_h1": falcon_h1,
    "falcon_mamba": falcon_mamba,
    "granitemoehybrid": granitemoehybrid,
    "lfm2": hybrid(
        "lfm2",
        "conv_bias",
        "block_auto_adjust_ff_dim",
        kinds=("conv", "full_attention"),
        block_multiple_of=7,
        conv_L_cache=3,
        norm_eps=1e-5,
    ),
    "lfm2_moe": hybrid(
        "lfm2_moe",
        "conv_bias",
        kinds=("conv", "full_attention"),
        num_dense_layers=1,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=odd,
        conv_L_cache=3,
        norm_eps=1e-5,
    ),
    "minimax": hybrid("minimax", kinds=LIN, num_local_experts=4, num_experts_per_tok=2, head_dim=own_head),
    "nemotron_h": nemotron_h,
    "olmo_hybrid": hybrid("olmo_hybrid", "attention_bias", kinds=LIN, **DELTA, **PLAIN),
    "recurrent_gemma": recurrent_gemma,
}
LATENT = {
    "axk1": latent("axk1"),
    "deepseek_v32": latent("deepseek_v32", **INDEX),
    "glm4_moe_lite": latent("glm4_moe_lite"),
    "glm_moe_dsa": latent("glm_moe_dsa", **INDEX, index_topk_freq=2),
    "kimi_linear": kimi_linear,
    "minicpm3": latent("minicpm3", "attention_bias", deep=False, scale_emb=3.0),
    "youtu": latent("youtu", "attention_bias", deep=False),
}


NESTED = {
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 500.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    }
}


def gemma4(rng: Random) -> Fields:
    """Gemma 4 with a small embedding a layer, experts, K = V or borrowed keys, or none of them."""
    more = {
        "hidden_size_per_layer_input": odd,
        "vocab_size_per_layer_input": 40,
        "global_head_dim": own_head,
    }
    fields = of_line(
        "gemma4_text",
        "attention_bias",
        "attention_k_eq_v",
        "enable_moe_block",
        "use_double_wide_mlp",
        **HEAD,
        **WINDOW,
        **NESTED,
        **more,
    )(rng)
    kinds = ["sliding_attention", "full_attention"] * 3
    fields |= {"num_hidden_layers": 6, "layer_types": kinds, "num_kv_shared_layers": rng.choice((0, 3))}
    fields |= {
        "num_experts": 4,
        "top_k_experts": 2,
        "global_head_dim": 2 * fields["head_dim"],
        "moe_intermediate_size": odd(rng),
        "tie_word_embeddings": True,
    }
    return fields | ({"enable_moe_block": False} if fields["use_double_wide_mlp"] else {})


def gemma4_unified(rng: Random) -> Fields:
    fields = of_line(
        "gemma4_unified_text",
        "attention_bias",
        "attention_k_eq_v",
        **HEAD,
        **WINDOW,
        **NESTED,
        global_head_dim=own_head,
    )(rng)
    return fields | {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "tie_word_embeddings": True,
    }


def dbrx(rng: Random) -> Fields:
    """DBRX, whose attention and experts have configs of their own."""
    groups = rng.choice((1, 2))
    heads, experts = groups * rng.randint(1, 3), 2 * rng.randint(2, 3)
    attention = {"kv_n_heads": groups, "clip_qkv": rng.choice((None, 1.0)), "rope_theta": 500.0}
    ffn = {"ffn_hidden_size": odd(rng, 31), "moe_num_experts": experts, "moe_top_k": rng.randint(1, experts)}
    return {
        "model_type": "dbrx",
        "d_model": heads * 2 * odd(rng, 7),
        "n_heads": heads,
        "n_layers": rng.randint(1, 4),
        "max_seq_len": 64,
        "vocab_size": rng.randint(11, 40),
        "attn_config": attention,
        "ffn_config": ffn,
    }


LATER = {
    "dbrx": dbrx,
    "gemma": of_line("gemma", "attention_bias", **HEAD, tie_word_embeddings=True),
    "gemma4_text": gemma4,
    "gemma4_unified_text": gemma4_unified,
    "llama4_text": routed(
        "llama4_text",
        "attention_bias",
        "use_qk_norm",
        names=LOCAL,
        **HEAD,
        intermediate_size_mlp=odd,
        attention_chunk_size=5,
        interleave_moe_layer_step=count_of,
    ),
    "mimo_v2_flash": routed(
        "mimo_v2_flash",
        "attention_bias",
        names=DEEP["names"],
        **WINDOW,
        **NESTED,
        head_dim=12,
        v_head_dim=odd,
        n_group=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "vaultgemma": of_line("vaultgemma", "attention_bias", **HEAD, **WINDOW, tie_word_embeddings=True),
}

FAMILIES = LATER | LINES | MIXTURES | HYBRIDS | LATENT | KIN
