"""What do the norms inside the blocks do for training?

The standard run with an RMSNorm before each part, with one after each sum (the place of
2017), and without any inside the blocks. The norm before the output stays, in all.
"""

from dataclasses import replace

from torch import nn

from course_lib.models.lm import CausalLM
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task

AFTER = replace(
    STANDARD,
    layers=tuple(replace(layer, norm_layout="post") for layer in STANDARD.layers),
)


def no_norm() -> CausalLM:
    """The standard model whose blocks read the stream as it is."""
    model = CausalLM(STANDARD)
    for block in model.blocks:
        block.mixer_norm, block.ffn_norm = nn.Identity(), nn.Identity()
    return model


experiment = Experiment(
    asks="What do the norms inside the blocks do for training?",
    task=stdlib_task(),
    variants={"before": STANDARD, "none": no_norm, "after": AFTER},
    seeds=range(5),
    keep=("none",),
)
