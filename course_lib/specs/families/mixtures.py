"""Decoders of the LLaMA line whose layers hold experts: one parser, and a row a family
in `MIXTURES`. Each stands for its `<Family>ForCausalLM` of `transformers`, without
multi-token-prediction layers.

A row has the family's settings of attention and norms (`Line`) and says under which
names its experts stand in a config, which of its layers are dense, and how its router
picks.
"""

from dataclasses import dataclass
from typing import Any

from course_lib.specs.families.line_settings import Line
from course_lib.specs.families.lines import check_rope, dense_ffn, line_lm
from course_lib.specs.reader import REQUIRED, Config
from course_lib.specs.records import (
    EmbeddingSpec,
    FFNSpec,
    ModelSpec,
    MoESpec,
)

KINDS = ("dense", "sparse")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Where a family's experts stand in its config, and its defaults.

    `shared` names the number of shared experts, `shared_width` the width of them all
    ("" where it is the number times a routed one's); `optional`: a config without it
    has none. `dense` names a number of dense
    first layers, or a list of them where `listed`; `mlp_layer_types` goes before it.
    `sigmoid`, `renormalise` and `scale` are the router's; `factor` names the field of
    the scale. `balance`: whether a bias on the pick, which is no parameter,
    balances the load; `on_logits`: whether it is added to logits.
    """

    line: Line
    experts: str = "num_experts"
    top_k: str = "num_experts_per_tok"
    width: str = "moe_intermediate_size"
    shared: str = ""
    shared_width: str = ""
    shared_gate: bool = False
    optional: bool = False
    dense: str = ""
    dense_first: int = 0
    listed: bool = False
    sigmoid: bool = False
    renormalise: bool = True
    factor: str = ""
    scale: float = 1.0
    grouped: tuple[int, int] | None = None
    balance: bool = False
    on_logits: bool = False


DEEP = {  # DeepSeek's names
    "experts": "n_routed_experts",
    "shared": "n_shared_experts",
    "dense": "first_k_dense_replace",
    "sigmoid": True,
    "factor": "routed_scaling_factor",
    "grouped": (1, 1),
    "balance": True,
}
QK = {"qk_norm": "head", "mlp_bias": ""}
GRANITE = {"scaled": True, "mlp_bias": ""}
LOCAL = {"experts": "num_local_experts", "width": "intermediate_size"}

MIXTURES = {
    "afmoe": Mixture(
        line=Line(eps=1e-5, layout="sandwich", **QK, windows="pattern", window=1024,
                  period=4, pattern="global_attn_every_n_layers", nope=True,
                  output_gate=True),
        shared="num_shared_experts", dense="num_dense_layers", dense_first=1,
        sigmoid=True, factor="route_scale", balance=True,
    ),
    "aria_text": Mixture(
        line=Line(), experts="moe_num_experts", top_k="moe_topk",
        width="intermediate_size", shared="moe_num_shared_experts",
    ),
    "dots1": Mixture(
        line=Line(**QK, windows="late", window=4096, period=62), **DEEP,
        renormalise=False, optional=True,
    ),
    "ernie4_5_moe": Mixture(
        line=Line(eps=1e-5, tied=True, theta=5e5, pairing="interleaved",
                  bias="use_bias", out="use_bias", mlp_bias="use_bias"),
        experts="moe_num_experts", top_k="moe_k", shared="moe_num_shared_experts",
        balance=True,
    ),
    "exaone_moe": Mixture(
        line=Line(eps=1e-5, bias="", out="", **QK, windows="pattern", window=4096,
                  period=4, nope=True),
        shared="num_shared_experts", dense="first_k_dense_replace", dense_first=1,
        sigmoid=True, factor="routed_scaling_factor", scale=2.5, grouped=(1, 1),
        balance=True,
    ),
    "flex_olmo": Mixture(
        line=Line(theta=5e5, layout="output", qk_norm="width", mlp_bias=""),
        width="intermediate_size", renormalise=False,
    ),
    "flint": Mixture(
        line=Line(**QK, sinks=True, windows="pattern", window=513, period=4,
                  nope=True),
        shared_width="shared_expert_intermediate_size", dense="mlp_only_layers",
        listed=True, dense_first=2, sigmoid=True,
    ),
    "granitemoe": Mixture(line=Line(**GRANITE), **LOCAL),
    "granitemoe_swa": Mixture(
        line=Line(**GRANITE, sinks=True, windows="pattern", window=128, period=4,
                  full_first=True),
        **LOCAL, shared_width="shared_intermediate_size",
        optional=True,
    ),
    "granitemoeshared": Mixture(
        line=Line(**GRANITE), **LOCAL, shared_width="shared_intermediate_size",
        optional=True,
    ),
    "hunyuan_v1_moe": Mixture(
        line=Line(eps=1e-5, qk_norm="turned", mlp_bias=""), top_k="moe_topk",
        width="intermediate_size", shared_width="intermediate_size",
    ),
    "hy_v3": Mixture(
        line=Line(eps=1e-5, qk_norm="head", theta=11_158_840.0),
        shared="num_shared_experts", dense_first=1, sigmoid=True,
        factor="router_scaling_factor", scale=2.826, balance=True,
    ),
    "kolibri1": Mixture(
        line=Line(layout="sandwich", bias="", out="", **QK, windows="pattern",
                  window=513, period=5, nope=True),
        experts="num_local_experts", renormalise=False, sigmoid=True,
        shared_width="shared_expert_intermediate_size", balance=True, on_logits=True,
    ),
    "mellum": Mixture(
        line=Line(**QK, windows="pattern", window=1024, period=0, theta=5e5,
                  needs_rope=True),
        experts="num_local_experts",
    ),
    "minimax_m2": Mixture(
        line=Line(theta=5e6, bias="", out="", qk_norm="width", mlp_bias="",
                  rotary_dim=True),
        **LOCAL, sigmoid=True, balance=True,
    ),
    "phimoe": Mixture(
        line=Line(eps=1e-5, norm="layernorm", shift=True, theta=1e6, mlp_bias="",
                  windows="whole"),
        **LOCAL, renormalise=False,
    ),
    "qwen2_moe": Mixture(
        line=Line(bias="qkv_bias", biased=True, out="", mlp_bias="", windows="even",
                  window=4096, period=28),
        dense="mlp_only_layers", listed=True, renormalise=False,
        shared_width="shared_expert_intermediate_size", shared_gate=True,
    ),
    "qwen3_vl_moe_text": Mixture(
        line=Line(theta=5e5, **QK), dense="mlp_only_layers", listed=True,
    ),
    "solar_open": Mixture(
        line=Line(eps=1e-5, theta=1e6, out="", mlp_bias=""),
        **(DEEP | {"dense": ""}),
    ),
}  # fmt: skip
"""The families that are read by `mixture`."""


def mixture(config: Config) -> ModelSpec:
    """A decoder of the LLaMA line with experts, by its family's settings."""
    kind = MIXTURES[config.model_type]
    check_rope(config, kind.line)
    experts = experts_of(config, kind)
    field = kind.line.mlp_bias
    if field and config.flag(field, kind.line.mlp_biased):
        raise ValueError(
            f"config field {field!r}: true is not supported for "
            f"{config.model_type}, only false"
        )
    ffns = [
        dense_ffn(config, kind.line) if dense else experts
        for dense in dense_layers(config, kind)
    ]
    return line_lm(config, kind.line, ffns, **ends(config))


def ends(config: Config) -> dict[str, Any]:
    """Return what a family has at its ends that others have not."""
    if config.model_type == "phimoe":
        bias = config.flag("lm_head_bias", False)
        tied = config.flag("tie_word_embeddings", False)
        return {"embeddings": EmbeddingSpec(tied=tied, head_bias=bias)}
    if config.model_type == "afmoe" and config.flag("mup_enabled", False):
        tied = config.flag("tie_word_embeddings", False)
        scale = config.count("hidden_size") ** 0.5
        return {"embeddings": EmbeddingSpec(tied=tied, scale=scale)}
    return {}


def experts_of(config: Config, kind: Mixture) -> MoESpec:
    """Return the mixture of a sparse layer."""
    expert = FFNSpec(
        kind="glu",
        activation=config.word("hidden_act", kind.line.activation),
        width=config.count(kind.width),
        bias=False,
    )
    few = 0 if kind.optional else REQUIRED
    shared = config.count(kind.shared, few, least=0) if kind.shared else 0
    width = shared * expert.width
    if kind.shared_width:
        width = config.count(kind.shared_width, few, least=0)
        shared = int(width > 0)
    groups = kind.grouped or (1, 1)
    renormalise = config.flag("norm_topk_prob", kind.renormalise)
    return MoESpec(
        experts=config.count(config.first("num_local_experts", kind.experts)),
        top_k=config.count(kind.top_k),
        expert=expert,
        shared=shared,
        shared_width=width,
        shared_gate=kind.shared_gate,
        scoring="sigmoid" if kind.sigmoid else "softmax",
        renormalise=renormalise,
        scale=config.number(kind.factor, kind.scale) if kind.factor else 1.0,
        groups=config.count("n_group", groups[0]) if kind.grouped else 1,
        top_groups=config.count("topk_group", groups[1]) if kind.grouped else 1,
        selection_bias=kind.balance,
        sparse_mixer=sparse_mixer(config),
        bias_on="logits" if kind.on_logits else "scores",
    )


def sparse_mixer(config: Config) -> float:
    """Return PhiMoE's tolerance: the share of the best score by which another may fall
    short of it and still count in the softmax.
    """
    if config.model_type != "phimoe":
        return 0.0
    if config.count("num_experts_per_tok", 2) != 2:
        raise ValueError("config field 'num_experts_per_tok': SparseMixer picks 2")
    return 2 * config.number("router_jitter_noise", 0.01, above=0)


def dense_layers(config: Config, kind: Mixture) -> list[bool]:
    """Return which layers have one feed-forward network in the place of experts."""
    depth = config.layers()
    listed = config.words("mlp_layer_types", depth, allowed=KINDS)
    if listed is not None and not kind.listed:
        return [one == "dense" for one in listed]
    if config.model_type == "ernie4_5_moe":
        return ernie_dense(config, depth)
    if not kind.listed:
        first = kind.dense_first
        if kind.dense:
            first = config.count(kind.dense, first, least=0)
        return [i < first for i in range(depth)]
    step = config.count("decoder_sparse_step", 1)
    dense = config.get(kind.dense, list(range(kind.dense_first)))
    if not isinstance(dense, list | tuple):
        raise ValueError(
            f"config field {kind.dense!r}: {dense!r} is not a list of layer indices"
        )
    return [i in dense or (i + 1) % step != 0 for i in range(depth)]


def ernie_dense(config: Config, depth: int) -> list[bool]:
    """Return ERNIE's dense layers: outside of a range, or between its every n-th."""
    start = config.count("moe_layer_start_index", 1, least=0)
    end = config.count("moe_layer_end_index", -1, least=-1)
    last = depth - 1 if end == -1 else end
    every = config.count("moe_layer_interval", 1)
    return [
        not ((i + 1) % every == 0 and start <= i and i <= last) for i in range(depth)
    ]
