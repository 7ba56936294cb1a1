"""Hybrids: attention in some layers, or beside, and a state in the others. Each stands
for `<Family>ForCausalLM` of `transformers`.

bamba, falcon_h1, falcon_mamba, granitemoehybrid, minimax, olmo_hybrid.
"""

from dataclasses import replace

from course_lib.specs.families.gated_delta import gated_delta_net
from course_lib.specs.families.line_settings import Line
from course_lib.specs.families.lines import logit_scale, residual_scale
from course_lib.specs.families.llama import (
    attention,
    causal_lm,
    decoder_layer,
    gated_ffn,
    head_dim_of,
    kv_heads_of,
)
from course_lib.specs.families.ssm import mamba
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    JointSpec,
    LightningSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    SideSpec,
    SSMSpec,
)
from course_lib.specs.rotary import rope_spec

LINEAR = ("linear_attention", "full_attention")
OLD_KINDS = {  # what older configs call the kinds of layers
    "mamba": "linear_attention",
    "attention": "full_attention",
    "recurrent": "linear_attention",
}
SCALED = Line(scaled=True)
FACTORS = (  # Falcon-H1's lists of factors, and what each stands on
    (
        "ssm_multipliers",
        (
            ("the state space's gate", "state gate"),
            ("its values", "state values"),
            ("its B", "state B"),
            ("its C", "state C"),
            ("its step size", "state step"),
        ),
    ),
    (
        "mlp_multipliers",
        (
            ("the network's gate", "network gate"),
            ("the network's output", "network out"),
        ),
    ),
)


def mamba2_mixer(config: Config, inner: int, **options: bool) -> SSMSpec:
    """Return Mamba-2 under the names of Bamba and its kin."""
    heads = config.count("mamba_n_heads")
    if inner % heads:
        raise ValueError(f"config: {heads} heads do not divide a width of {inner}")
    return SSMSpec(
        kind="mamba2",
        d_inner=inner,
        state=config.count("mamba_d_state"),
        conv=config.count("mamba_d_conv", 4),
        heads=heads,
        head_dim=inner // heads,
        groups=config.count("mamba_n_groups", 1),
        bias=config.flag("mamba_proj_bias", False),
        conv_bias=config.flag("mamba_conv_bias", True),
        **options,
    )


def kinds_of(config: Config, field: str, depth: int, default: str) -> tuple[str, ...]:
    """Return each layer's kind, by its new name."""
    allowed = LINEAR + tuple(OLD_KINDS)
    listed = config.words(field, depth, allowed=allowed) or (default,) * depth
    return tuple(OLD_KINDS.get(kind, kind) for kind in listed)


def bamba(config: Config) -> ModelSpec:
    """Mamba-2, and attention in the layers of `attn_layer_indices`."""
    bias = config.flag("attention_bias", False)
    rope = rope_spec(config, head_dim_of(config), fraction=0.5)
    attend = attention(config, rope=rope, bias_qkv=bias, bias_out=bias)
    inner = config.count("mamba_expand", 2) * config.count("hidden_size")
    state = mamba2_mixer(config, inner)
    listed = config.get("attn_layer_indices", ())
    layers = (
        decoder_layer(config, attend if i in listed else state, eps=1e-5)
        for i in range(config.layers())
    )
    return causal_lm(config, tuple(layers))


def falcon_h1(config: Config) -> ModelSpec:
    """Attention and Mamba-2 side by side in every layer; factors on both."""
    bias = config.flag("attention_bias", False)
    normed = config.flag("mamba_rms_norm", False)
    mixer = JointSpec(
        attention=attention(config, bias_qkv=bias, bias_out=bias),
        state=replace(
            mamba2_mixer(config, config.count("mamba_d_ssm"), out_norm=normed),
            bias=False,
        ),
    )
    if config.flag("mamba_proj_bias", False) or config.flag("projectors_bias", False):
        raise ValueError(
            "config fields 'mamba_proj_bias' and 'projectors_bias': only false is known"
        )
    layer = decoder_layer(config, mixer, eps=1e-5)
    factors = tuple(
        SideSpec(words=f"{words} × {factor:g}", of="mixer", place=place, factor=factor)
        for words, place, factor in factors_of(config)
        if factor != 1
    )
    if normed and config.flag("mamba_norm_before_gate", True):
        words = "the state space's norm stands before its gate"
        factors += (SideSpec(words=words, of="mixer"),)
    embeddings = EmbeddingSpec(
        tied=config.flag("tie_word_embeddings", False),
        scale=config.number("embedding_multiplier", 1.0),
    )
    return causal_lm(
        config,
        (replace(layer, sides=factors),) * config.layers(),
        embeddings=embeddings,
        logit_scale=config.number("lm_head_multiplier", 1.0),
    )


def factors_of(config: Config) -> list[tuple[str, str, float]]:
    """Return Falcon-H1's fixed factors, with what they stand on, in words and as
    a place.
    """
    fields = (
        ("attention's input", "attention in", "attention_in_multiplier"),
        ("attention's output", "attention out", "attention_out_multiplier"),
        ("keys", "keys", "key_multiplier"),
        ("the state space's input", "state in", "ssm_in_multiplier"),
        ("the state space's output", "state out", "ssm_out_multiplier"),
    )
    found = [
        (words, place, config.number(field, 1.0)) for words, place, field in fields
    ]
    for field, parts in FACTORS:
        given = config.get(field) or (1.0,) * len(parts)
        if not isinstance(given, list | tuple) or len(given) != len(parts):
            raise ValueError(
                f"config field '{field}': {given!r} is not a list of {len(parts)}"
            )
        found += [(parts[i][0], parts[i][1], given[i]) for i in range(len(parts))]
    return found


