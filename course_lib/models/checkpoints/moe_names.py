"""Tensor names of mixtures of experts, theirs beside ours, for each family of
`transformers` 5, which stacks a layer's experts.

Rows as in `decoder_names`. How stacked experts lie in theirs (`expert_packing`): gate
and up one after the other in most; in pairs and transposed in gpt-oss; transposed in
Llama 4; one matrix of all experts' rows in DBRX. Files name each expert by itself:
`expert_files`.

Terms:
    tensor names of experts, gate_up_proj: which tensor of a Hugging Face mixture holds
        router and experts -> MOE_TABLES
"""

from collections.abc import Mapping

from course_lib.models.checkpoints.decoder_names import (
    ATTENTION,
    DEEPSEEK,
    ENDS,
    INDEXER,
    LLAMA,
    OUTPUT_NORMS,
    TURNED_NORMS,
    TWO_NORMS,
    Table,
)
from course_lib.models.checkpoints.encoder_names import PAIRED_TABLES


def experts_at(theirs: str) -> Table:
    """Rows of experts whose gate and up lie one after the other."""
    at = f"model.layers.{{i}}.{theirs}"
    return (
        (f"{at}.gate_up_proj", "blocks.{i}.ffn.experts.{gate,up}", "gate_then_up"),
        (f"{at}.down_proj", "blocks.{i}.ffn.experts.down"),
    )


def router_at(theirs: str, bias: str = "") -> Table:
    """Rows of the router's matrix, and of the bias on its pick where there is one."""
    row = (f"model.layers.{{i}}.{theirs}", "blocks.{i}.ffn.router.gate")
    if not bias:
        return (row,)
    own = "blocks.{i}.ffn.router.selection_bias"
    return (row, (f"model.layers.{{i}}.{bias}", own))


def shared_at(theirs: str) -> Table:
    """Rows of the shared experts."""
    at, ours = f"model.layers.{{i}}.{theirs}", "blocks.{i}.ffn.shared.network"
    names = ("gate", "up", "down")
    return tuple((f"{at}.{name}_proj", f"{ours}.{name}") for name in names)


EXPERTS, ROUTER = experts_at("mlp.experts"), router_at("mlp.gate")
SHARED = shared_at("mlp.shared_experts")
BIASED = router_at("mlp.gate", "mlp.gate.e_score_correction_bias")
BESIDE = router_at("mlp.gate", "mlp.e_score_correction_bias")

PLAIN = LLAMA + EXPERTS + ROUTER
DEEP = LLAMA + EXPERTS + BIASED + SHARED
QWEN2 = (
    *PLAIN,
    *shared_at("mlp.shared_expert"),
    ("model.layers.{i}.mlp.shared_expert_gate", "blocks.{i}.ffn.shared.gate"),
)
ERNIE = (
    *LLAMA,
    *EXPERTS,
    *router_at("mlp.gate"),
    *SHARED,
    (
        "model.layers.{i}.mlp.gate.moe_statics.e_score_correction_bias",
        "blocks.{i}.ffn.router.selection_bias",
        "row",
    ),
)
GPT_OSS = (
    *ENDS,
    *ATTENTION,
    *TWO_NORMS,
    *router_at("mlp.router"),
    (
        "model.layers.{i}.mlp.experts.gate_up_proj",
        "blocks.{i}.ffn.experts.{gate,up}",
        "pairs_transposed",
    ),
    (
        "model.layers.{i}.mlp.experts.gate_up_proj_bias",
        "blocks.{i}.ffn.experts.{gate_bias,up_bias}",
        "pairs",
    ),
    (
        "model.layers.{i}.mlp.experts.down_proj",
        "blocks.{i}.ffn.experts.down",
        "transposed",
    ),
    (
        "model.layers.{i}.mlp.experts.down_proj_bias",
        "blocks.{i}.ffn.experts.down_bias",
    ),
)
GRANITE = (
    *ENDS,
    *ATTENTION,
    *TWO_NORMS,
    *router_at("block_sparse_moe.router"),
    *experts_at("block_sparse_moe.experts"),
    (
        "model.layers.{i}.shared_mlp.input_linear",
        "blocks.{i}.ffn.shared.network.{gate,up}",
        "stacked",
    ),
    (
        "model.layers.{i}.shared_mlp.output_linear",
        "blocks.{i}.ffn.shared.network.down",
    ),
)
LLAMA4 = (
    *ENDS,
    *ATTENTION,
    *TWO_NORMS,
    *router_at("feed_forward.router"),
    *shared_at("feed_forward.shared_expert"),
    (
        "model.layers.{i}.feed_forward.experts.gate_up_proj",
        "blocks.{i}.ffn.experts.{gate,up}",
        "gate_then_up_transposed",
    ),
    (
        "model.layers.{i}.feed_forward.experts.down_proj",
        "blocks.{i}.ffn.experts.down",
        "transposed",
    ),
    ("model.layers.{i}.feed_forward.gate_proj", "blocks.{i}.ffn.gate"),
    ("model.layers.{i}.feed_forward.up_proj", "blocks.{i}.ffn.up"),
    ("model.layers.{i}.feed_forward.down_proj", "blocks.{i}.ffn.down"),
)
FLEX_OLMO = (
    *ENDS,
    *ATTENTION,
    *EXPERTS,
    *ROUTER,
    *OUTPUT_NORMS,
)
AFMOE = (
    *LLAMA[: -len(TWO_NORMS)],
    *EXPERTS,
    *router_at("mlp.router.gate", "mlp.expert_bias"),
    *SHARED,
    ("model.layers.{i}.self_attn.gate_proj", "blocks.{i}.mixer.gate"),
    ("model.layers.{i}.input_layernorm", "blocks.{i}.mixer_norm"),
    ("model.layers.{i}.post_attention_layernorm", "blocks.{i}.mixer_post_norm"),
    ("model.layers.{i}.pre_mlp_layernorm", "blocks.{i}.ffn_norm"),
    ("model.layers.{i}.post_mlp_layernorm", "blocks.{i}.ffn_post_norm"),
)
HUNYUAN = (
    *TURNED_NORMS,
    *LLAMA,
    *EXPERTS,
    *router_at("mlp.gate.wg"),
    *shared_at("mlp.shared_mlp"),
)
DBRX = (
    ("transformer.wte", "embed.tokens"),
    ("transformer.norm_f", "final_norm"),
    ("lm_head", "head"),
    ("transformer.blocks.{i}.norm_attn_norm.norm_1", "blocks.{i}.mixer_norm"),
    ("transformer.blocks.{i}.norm_attn_norm.norm_2", "blocks.{i}.ffn_norm"),
    (
        "transformer.blocks.{i}.norm_attn_norm.attn.Wqkv",
        "blocks.{i}.mixer.{wq,wk,wv}",
        "stacked",
    ),
    ("transformer.blocks.{i}.norm_attn_norm.attn.out_proj", "blocks.{i}.mixer.wo"),
    ("transformer.blocks.{i}.ffn.router.layer", "blocks.{i}.ffn.router.gate"),
    (
        "transformer.blocks.{i}.ffn.experts.mlp.w1",
        "blocks.{i}.ffn.experts.gate",
        "rows_of_all",
    ),
    (
        "transformer.blocks.{i}.ffn.experts.mlp.v1",
        "blocks.{i}.ffn.experts.up",
        "rows_of_all",
    ),
    (
        "transformer.blocks.{i}.ffn.experts.mlp.w2",
        "blocks.{i}.ffn.experts.down",
        "columns_of_all",
    ),
)

