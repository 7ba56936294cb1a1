"""What do positions add, in a decoder whose causal mask already tells something?

The standard run with RoPE, with a learned table of 64 positions added to the token
embeddings (4,096 parameters more), and with no positions at all.
"""

from dataclasses import replace

from course_lib.train.experiment import Experiment
from course_lib.train.standard import LENGTH, STANDARD, stdlib_task

no_rope = replace(STANDARD.layers[0].mixer, rope=None)
NOTHING = replace(
    STANDARD,
    layers=tuple(replace(layer, mixer=no_rope) for layer in STANDARD.layers),
)
TABLE = replace(
    NOTHING, embeddings=replace(NOTHING.embeddings, learned_positions=LENGTH)
)

experiment = Experiment(
    asks="What do positions add to a decoder?",
    task=stdlib_task(),
    variants={"RoPE": STANDARD, "no positions": NOTHING, "learned table": TABLE},
    seeds=range(8),
    keep=("no positions",),
)
