"""Small odd configs of the families that differ from LLaMA by settings, each drawn from a random stream."""

from collections.abc import Callable
from random import Random

from tests.parity.tiny_decoders import Fields, decoder, odd

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
    "ministral3": of_line("ministral3", **HEAD, sliding_window=lambda rng: rng.choice((None, 5)), **PLAIN),
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
    "phimoe": routed(
        "phimoe",
        *BIAS,
        "lm_head_bias",
        names=LOCAL,
        sliding_window=lambda rng: rng.choice((None, 5)),
        tie_word_embeddings=False,
    ),
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

FAMILIES = LINES | MIXTURES