KOLIBRI = (
    *LLAMA,
    *EXPERTS,
    *BIASED,
    *SHARED,
    ("model.layers.{i}.post_self_attn_layernorm", "blocks.{i}.mixer_post_norm"),
    ("model.layers.{i}.post_mlp_layernorm", "blocks.{i}.ffn_post_norm"),
)
ARIA = (
    *LLAMA,
    *router_at("mlp.router"),
    *SHARED,
    (
        "model.layers.{i}.mlp.experts.gate_up_proj",
        "blocks.{i}.ffn.experts.{gate,up}",
        "gate_then_up_transposed",
    ),
    (
        "model.layers.{i}.mlp.experts.down_proj",
        "blocks.{i}.ffn.experts.down",
        "transposed",
    ),
)

MTP_ROWS: Table = (
    ("model.layers.{i}.enorm", "embed_norms.{i}"),
    ("model.layers.{i}.hnorm", "hidden_norms.{i}"),
    ("model.layers.{i}.eh_proj", "project.{i}"),
    ("model.layers.{i}.shared_head.norm", "norms.{i}"),
)
"""Of the modules of multi-token prediction, whose blocks have the names of a layer."""


def _switch_rows(side: str) -> Table:
    """The feed-forward parts of one stack of Switch, dense ones and mixtures."""
    at = f"{side}.block.{{i}}.layer.{1 if side == 'encoder' else 2}.mlp"
    ours = f"{side}.{{i}}.ffn"
    return (
        (f"{at}.wi", f"{ours}.up"),
        (f"{at}.wo", f"{ours}.down"),
        (f"{at}.router.classifier", f"{ours}.router.gate"),
        (f"{at}.experts.up_proj", f"{ours}.experts.up"),
        (f"{at}.experts.down_proj", f"{ours}.experts.down"),
    )


SWITCH = (*_switch_rows("encoder"), *_switch_rows("decoder"), *PAIRED_TABLES["t5"])

MOE_TABLES: Mapping[str, Table] = {
    "afmoe": AFMOE,
    "aria_text": ARIA,
    "dbrx": DBRX,
    "deepseek_v2": DEEPSEEK + EXPERTS + ROUTER + SHARED,
    "deepseek_v3": DEEPSEEK + EXPERTS + BIASED + SHARED,
    "deepseek_v32": DEEPSEEK + INDEXER + EXPERTS + BIASED + SHARED,
    "glm_moe_dsa": DEEPSEEK + INDEXER + EXPERTS + BIASED + SHARED,
    "dots1": DEEP,
    "ernie4_5_moe": ERNIE,
    "exaone_moe": DEEP,
    "flex_olmo": FLEX_OLMO,
    "flint": LLAMA + EXPERTS + ROUTER + shared_at("mlp.shared_expert"),
    "glm4_moe": DEEP,
    "glm4_moe_lite": DEEPSEEK + EXPERTS + BIASED + SHARED,
    "gpt_oss": GPT_OSS,
    "granitemoe": GRANITE,
    "granitemoe_swa": GRANITE,
    "granitemoeshared": GRANITE,
    "hunyuan_v1_moe": HUNYUAN,
    "hy_v3": LLAMA + EXPERTS + BESIDE + SHARED,
    "kolibri1": KOLIBRI,
    "llama4_text": LLAMA4,
    "mellum": PLAIN,
    "minimax_m2": LLAMA + EXPERTS + BESIDE,
    "mixtral": PLAIN,
    "olmoe": PLAIN,
    "phimoe": LLAMA + EXPERTS + router_at("mlp.router"),
    "qwen2_moe": QWEN2,
    "qwen3_moe": PLAIN,
    "solar_open": DEEP,
    "switch_transformers": SWITCH,
}
