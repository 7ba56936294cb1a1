"""One block against four at equal size: does depth show in the loss on text?

Matched without the token embedding: 4 blocks of width 64 hold 4 (4 64^2 + 3 64 176)
weights, 1 block of width 128 the same with an FFN of 352. With the embedding, whose
rows are twice as wide, the single block holds 7.4 % more, a mismatch in its favour.
"""

from course_lib.specs.small import small_llama
from course_lib.train.experiment import Experiment
from course_lib.train.standard import STANDARD, stdlib_task

experiment = Experiment(
    asks="At equal parameters, do four blocks in series predict text better than one?",
    task=stdlib_task(),
    variants={
        "4 blocks": STANDARD,
        "1 block": small_llama(128, layers=1, heads=4, ffn=352),
    },
)
