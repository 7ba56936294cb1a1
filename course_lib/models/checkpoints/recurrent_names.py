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

LAYER, OURS = "model.layers.{i}", "blocks.{i}.mixer"
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

RECURRENT_TABLES: Mapping[str, Table] = {
    "kimi_linear": KIMI_LINEAR,
    "lfm2": LFM2,
    "lfm2_moe": LFM2_MOE,
    "qwen3_5_moe_text": QWEN3_5_MOE,
    "qwen3_5_text": QWEN3_5,
    "qwen3_next": QWEN3_NEXT,
}
