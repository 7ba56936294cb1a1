"""What do the norms inside the blocks do for training?

The standard run with an RMSNorm before each part, and without any inside the blocks:
512 gains less. The norm before the output stays in both.
"""

from torch import nn

from course_lib.models.lm import CausalLM
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task


def no_norm() -> CausalLM:
    """The standard model whose blocks read the stream as it is."""
    model = CausalLM(STANDARD)
    for block in model.blocks:
        block.mixer_norm, block.ffn_norm = nn.Identity(), nn.Identity()
    return model


experiment = Experiment(
    asks="What do the norms inside the blocks do for training?",
    task=stdlib_task(),
    variants={"norm before each part": STANDARD, "no norm": no_norm},
    seeds=range(8),
    keep=("no norm",),
)
