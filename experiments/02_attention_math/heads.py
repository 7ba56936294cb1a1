"""What do several heads add, and what does the root of the key width?

The standard run with four heads of 16, with one head of 64, which has the same
parameters, and with one head of 64 whose scores are not divided by the root of 64. The
start is the same in the last two, so queries and keys begin at a size at which
undivided scores spread eight times as wide.
"""

from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task

ONE_HEAD = small_llama(64, layers=4, heads=1, ffn=176)


def not_divided() -> CausalLM:
    """One head; the scale is set when the start is drawn, which would else make up for
    it.
    """
    model = CausalLM(ONE_HEAD)
    for block in model.blocks:
        block.mixer.scale = 1.0
    return model


experiment = Experiment(
    asks="What do several heads add, and what does the root of the key width?",
    task=stdlib_task(),
    variants={"4 heads": STANDARD, "1 head": ONE_HEAD, "not divided": not_divided},
    seeds=range(8),
    keep=("not divided",),
)
