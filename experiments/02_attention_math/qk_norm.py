"""Does QK norm widen the range of learning rates at which a model trains?

The standard run at four times its learning rate, with and without an RMSNorm on each
head's queries and keys: 32 gains a block more, 0.06 % of the parameters. Half and twice
that rate are tried as everywhere, and a quarter of it, which is the standard run's own.
"""

from dataclasses import replace

from course_lib.specs.records import ModelSpec
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task


def with_qk_norm() -> ModelSpec:
    """The standard model, queries and keys of each head normed."""
    layers = (
        replace(layer, mixer=replace(layer.mixer, qk_norm="head"))
        for layer in STANDARD.layers
    )
    return replace(STANDARD, layers=tuple(layers))


experiment = Experiment(
    asks="Does QK norm widen the range of learning rates at which a model trains?",
    task=stdlib_task(),
    variants={"no norm on Q and K": STANDARD, "QK norm": with_qk_norm()},
    seeds=range(5),
    lr=1.6e-2,
    rates=(0.25, 0.5, 2.0),
    keep=("no norm on Q and K", "QK norm"),
)