def falcon_mamba(config: Config) -> ModelSpec:
    """Mamba with norms that learn nothing on step size, B and C."""
    model = mamba(config)
    eps = config.number("mixer_rms_eps", 1e-6)
    plain = NormSpec(kind="rmsnorm", eps=eps, gain=False)
    layers = tuple(
        replace(one, mixer=replace(one.mixer, inner_norm=plain)) for one in model.layers
    )
    return replace(model, layers=layers)


def granitemoehybrid(config: Config) -> ModelSpec:
    """Granite 4: Mamba-2 and attention, and in each layer a dense part or experts
    beside a shared one.
    """
    bias, depth = config.flag("attention_bias", False), config.layers()
    scale = config.number("attention_multiplier", 1.0)
    attend = attention(config, bias_qkv=bias, bias_out=bias, scale=scale)
    if config.get("position_embedding_type") != "rope":
        attend = replace(attend, rope=None)
    inner = config.count("mamba_expand", 2) * config.count("hidden_size")
    kinds = kinds_of(config, "layer_types", depth, "linear_attention")
    mixers = {
        "full_attention": attend,
        "linear_attention": mamba2_mixer(config, inner)
        if "linear_attention" in kinds
        else attend,
    }
    ffn, factor = granite_ffn(config), residual_scale(config, SCALED)
    layers = tuple(
        replace(decoder_layer(config, mixers[kind], ffn), residual_scale=factor)
        for kind in kinds
    )
    embeddings = EmbeddingSpec(
        tied=config.flag("tie_word_embeddings", False),
        scale=config.number("embedding_multiplier", 1.0),
    )
    return causal_lm(
        config,
        layers,
        embeddings=embeddings,
        logit_scale=logit_scale(config, SCALED),
    )


def granite_ffn(config: Config) -> FFNSpec | MoESpec:
    """Return the shared network alone where there are no experts, else both."""
    width = config.count("shared_intermediate_size")
    activation = config.word("hidden_act", "silu")
    experts = config.count("num_local_experts", least=0)
    if not experts:
        return FFNSpec(kind="glu", activation=activation, width=width)
    return MoESpec(
        experts=experts,
        top_k=config.count("num_experts_per_tok"),
        expert=FFNSpec(
            kind="glu", activation=activation, width=config.count("intermediate_size")
        ),
        shared=1,
        shared_width=width,
    )


def minimax(config: Config) -> ModelSpec:
    """MiniMax-01: lightning attention and softmax attention in turn, experts in each
    layer; norms on the stream, with factors on it and on what is added to it.
    """
    depth, width = config.layers(), head_dim_of(config)
    rule = tuple(LINEAR[(i + 1) % 2] for i in range(depth))
    kinds = config.words("layer_types", depth, allowed=LINEAR) or rule
    rope = rope_spec(config, width, theta=1e6)
    mixers = {
        "linear_attention": LightningSpec(
            heads=config.count("num_attention_heads"), head_dim=width
        ),
        "full_attention": attention(
            config, window=config.count("sliding_window", None), rope=rope
        ),
    }
    moe = MoESpec(
        experts=config.count("num_local_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=gated_ffn(config),
    )
    layers = tuple(
        replace(
            decoder_layer(config, mixers[kind], moe, eps=1e-5),
            norm_layout="stream",
            stream_factors=minimax_factors(config, kind),
        )
        for kind in kinds
    )
    return causal_lm(config, layers)


def minimax_factors(config: Config, kind: str) -> tuple[float, ...]:
    """Return the factors on the stream and on what mixer and experts add to it."""
    mixer = {"linear_attention": "linear_attn", "full_attention": "full_attn"}[kind]
    names = (f"{mixer}_alpha", f"{mixer}_beta", "mlp_alpha", "mlp_beta")
    return tuple(config.number(f"{name}_factor", 1.0) for name in names)


def olmo_hybrid(config: Config) -> ModelSpec:
    """OLMo Hybrid: gated DeltaNet with norms before its parts, and every fourth layer
    OLMo 2's attention with norms behind them.
    """
    depth, bias = config.layers(), config.flag("attention_bias", False)
    kinds = config.words("layer_types", depth, allowed=LINEAR)
    if kinds is None:
        raise ValueError(
            "config of model_type 'olmo_hybrid': the field 'layer_types' is missing"
        )
    attend = attention(config, bias_qkv=bias, bias_out=bias, qk_norm="width")
    given = config.table("rope_parameters") or config.table("rope_scaling")
    if not given and config.unless_null("rope_parameters", True) is None:
        attend = replace(attend, rope=None)
    full = replace(decoder_layer(config, attend), norm_layout="output")
    most = 2.0 if config.flag("linear_allow_neg_eigval", True) else 1.0
    delta = replace(gated_delta_net(config), strongest=most, norm_eps=1e-5)
    linear = decoder_layer(config, delta)
    chosen = {"full_attention": full, "linear_attention": linear}
    model = causal_lm(config, tuple(chosen[kind] for kind in kinds))
    return replace(model, final_norm=linear.norm)


def nope_attention(config: Config, head_dim: int, *, bias: bool) -> AttentionSpec:
    """Return grouped attention without positions of its own."""
    return AttentionSpec(
        heads=config.count("num_attention_heads"),
        kv_heads=kv_heads_of(config),
        head_dim=head_dim,
        value_dim=head_dim,
        bias_qkv=bias,
        bias_out=bias,
    )
