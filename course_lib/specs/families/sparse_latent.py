"""Kin of DeepSeek-V3: multi-head latent attention with a sparse indexer, without
experts, or in turn with Kimi Delta Attention. Each stands for `<Family>ForCausalLM` of
`transformers`, without multi-token-prediction layers.

axk1, bailing_hybrid, deepseek_v32, glm4_moe_lite, glm_moe_dsa, kimi_linear, minicpm3,
youtu; kimi_k2 is read as deepseek_v3.
"""

from dataclasses import replace

from course_lib.specs.families.llama import causal_lm, decoder_layer, gated_ffn
from course_lib.specs.families.mla import latent_attention
from course_lib.specs.families.moe import fine_grained_experts
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    EmbeddingSpec,
    FFNSpec,
    IndexerSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    SideSpec,
)

MLPS = ("dense", "sparse")
LINEAR = ("linear_attention", "full_attention")


def deepseek_v32(config: Config) -> ModelSpec:
    """DeepSeek-V3 whose queries attend to the keys that an indexer picks."""
    mixer = replace(latent_attention(config, "interleaved"), indexer=indexer(config))
    moe = deep_experts(config, groups=(8, 4), scale=2.5)
    return latent_lm(config, [mixer] * config.layers(), moe, dense=3)


def glm_moe_dsa(config: Config) -> ModelSpec:
    """GLM-5: the same with wider heads; a layer may take the pick of an earlier one."""
    mixer = latent_attention(config, "interleaved")
    index = replace(indexer(config), pairing="interleaved")
    mixers = [
        replace(mixer, indexer=replace(index, own=own)) for own in own_picks(config)
    ]
    moe = deep_experts(config, groups=(1, 1), scale=2.5)
    return latent_lm(config, mixers, moe, dense=3, eps=1e-5)


def own_picks(config: Config) -> list[bool]:
    """Return whether each layer has an indexer of its own: listed, or all, or the first
    ones and then every `index_topk_freq`-th.
    """
    depth = config.layers()
    listed = config.words("indexer_types", depth, allowed=("full", "shared"))
    if listed is not None:
        return [one == "full" for one in listed]
    if config.get("index_topk_pattern") is not None:
        raise ValueError("config field 'index_topk_pattern': is not supported")
    every = config.count("index_topk_freq", 1)
    skip = config.count("index_skip_topk_offset", 2, least=0)
    return [max(i - skip + 1, 0) % every == 0 for i in range(depth)]


def indexer(config: Config) -> IndexerSpec:
    """Return the heads that score the keys, and how many keys they pick."""
    if config.flag("mlp_bias", False):
        raise ValueError("config field 'mlp_bias': true is not supported, only false")
    if config.count("q_lora_rank", None) is None:
        raise ValueError("config field 'q_lora_rank': an indexer needs it")
    return IndexerSpec(
        heads=config.count("index_n_heads"),
        head_dim=config.count("index_head_dim"),
        top_k=config.count("index_topk"),
    )


def glm4_moe_lite(config: Config) -> ModelSpec:
    """GLM-4.7-Flash: DeepSeek-V3's layers, wide value heads."""
    mixer = latent_attention(config, pairing_of(config), q_rank=768)
    moe = deep_experts(config, groups=(1, 1), scale=1.8)
    return latent_lm(config, [mixer] * config.layers(), moe, dense=1, eps=1e-5)


def axk1(config: Config) -> ModelSpec:
    """A.X K1: DeepSeek-V3 with one more norm behind the experts."""
    mixer = latent_attention(config, pairing_of(config))
    moe = deep_experts(config, groups=(8, 4), scale=2.5)
    model = latent_lm(config, [mixer] * config.layers(), moe, dense=1)
    norm = SideSpec(
        words="a norm behind the experts", of="ffn", vectors=config.count("hidden_size")
    )
    layers = (
        replace(one, sides=(norm,)) if isinstance(one.ffn, MoESpec) else one
        for one in model.layers
    )
    return replace(model, layers=tuple(layers))


def youtu(config: Config) -> ModelSpec:
    """Youtu-LLM: DeepSeek-V3's attention, one FFN in each layer."""
    mixer = latent_attention(config, pairing_of(config))
    return latent_lm(config, [mixer] * config.layers(), None, tied=True)


def minicpm3(config: Config) -> ModelSpec:
    """MiniCPM3: latent attention, and factors on words, parts and logits."""
    width, depth = config.count("hidden_size"), config.layers()
    mixer = latent_attention(config, "rotate_half", q_rank=768)
    factor = config.number("scale_depth", 1.4, above=0) / depth**0.5
    layer = replace(decoder_layer(config, mixer, eps=1e-5), residual_scale=factor)
    embeddings = EmbeddingSpec(
        tied=config.flag("tie_word_embeddings", True),
        scale=config.number("scale_emb", 12.0),
    )
    return causal_lm(
        config,
        (layer,) * depth,
        embeddings=embeddings,
        logit_scale=config.count("dim_model_base", 256) / width,
    )


