"""Decoders with multi-head latent attention and fine-grained experts: DeepSeek-V2 and V3.

Each stands for `DeepseekV2ForCausalLM` or `DeepseekV3ForCausalLM`, without the multi-token-prediction module.
"""

from math import log

from course_lib.specs.families.dense import causal_lm, decoder_layer, gated_ffn
from course_lib.specs.reader import Config
from course_lib.specs.rotary import rope_spec
from course_lib.specs.schema import FFNSpec, LatentAttentionSpec, ModelSpec, MoESpec, NormSpec, RopeSpec


def deepseek_v2(config: Config) -> ModelSpec:
    """Experts picked by softmax, at most from the best `topk_group` of `n_group` groups."""
    limited = config.word("topk_method", "greedy", allowed=("greedy", "group_limited_greedy")) != "greedy"
    moe = fine_grained_experts(config, grouped=limited, scoring="softmax", renormalise=False)
    return latent_lm(config, moe, pairing="interleaved")


def deepseek_v3(config: Config) -> ModelSpec:
    """Experts picked by sigmoid plus a balancing bias, and their weights renormalised."""
    moe = fine_grained_experts(
        config,
        grouped=True,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        selection_bias=True,
    )
    interleaved = config.flag("rope_interleave", True)
    return latent_lm(config, moe, pairing="interleaved" if interleaved else "half")


def latent_lm(config: Config, moe: MoESpec, *, pairing: str) -> ModelSpec:
    """Return the model: `first_k_dense_replace` layers with a dense FFN, experts in the rest."""
    dense, depth = config.count("first_k_dense_replace", 0, least=0), config.layers()
    mixer = latent_attention(config, pairing)
    ffns = [gated_ffn(config) if i < dense else moe for i in range(depth)]
    return causal_lm(config, tuple(decoder_layer(config, mixer, ffn) for ffn in ffns))


def latent_attention(config: Config, pairing: str) -> LatentAttentionSpec:
    """Return MLA. A null `q_lora_rank` means that queries are not compressed."""
    rope_dim, nope_dim = config.count("qk_rope_head_dim"), config.count("qk_nope_head_dim")
    rope = rope_spec(config, rope_dim, pairing=pairing)
    return LatentAttentionSpec(
        heads=config.count("num_attention_heads"),
        q_rank=config.count("q_lora_rank", None),
        kv_rank=config.count("kv_lora_rank"),
        nope_dim=nope_dim,
        rope_dim=rope_dim,
        value_dim=config.count("v_head_dim"),
        rope=rope,
        norm=NormSpec(kind="rmsnorm", eps=1e-6),
        scale=(nope_dim + rope_dim) ** -0.5 * yarn_temperature(rope) ** 2,
        bias=config.flag("attention_bias", False),
    )


def yarn_temperature(rope: RopeSpec) -> float:
    """Return YaRN's factor on query and on key: 0.1 mscale ln(factor) + 1 (1 where nothing is scaled)."""
    options = Config({"model_type": "yarn", **(rope.scaling or {})})
    mscale, factor = options.number("mscale_all_dim", 0.0), options.number("factor", 1.0)
    return 1.0 if factor <= 1 else 0.1 * mscale * log(factor) + 1.0


def fine_grained_experts(config: Config, *, grouped: bool, **routing) -> MoESpec:
    """Return many narrow routed experts and a few shared ones which serve every token."""
    width, shared = config.count("moe_intermediate_size"), config.count("n_shared_experts")
    return MoESpec(
        experts=config.count("n_routed_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=FFNSpec(kind="glu", activation=config.word("hidden_act", "silu"), width=width),
        shared=shared,
        shared_width=shared * width,
        scale=config.number("routed_scaling_factor", 1.0),
        groups=config.count("n_group", 1) if grouped else 1,
        top_groups=config.count("topk_group", 1) if grouped else 1,
        **routing,
    )
