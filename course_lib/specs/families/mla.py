"""Decoders with multi-head latent attention and fine-grained experts: DeepSeek-V2 and
V3.

Each stands for `DeepseekV2ForCausalLM` or `DeepseekV3ForCausalLM` of `transformers`:
without the multi-token-prediction module which V3's checkpoint carries beside the
model.
"""

from dataclasses import replace
from math import log

from course_lib.specs.families.llama import causal_lm, decoder_layer, gated_ffn
from course_lib.specs.families.moe import fine_grained_experts
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    LatentAttentionSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import rope_spec


def deepseek_v2(config: Config) -> ModelSpec:
    """Experts picked by softmax, at most from the best `topk_group` of `n_group`
    groups.
    """
    method = config.word(
        "topk_method", "greedy", allowed=("greedy", "group_limited_greedy")
    )
    moe = fine_grained_experts(config, scoring="softmax", renormalise=False)
    if method == "greedy":
        moe = replace(moe, groups=1, top_groups=1)
    else:
        moe = replace(moe, group_score="max")
    return latent_lm(config, moe, pairing="interleaved", dense=0)


def deepseek_v3(config: Config) -> ModelSpec:
    """Experts picked by sigmoid plus a balancing bias, and their weights
    renormalised.
    """
    moe = fine_grained_experts(
        config,
        groups=(8, 4),
        scale=2.5,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        selection_bias=True,
    )
    interleaved = config.flag("rope_interleave", True)
    return latent_lm(
        config, moe, pairing="interleaved" if interleaved else "rotate_half", dense=3
    )


def latent_lm(config: Config, moe: MoESpec, *, pairing: str, dense: int) -> ModelSpec:
    """Return the model: `first_k_dense_replace` dense layers (else `dense`), and
    experts in the rest.
    """
    dense = config.count("first_k_dense_replace", dense, least=0)
    mixer = latent_attention(config, pairing)
    ffns = (gated_ffn(config) if i < dense else moe for i in range(config.layers()))
    return causal_lm(config, tuple(decoder_layer(config, mixer, ffn) for ffn in ffns))


def latent_attention(
    config: Config, pairing: str, *, q_rank: int = 1536
) -> LatentAttentionSpec:
    """Return MLA. A null `q_lora_rank` means that queries are not compressed; `q_rank`
    is the family's default.
    """
    nope_dim, rope_dim = (
        config.count("qk_nope_head_dim"),
        config.count("qk_rope_head_dim"),
    )
    rope = rope_spec(config, rope_dim, pairing=pairing)
    return LatentAttentionSpec(
        heads=config.count("num_attention_heads"),
        q_rank=config.count("q_lora_rank", config.unless_null("q_lora_rank", q_rank)),
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
    """Return YaRN's factor on the query and on the key: 0.1 mscale ln(factor) + 1, or 1
    without scaling.
    """
    options = Config({**(rope.scaling or {}), "model_type": "yarn"})
    mscale, factor = (
        options.number("mscale_all_dim", 0.0),
        options.number("factor", 1.0),
    )
    return 1.0 if factor <= 1 else 0.1 * mscale * log(factor) + 1.0
