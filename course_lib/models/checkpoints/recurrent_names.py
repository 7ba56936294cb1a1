"""Tensor names of hybrids of attention with delta rules, linear attention or short
convolutions, theirs beside ours, in the form of `decoder_names`.

Where both kinds of layers have parameters of one name (`wq`, `wo`, `gate`), a row says
for which of them it holds.

Terms:
    tensor names of hybrids: which tensor of a Hugging Face hybrid holds which of ours,
        for each kind of layer -> RECURRENT_TABLES
"""

from collections.abc import Mapping

from course_lib.models.checkpoints.decoder_names import (
    ATTENTION,
    ENDS,
    GATED,
    LATENT_ATTENTION,
    LLAMA,
    OUTPUT_NORMS,
    TWO_NORMS,
    Table,
)
from course_lib.models.checkpoints.layer_kinds import only
from course_lib.models.checkpoints.moe_names import (
    BIASED,
    EXPERTS,
    QWEN2,
    SHARED,
    experts_at,
    router_at,
)

LAYER, OURS, FFN = "model.layers.{i}", "blocks.{i}.mixer", "blocks.{i}.ffn"
QKVO = {"q_proj": "wq", "k_proj": "wk", "v_proj": "wv", "o_proj": "wo"}


def at(theirs: str, names: Mapping[str, str]) -> Table:
    """Rows of a mixer whose parts have these names in theirs and in ours."""
    return tuple(
        (f"{LAYER}.{theirs}.{one}", f"{OURS}.{other}") for one, other in names.items()
    )


LFM2_ATTENTION = at(
    "self_attn",
    {
        "q_proj": "wq",
        "k_proj": "wk",
        "v_proj": "wv",
        "out_proj": "wo",
        "q_layernorm": "q_norm",
        "k_layernorm": "k_norm",
    },
)
LFM2_CONVOLUTION = at("conv", {"in_proj": "into", "conv": "conv", "out_proj": "wo"})
LFM2: Table = (
    ("model.embed_tokens", "embed.tokens"),
    ("model.embedding_norm", "final_norm"),
    ("lm_head", "head"),
    (f"{LAYER}.operator_norm", "blocks.{i}.mixer_norm"),
    (f"{LAYER}.ffn_norm", "blocks.{i}.ffn_norm"),
    *only("attention", LFM2_ATTENTION),
    *only("convolution", LFM2_CONVOLUTION),
    (f"{LAYER}.feed_forward.w1", "blocks.{i}.ffn.gate"),
    (f"{LAYER}.feed_forward.w3", "blocks.{i}.ffn.up"),
    (f"{LAYER}.feed_forward.w2", "blocks.{i}.ffn.down"),
)
LFM2_MOE: Table = (
    *LFM2,
    *experts_at("feed_forward.experts"),
    *router_at("feed_forward.gate", "feed_forward.expert_bias"),
)

QUERY_AND_GATE: Table = (
    (f"{LAYER}.self_attn.q_proj", f"{OURS}.{{wq,gate}}", "by_head"),
)
GATED_ATTENTION = only("attention", QUERY_AND_GATE + ATTENTION)
DELTA = at(
    "linear_attn",
    {
        "conv1d": "conv",
        "A_log": "rate",
        "dt_bias": "step",
        "norm": "norm",
        "out_proj": "wo",
    },
)
PACKED_DELTA: Table = (
    (
        f"{LAYER}.linear_attn.in_proj_qkvz",
        f"{OURS}.{{wq,wk,wv,gate}}",
        "by_key_head",
    ),
    (f"{LAYER}.linear_attn.in_proj_ba", f"{OURS}.{{strength,forget}}", "by_key_head"),
)
STACKED_DELTA: Table = (
    (f"{LAYER}.linear_attn.in_proj_qkv", f"{OURS}.{{wq,wk,wv}}", "stacked"),
    *at(
        "linear_attn",
        {"in_proj_z": "gate", "in_proj_b": "strength", "in_proj_a": "forget"},
    ),
)
QWEN3_NEXT = GATED_ATTENTION + only("delta", DELTA + PACKED_DELTA) + QWEN2
QWEN3_5 = GATED_ATTENTION + only("delta", DELTA + STACKED_DELTA) + LLAMA
QWEN3_5_MOE = GATED_ATTENTION + only("delta", DELTA + STACKED_DELTA) + QWEN2

OLMO_DELTA = at(
    "linear_attn",
    {
        **QKVO,
        "conv1d": "conv",
        "a_proj": "forget",
        "b_proj": "strength",
        "g_proj": "gate",
        "A_log": "rate",
        "dt_bias": "step",
        "o_norm": "norm",
    },
)
OLMO_HYBRID: Table = (
    *ENDS,
    *GATED,
    *only("attention", ATTENTION + OUTPUT_NORMS),
    *only("delta", OLMO_DELTA + TWO_NORMS),
)

