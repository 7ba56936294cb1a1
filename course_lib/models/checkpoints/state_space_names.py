"""Tensor names of checkpoints of state spaces, theirs beside ours, in the form of
`decoder_names`.

Terms:
    tensor names of state spaces: which module of a Hugging Face Mamba holds which of
        ours -> STATE_SPACE_TABLES
"""

from collections.abc import Mapping

from course_lib.models.checkpoints.decoder_names import Table

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
    (f"{AT}.out_proj", f"{OURS}.wo"),
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

STATE_SPACE_TABLES: Mapping[str, Table] = {
    "falcon_mamba": MAMBA,
    "mamba": MAMBA,
    "mamba2": MAMBA2,
}
