"""Models which carry a state instead of a cache, and Jamba, which mixes both. Each a
`<Family>ForCausalLM`.

mamba, mamba2, rwkv, jamba.
"""

from dataclasses import replace

from course_lib.specs.families.llama import (
    causal_lm,
    decoder_layer,
    gated_ffn,
    head_dim_of,
    kv_heads_of,
)
from course_lib.specs.families.moe import narrow_experts
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    NormSpec,
    RWKVSpec,
    SSMSpec,
)


def mamba(config: Config) -> ModelSpec:
    """Mamba blocks alone: no attention, no FFN, no positions."""
    inner = config.count("expand", 2) * config.count("hidden_size")
    mixer = SSMSpec(
        kind="mamba1",
        d_inner=config.count("intermediate_size", inner),
        dt_rank=step_rank(config, "time_step_rank"),
        **state_sizes(config),
    )
    return state_lm(config, mixer, tied=True)


def mamba2(config: Config) -> ModelSpec:
    """Mamba-2 blocks alone: heads of a shared decay, and a gated norm before the way
    out.
    """
    inner = config.count("expand", 2) * config.count("hidden_size")
    heads, head_dim = config.count("num_heads"), config.count("head_dim")
    if heads * head_dim != inner:
        raise ValueError(
            f"config field 'num_heads': {heads} heads of {head_dim} do not make {inner}"
        )
    if limited(config):
        raise ValueError(
            "config field 'time_step_limit': only 0 to infinity is supported"
        )
    groups = config.count("n_groups")
    if heads % groups:
        raise ValueError(
            f"config field 'n_groups': {groups} is no divisor of num_heads, {heads}"
        )
    sizes = {
        "d_inner": inner,
        "heads": heads,
        "head_dim": head_dim,
        "groups": groups,
    }
    return state_lm(
        config, SSMSpec(kind="mamba2", **sizes, **state_sizes(config)), tied=False
    )


def rwkv(config: Config) -> ModelSpec:
    """RWKV-4: time mixing and channel mixing, each on a LayerNorm; one more norm on the
    embedding. The last norm's eps is 1e-5, whatever the config says of the others. What
    `rescale_every` halves and doubles again (for float16) is left out.
    """
    width = config.count("hidden_size")
    norm = NormSpec(
        kind="layernorm", eps=config.number("layer_norm_epsilon", 1e-5), bias=True
    )
    ffn = FFNSpec(
        kind="channel_mix",
        activation="squared_relu",
        width=config.count("intermediate_size", 4 * width),
    )
    layer = LayerSpec(
        mixer=RWKVSpec(width=config.count("attention_hidden_size", width)),
        ffn=ffn,
        norm=norm,
    )
    return ModelSpec(
        name="rwkv",
        family="rwkv",
        width=width,
        vocab=config.count("vocab_size"),
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", False), norm=norm
        ),
        final_norm=replace(norm, eps=1e-5),
        context=config.count("context_length", 1024),
    )


def jamba(config: Config) -> ModelSpec:
    """One attention layer to seven of Mamba, without positions; experts in every other
    layer.
    """
    mixers = {True: plain_attention(config), False: jamba_mixer(config)}
    moe = narrow_experts(config, "intermediate_size", renormalise=False)
    ffns = {
        True: moe if moe.experts > 1 else gated_ffn(config),
        False: gated_ffn(config),
    }
    attends, sparse = period(config, "attn_layer"), period(config, "expert_layer")
    layers = (
        decoder_layer(config, mixers[a], ffns[s])
        for a, s in zip(attends, sparse, strict=True)
    )
    return causal_lm(config, tuple(layers))


def limited(config: Config) -> bool:
    """Return whether step sizes are kept from or below some number; infinity may be
    written in several ways.
    """
    limits = config.get("time_step_limit", [])
    given = limits if isinstance(limits, list | tuple) else []
    return any(isinstance(one, int | float) and 0 < one < 1e300 for one in given)


def state_sizes(config: Config) -> dict:
    """Return the fields which both Mambas spell alike."""
    return {
        "state": config.count("state_size"),
        "conv": config.count("conv_kernel", 4),
        "bias": config.flag("use_bias", False),
        "conv_bias": config.flag("use_conv_bias", True),
    }


def step_rank(config: Config, field: str) -> int:
    """Return the rank of the step size, which "auto" sets to a sixteenth of the width,
    rounded up.
    """
    if config.get(field, "auto") == "auto":
        return -(-config.count("hidden_size") // 16)
    return config.count(field)


def state_lm(config: Config, mixer: SSMSpec, *, tied: bool) -> ModelSpec:
    """Return a stack of one mixer; `tied` is the family's default."""
    config.word("hidden_act", "silu", allowed=("silu", "swish"))
    norm = NormSpec(kind="rmsnorm", eps=config.number("layer_norm_epsilon", 1e-5))
    embeddings = EmbeddingSpec(tied=config.flag("tie_word_embeddings", tied))
    layers = (LayerSpec(mixer=mixer, norm=norm),) * config.layers()
    return causal_lm(config, layers, embeddings=embeddings)


def plain_attention(config: Config) -> Mixer:
    """Return Jamba's attention: grouped, and with no positions of its own."""
    heads, width = config.count("num_attention_heads"), head_dim_of(config)
    return AttentionSpec(
        heads=heads, kv_heads=kv_heads_of(config), head_dim=width, value_dim=width
    )


def jamba_mixer(config: Config) -> Mixer:
    """Return Jamba's Mamba block, which norms the step, B and C."""
    norm = NormSpec(kind="rmsnorm", eps=config.number("rms_norm_eps", 1e-6))
    return SSMSpec(
        kind="mamba1",
        d_inner=config.count("mamba_expand", 2) * config.count("hidden_size"),
        state=config.count("mamba_d_state", 16),
        conv=config.count("mamba_d_conv", 4),
        dt_rank=step_rank(config, "mamba_dt_rank"),
        bias=config.flag("mamba_proj_bias", False),
        conv_bias=config.flag("mamba_conv_bias", True),
        inner_norm=norm,
    )


def period(config: Config, field: str) -> list[bool]:
    """Return which layers i have i mod period = offset."""
    every, offset = (
        config.count(f"{field}_period"),
        config.count(f"{field}_offset", least=0),
    )
    if offset >= every:
        raise ValueError(
            f"config field '{field}_offset': {offset} is not below '{field}_period', "
            f"{every}"
        )
    return [i % every == offset for i in range(config.layers())]
