"""Tensor names of checkpoints of state spaces, theirs beside ours, in the form of
`decoder_names`.

Terms:
    tensor names of state spaces: which module of a Hugging Face Mamba holds which of
        ours -> STATE_SPACE_TABLES
"""

from collections.abc import Mapping

from course_lib.models.checkpoints.decoder_names import ATTENTION, Table
from course_lib.models.checkpoints.moe_names import experts_at, router_at

AT, OURS = "backbone.layers.{i}.mixer", "blocks.{i}.mixer"
ENDS: Table = (
    ("backbone.embeddings", "embed.tokens"),
    ("backbone.layers.{i}.norm", "blocks.{i}.mixer_norm"),
    ("backbone.norm_f", "final_norm"),
    ("lm_head", "head"),
)
BOTH: Table = (
    (f"{AT}.in_proj", f"{OURS}.w_in"),
    (f"{AT}.conv1d", f"{OURS}.conv"),
    (f"{AT}.A_log", f"{OURS}.a_log"),
    (f"{AT}.D", f"{OURS}.skip"),
    (f"{AT}.out_proj", f"{OURS}.w_out"),
)
MAMBA: Table = (
    *ENDS,
    *BOTH,
    (f"{AT}.x_proj", f"{OURS}.w_select"),
    (f"{AT}.dt_proj", f"{OURS}.w_step"),
    (f"{AT}.dt_proj.bias", f"{OURS}.dt_offset"),
)
MAMBA2: Table = (
    *ENDS,
    *BOTH,
    (f"{AT}.dt_bias", f"{OURS}.dt_offset"),
    (f"{AT}.norm", f"{OURS}.norm"),
)
LAYER, OF_JAMBA = "model.layers.{i}", "model.layers.{i}.mamba"
JAMBA: Table = (
    ("model.embed_tokens", "embed.tokens"),
    ("model.final_layernorm", "final_norm"),
    ("lm_head", "head"),
    *ATTENTION,
    *((theirs.replace(AT, OF_JAMBA), ours) for theirs, ours in MAMBA if AT in theirs),
    (f"{OF_JAMBA}.dt_layernorm", f"{OURS}.dt_norm"),
    (f"{OF_JAMBA}.b_layernorm", f"{OURS}.b_norm"),
    (f"{OF_JAMBA}.c_layernorm", f"{OURS}.c_norm"),
    (f"{LAYER}.input_layernorm", "blocks.{i}.mixer_norm"),
    (f"{LAYER}.pre_ff_layernorm", "blocks.{i}.ffn_norm"),
    *router_at("feed_forward.router"),
    *experts_at("feed_forward.experts"),
    (f"{LAYER}.feed_forward.gate_proj", "blocks.{i}.ffn.gate"),
    (f"{LAYER}.feed_forward.up_proj", "blocks.{i}.ffn.up"),
    (f"{LAYER}.feed_forward.down_proj", "blocks.{i}.ffn.down"),
)

STATE_SPACE_TABLES: Mapping[str, Table] = {
    "falcon_mamba": MAMBA,
    "jamba": JAMBA,
    "mamba": MAMBA,
    "mamba2": MAMBA2,
}
