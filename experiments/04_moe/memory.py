"""Do parameters that cost no FLOPs help a small model: hashed n-gram tables (Engram)
before its blocks?

The standard run, and the same with an `Engram` before its first block: tables for pairs
and triples of bytes, two for each, with rows of 8 numbers, so many that the model holds
as many parameters as the mixture of `sparse.py`, 2.87 times as many as without. A token
reads 32 numbers of them, and is multiplied by 2.0 % more weights. Tables start small
(0.02) and the gate half open.

The comparison that the claim is about is the mixture of equal size, which stands beside
it. What a count of the same text gives, the lines of Kneser-Ney in every figure, is the
other one: a table of triples stores what a count of triples does.
"""

from torch import nn

from course_lib.layers.feed_forward.ngram_memory import (
    Engram,
    MemoryBlock,
    NGramTable,
)
from course_lib.models.lm import CausalLM
from course_lib.train.experiment import Experiment
from course_lib.train.recording import load_experiment
from course_lib.train.standard import STANDARD, stdlib_task

ROWS, WIDTH, HEADS, ORDERS = 12_600, 8, 2, 3
SPARSE = "8 experts, 2 a token"


def with_memory() -> CausalLM:
    """The standard model, with n-gram tables before its first block."""
    model = CausalLM(STANDARD)
    table = NGramTable(256, ROWS, WIDTH, n=ORDERS, heads=HEADS)
    nn.init.normal_(table.table.weight, std=0.02)
    memory = Engram(STANDARD.width, table)
    model.blocks[0] = MemoryBlock(model.blocks[0], memory)
    return model


experiment = Experiment(
    asks="Do hashed n-gram tables help a small model as much as experts do?",
    task=stdlib_task(),
    variants={
        "dense": STANDARD,
        "n-gram tables": with_memory,
        SPARSE: load_experiment("sparse").variant(SPARSE),
    },
    seeds=range(5),
    updates=(350, 700),
)