def kimi_linear(config: Config) -> ModelSpec:
    """Three layers of Kimi Delta Attention to one of latent attention without
    positions; DeepSeek's experts.
    """
    kinds = kimi_kinds(config)
    given = config.table("linear_attn_config")
    inner = Config({**given, "model_type": config.model_type}) if given else config
    names = ("num_heads", "head_dim", "short_conv_kernel_size")
    if not given:
        names = ("linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim")
    width = inner.count(names[1])
    delta = KimiDeltaSpec(
        heads=inner.count(names[0]),
        head_dim=width,
        conv=inner.count(names[2], 4),
        decay_rank=width,
        gate_rank=width,
    )
    mixers: dict[str, Mixer] = {
        "linear_attention": delta,
        "full_attention": latent_nope(config),
    }
    moe = kimi_experts(config)
    model = latent_lm(config, [mixers[kind] for kind in kinds], moe, dense=1, eps=1e-5)
    longest = config.first("model_max_length", "max_position_embeddings")
    context = config.count(longest, None)
    return replace(model, embeddings=EmbeddingSpec(), context=context)


def latent_nope(config: Config) -> LatentAttentionSpec:
    """Return latent attention in which nothing turns."""
    mixer = latent_attention(config, "rotate_half")
    return replace(mixer, q_rank=config.count("q_lora_rank", None), rope=None)


def kimi_kinds(config: Config) -> tuple[str, ...]:
    """Return each layer's kind: listed, or by the numbers, from 1 on, of the layers
    with attention.
    """
    depth = config.layers()
    listed = config.words("layer_types", depth, allowed=LINEAR)
    full = config.table("linear_attn_config").get("full_attn_layers")
    if listed is None and full is None:
        raise ValueError(
            f"config of model_type {config.model_type!r}: the field 'layer_types' is "
            "missing"
        )
    return listed or tuple(LINEAR[i + 1 in full] for i in range(depth))


def kimi_experts(config: Config) -> MoESpec:
    """Return the experts under Kimi's names."""
    width, shared = (
        config.count("moe_intermediate_size"),
        config.count("num_shared_experts"),
    )
    return MoESpec(
        experts=config.count("num_experts"),
        top_k=config.count(
            config.first("num_experts_per_tok", "num_experts_per_token")
        ),
        expert=FFNSpec(
            kind="glu", activation=config.word("hidden_act", "silu"), width=width
        ),
        shared=shared,
        shared_width=shared * width,
        scoring="sigmoid",
        renormalise=config.flag("moe_renormalize", True),
        scale=config.number("routed_scaling_factor", 2.446),
        groups=config.count("num_expert_group", 1),
        top_groups=config.count("topk_group", 1),
        selection_bias=True,
    )


def pairing_of(config: Config) -> str:
    """Return which coordinates turn together."""
    return "interleaved" if config.flag("rope_interleave", True) else "rotate_half"


def deep_experts(config: Config, *, groups: tuple[int, int], scale: float) -> MoESpec:
    """Return DeepSeek-V3's experts with a family's defaults."""
    return fine_grained_experts(
        config,
        groups=groups,
        scale=scale,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        selection_bias=True,
    )


def latent_lm(
    config: Config,
    mixers: list[Mixer],
    moe: MoESpec | None,
    *,
    dense: int = 0,
    eps: float = 1e-6,
    tied: bool = False,
) -> ModelSpec:
    """Return the model: dense layers by `mlp_layer_types`, or as many first ones as
    `first_k_dense_replace` (else `dense`) says; without `moe` all are dense.
    """
    depth = len(mixers)
    listed = config.words("mlp_layer_types", depth, allowed=MLPS)
    first = dense
    if config.model_type != "glm4_moe_lite":  # which reads the list alone
        first = config.count("first_k_dense_replace", dense, least=0)
    plain = [i < first for i in range(depth)]
    if listed is not None:
        plain = [one == "dense" for one in listed]
    layers: tuple[LayerSpec, ...] = tuple(
        decoder_layer(
            config, mixer, gated_ffn(config) if flat or moe is None else moe, eps=eps
        )
        for mixer, flat in zip(mixers, plain, strict=True)
    )
    embeddings = EmbeddingSpec(tied=config.flag("tie_word_embeddings", tied))
    return causal_lm(config, layers, embeddings=embeddings)
