"""Which layers copy letters whose places differ from row to row?

Three letters of eight stand among eleven tokens of noise, at places drawn for each row;
then they are to be written in their order (`tasks.copying`). Three models of about
10,700 parameters, 17 tokens in the vocabulary:

    Mamba       one block, 64 channels with 16 numbers of state each
    S4D         one block of S4D (16 modes a channel) and SwiGLU 72, time-invariant
    attention   two blocks of width 24, 4 heads, RoPE, SwiGLU 40, since one layer of
                attention cannot count

Batches of 32 rows, AdamW at 2e-2, attention at 1e-2. The score is the share of letters
written right; one in eight is chance.
"""

import math
from dataclasses import replace

import torch
from torch import nn

from course_lib.layers.recurrent.s4d import S4D
from course_lib.models.lm import CausalLM
from course_lib.specs.records import SSMSpec
from course_lib.specs.small import small_llama
from course_lib.tasks.copying import copying
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task, Variant

LENGTH, LETTERS, ROWS, TESTED = 14, 3, 32, 256
VOCAB = 17
ONE_BLOCK = small_llama(32, layers=1, heads=4, ffn=72, vocab=VOCAB)
PART = SSMSpec(kind="mamba1", d_inner=64, state=16, conv=4, dt_rank=2)
MAMBA = replace(ONE_BLOCK, layers=(replace(ONE_BLOCK.layers[0], mixer=PART, ffn=None),))


def s4d() -> nn.Module:
    """The block of attention, with S4D in the place of its mixer."""
    model = CausalLM(ONE_BLOCK)
    model.blocks[0].mixer = S4D(32, state=16)
    return model


def drawn(generator: torch.Generator, rows: int = ROWS) -> Batch:
    """Rows of the task."""
    return Batch(*copying(rows, LENGTH, LETTERS, generator, selective=True))


HELD_OUT = [drawn(torch.Generator().manual_seed(99), TESTED)]


@torch.no_grad()
def share_right(model: nn.Module) -> dict[str, float]:
    """The share of held-out letters that the model writes right."""
    model.eval()
    (batch,) = HELD_OUT
    right = model(batch.inputs).argmax(-1) == batch.targets
    return {"right": right[batch.mask].float().mean().item()}


experiment = Experiment(
    asks="Which layers copy letters whose places differ from row to row?",
    task=Task(
        name="selective copying, 3 of 14",
        batch=drawn,
        held_out=HELD_OUT,
        baselines=lambda: {"chance": math.log(8)},
        bar=("chance", 1.5),
        loss=language_loss,
        unit="nats per letter",
        scores=share_right,
    ),
    variants={
        "Mamba": MAMBA,
        "S4D": s4d,
        "attention": Variant(
            small_llama(24, layers=2, heads=4, ffn=40, vocab=VOCAB), lr=1e-2
        ),
    },
    seeds=range(5),
    updates=(150, 300),
    lr=2e-2,
)
