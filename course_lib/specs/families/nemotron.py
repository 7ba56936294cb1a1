"""Nemotron-H and Nemotron 3: Mamba-2, attention, dense parts and experts, each with a
norm of its own before it. Stands for `NemotronHForCausalLM` of `transformers`, without
its multi-token-prediction layers.

A config counts mixers and feed-forward parts as layers of their own. Here a mixer and
the feed-forward part behind it are one layer, as in other families.
"""

from course_lib.specs.families.hybrids import nope_attention
from course_lib.specs.families.llama import causal_lm
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    FFNSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    NormSpec,
    SSMSpec,
)

SIGNS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
OLD = {"mamba": "linear_attention", "attention": "full_attention"}
MIXING = ("linear_attention", "full_attention")


def nemotron_h(config: Config) -> ModelSpec:
    """Mostly Mamba-2, few layers of attention without positions; squared ReLU."""
    kinds = parts_of(config)
    if kinds[0] not in MIXING or any(
        kinds[i] not in MIXING and kinds[i - 1] not in MIXING
        for i in range(1, len(kinds))
    ):
        raise ValueError(
            "config field 'layers_block_type': a feed-forward part that follows no "
            "mixer is not supported"
        )
    norm = NormSpec(kind="rmsnorm", eps=config.number("layer_norm_epsilon", 1e-5))
    parts = {kind: part_of(config, kind) for kind in sorted(kinds)}
    behind = kinds[1:] + (kinds[0],)  # noqa: RUF005 (no star is translated)
    layers = tuple(
        LayerSpec(
            mixer=parts[kind],
            ffn=None if after in MIXING else parts[after],
            norm=norm,
        )
        for kind, after in zip(kinds, behind, strict=True)
        if kind in MIXING
    )
    return causal_lm(config, layers)


def parts_of(config: Config) -> tuple[str, ...]:
    """Return the kind of each part in order, from a list or a pattern of signs."""
    pattern = config.get("hybrid_override_pattern")
    listed = config.get("layers_block_type")
    if listed is None and pattern is not None:
        signs = config.word("hybrid_override_pattern")
        listed = [SIGNS.get(sign, sign) for sign in list(signs)]
    if listed is None:
        raise ValueError(
            "config of model_type 'nemotron_h': the field 'layers_block_type' is "
            "missing"
        )
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(f"config field 'layers_block_type': {listed!r} is not a list")
    named = all(isinstance(kind, str) for kind in listed)
    kinds = tuple(OLD.get(kind, kind) for kind in listed) if named else ()
    if not named or any(kind not in SIGNS.values() for kind in kinds):
        raise ValueError(
            f"config field 'layers_block_type': {listed!r} is not a list of "
            f"{sorted(SIGNS.values())}"
        )
    return kinds


def part_of(config: Config, kind: str) -> Mixer | FFNSpec | MoESpec:
    """Return a mixer or a feed-forward part by its kind."""
    if kind == "linear_attention":
        return state_space(config)
    if kind == "full_attention":
        bias = config.flag("attention_bias", False)
        if bias:
            raise ValueError("config field 'attention_bias': true; only false is known")
        return nope_attention(config, config.count("head_dim", 128), bias=False)
    if config.flag("mlp_bias", False):
        raise ValueError("config field 'mlp_bias': true; only false is known")
    if kind == "mlp":
        return network(config, "intermediate_size")
    return experts(config)


def state_space(config: Config) -> SSMSpec:
    """Return Mamba-2; its heads make up the inner width."""
    heads, head_dim = config.count("mamba_num_heads"), config.count("mamba_head_dim")
    return SSMSpec(
        kind="mamba2",
        d_inner=heads * head_dim,
        state=config.count("ssm_state_size"),
        conv=config.count(config.first("mamba_d_conv", "conv_kernel"), 4),
        heads=heads,
        head_dim=head_dim,
        groups=config.count(config.first("mamba_n_groups", "n_groups")),
        bias=config.flag("use_bias", False),
        conv_bias=config.flag(config.first("mamba_conv_bias", "use_conv_bias"), True),
    )


def network(config: Config, field: str) -> FFNSpec:
    """Return a network of two matrices."""
    activation = config.word("mlp_hidden_act", "relu2")
    return FFNSpec(kind="mlp", activation=activation, width=config.count(field))


def experts(config: Config) -> MoESpec:
    """Return experts, on a latent in Nemotron 3 Super, beside a shared one."""
    return MoESpec(
        experts=config.count("n_routed_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=network(config, "moe_intermediate_size"),
        shared=1,
        shared_width=config.count("moe_shared_expert_intermediate_size"),
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        scale=config.number("routed_scaling_factor", 1.0),
        groups=config.count("n_group", 1),
        top_groups=config.count("topk_group", 1),
        selection_bias=True,
        latent=config.count("moe_latent_size", 0),
    )
