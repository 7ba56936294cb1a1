"""What does a short convolution give that attention has to learn, and what not?

A row says four pairs, each a pattern of two letters out of four and a value out of
eight, and then asks for the patterns in another order. At each pattern two things are
to be known:

    check     a class of four that a fixed table gives each pattern: a local matter
    look-up   at the question: the value that stood behind this pattern before

Models of two layers, 32 wide, with LFM2's mixer (c, a gated convolution over three
tokens) or attention (a, 4 heads, RoPE), the lower layer first; all have the same
number of parameters to within one in a hundred. Batches of 32 rows, AdamW at 1e-2.
Chance is one in four for the check and one in eight for the look-up.
"""

import math

import torch
from torch import Generator, Tensor, nn

from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task

LETTERS, VALUES, CHECKS, PAIRS, ASKED = 4, 8, 4, 4, 4
QUESTION = LETTERS + VALUES
VOCAB = QUESTION + 1
ROWS, TESTED = 32, 256
PATTERNS = LETTERS**2
TABLE = torch.randint(CHECKS, (PATTERNS,), generator=Generator().manual_seed(5))


def drawn(generator: Generator, rows: int = ROWS) -> tuple[Batch, Tensor]:
    """Rows of the task, and True where the target is looked up."""
    patterns = torch.rand(rows, PATTERNS, generator=generator).argsort(1)[:, :PAIRS]
    values = torch.randint(VALUES, (rows, PAIRS), generator=generator)
    asked = torch.rand(rows, PAIRS, generator=generator).argsort(1)[:, :ASKED]
    said = torch.cat([patterns, patterns.gather(1, asked)], 1)
    third = torch.cat([LETTERS + values, torch.full((rows, ASKED), QUESTION)], 1)
    inputs = torch.stack([said // LETTERS, said % LETTERS, third], 2).flatten(1)
    known = torch.cat([torch.zeros_like(values), values.gather(1, asked)], 1)
    targets = torch.stack([said * 0, VALUES + TABLE[said], known], 2).flatten(1)
    place = torch.arange(inputs.shape[1])
    looked_up = (place % 3 == 2) & (place >= 3 * PAIRS)
    mask = (looked_up | (place % 3 == 1)).expand(rows, -1)
    return Batch(inputs, targets, mask), looked_up.expand(rows, -1)


TEST, LOOKED_UP = drawn(Generator().manual_seed(99), TESTED)


@torch.no_grad()
def shares_right(model: nn.Module) -> dict[str, float]:
    """The share of right answers, of each kind."""
    model.eval()
    right = (model(TEST.inputs).argmax(-1) == TEST.targets).float()
    local = TEST.mask & ~LOOKED_UP
    return {"check": right[local].mean(), "look-up": right[LOOKED_UP].mean()}


def stack(pattern: str):
    """A model of two layers."""
    return hybrid_spec(pattern, 32, 4, vocab=VOCAB, tied=False)


experiment = Experiment(
    asks="What does a short convolution give that attention has to learn?",
    task=Task(
        name="patterns of two letters: check and look-up",
        batch=lambda generator: drawn(generator)[0],
        held_out=[TEST],
        baselines=lambda: {
            "chance": (8 * math.log(CHECKS) + 4 * math.log(VALUES)) / 12
        },
        bar=("chance", 1.0),
        loss=language_loss,
        unit="nats per answer",
        scores=shares_right,
    ),
    variants={
        "attention alone": stack("aa"),
        "convolution alone": stack("cc"),
        "convolution, then attention": stack("ca"),
    },
    seeds=range(5),
    updates=(160, 320),
    lr=1e-2,
    keep=("convolution, then attention", "attention alone"),
)
