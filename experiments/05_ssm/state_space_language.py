"""Does Mamba-2 predict the next byte as well as attention, at equal size?

The standard run, with attention in its four blocks and with Mamba-2 (128 channels in 4
heads, 16 numbers of state a channel) in the place of attention. The feed-forward
networks are narrowed from 176 to 116, so that both have about 217,500 parameters. Same
bytes, batches, rate and number of updates.
"""

from dataclasses import replace

from course_lib.specs.records import SSMSpec
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task

MAMBA2 = SSMSpec(
    kind="mamba2", d_inner=128, state=16, conv=4, heads=4, head_dim=32, groups=1
)
ATTENTION = STANDARD.layers[0]
BLOCK = replace(ATTENTION, mixer=MAMBA2, ffn=replace(ATTENTION.ffn, width=116))

experiment = Experiment(
    asks="Does Mamba-2 predict the next byte as well as attention, at equal size?",
    task=stdlib_task(),
    variants={
        "attention": STANDARD,
        "Mamba-2": replace(STANDARD, layers=(BLOCK,) * 4),
    },
    seeds=range(5),
    updates=(350, 700),
    keep=("Mamba-2", "attention"),
)