KIMI_DELTA = at(
    "self_attn",
    {
        **QKVO,
        "conv1d": "conv",
        "forget_gate.f_a_proj": "forget.0",
        "forget_gate.f_b_proj": "forget.1",
        "forget_gate.dt_bias": "step",
        "b_proj": "strength",
        "g_a_proj": "gate.0",
        "g_b_proj": "gate.1",
        "o_norm": "norm",
    },
)
KIMI_LINEAR: Table = (
    *ENDS,
    *TWO_NORMS,
    *GATED,
    *only("attention", LATENT_ATTENTION),
    *only("delta", KIMI_DELTA),
    *only(
        "delta",
        ((f"{LAYER}.self_attn.forget_gate.A_log", f"{OURS}.rate", "third_axis"),),
    ),
    *EXPERTS,
    *BIASED,
    *SHARED,
)

RWKV_AT = "rwkv.blocks.{i}"
RWKV: Table = (
    ("rwkv.embeddings", "embed.tokens"),
    ("rwkv.blocks.0.pre_ln", "embed.norm"),
    ("rwkv.ln_out", "final_norm"),
    ("head", "head"),
    (f"{RWKV_AT}.ln1", "blocks.{i}.mixer_norm"),
    (f"{RWKV_AT}.ln2", "blocks.{i}.ffn_norm"),
    (f"{RWKV_AT}.attention.time_decay", f"{OURS}.decay"),
    (f"{RWKV_AT}.attention.time_first", f"{OURS}.bonus"),
    (f"{RWKV_AT}.attention.time_mix_key", f"{OURS}.blend_k", "last_axis"),
    (f"{RWKV_AT}.attention.time_mix_value", f"{OURS}.blend_v", "last_axis"),
    (f"{RWKV_AT}.attention.time_mix_receptance", f"{OURS}.blend_r", "last_axis"),
    (f"{RWKV_AT}.attention.key", f"{OURS}.wk"),
    (f"{RWKV_AT}.attention.value", f"{OURS}.wv"),
    (f"{RWKV_AT}.attention.receptance", f"{OURS}.wr"),
    (f"{RWKV_AT}.attention.output", f"{OURS}.wo"),
    (f"{RWKV_AT}.feed_forward.time_mix_key", f"{FFN}.blend_k", "last_axis"),
    (f"{RWKV_AT}.feed_forward.time_mix_receptance", f"{FFN}.blend_r", "last_axis"),
    (f"{RWKV_AT}.feed_forward.key", f"{FFN}.up"),
    (f"{RWKV_AT}.feed_forward.receptance", f"{FFN}.receptance"),
    (f"{RWKV_AT}.feed_forward.value", f"{FFN}.down"),
)

LIGHTNING: Table = (
    (f"{LAYER}.self_attn.qkv_proj", f"{OURS}.{{wq,wk,wv}}", "by_head"),
    (f"{LAYER}.self_attn.slope_rate", f"{OURS}.slopes", "first_axis"),
    *at("self_attn", {"output_gate": "gate", "norm": "norm", "out_proj": "wo"}),
)
MINIMAX: Table = (
    *ENDS,
    *TWO_NORMS,
    *only("attention", ATTENTION),
    *only("lightning", LIGHTNING),
    *EXPERTS,
    *router_at("mlp.gate"),
)

GRIFFIN_UNIT = at(
    "temporal_block",
    {
        "linear_x": "into",
        "linear_y": "gate",
        "linear_out": "wo",
        "conv_1d": "conv",
        "rg_lru.recurrent_param": "rate",
        "rg_lru.input_gate_weight": "enter",
        "rg_lru.input_gate_bias": "enter_bias",
        "rg_lru.recurrent_gate_weight": "forget",
        "rg_lru.recurrent_gate_bias": "forget_bias",
    },
)
GRIFFIN: Table = (
    ("model.embed_tokens", "embed.tokens"),
    ("model.final_norm", "final_norm"),
    ("lm_head", "head"),
    (f"{LAYER}.temporal_pre_norm", "blocks.{i}.mixer_norm"),
    (f"{LAYER}.channel_pre_norm", "blocks.{i}.ffn_norm"),
    *only("attention", at("temporal_block", QKVO)),
    *only("rg_lru", GRIFFIN_UNIT),
    (f"{LAYER}.mlp_block.gate_proj", f"{FFN}.gate"),
    (f"{LAYER}.mlp_block.up_proj", f"{FFN}.up"),
    (f"{LAYER}.mlp_block.down_proj", f"{FFN}.down"),
)

RECURRENT_TABLES: Mapping[str, Table] = {
    "kimi_linear": KIMI_LINEAR,
    "lfm2": LFM2,
    "lfm2_moe": LFM2_MOE,
    "minimax": MINIMAX,
    "olmo_hybrid": OLMO_HYBRID,
    "qwen3_5_moe_text": QWEN3_5_MOE,
    "qwen3_5_text": QWEN3_5,
    "qwen3_next": QWEN3_NEXT,
    "recurrent_gemma": GRIFFIN,
    "rwkv": RWKV,
}
