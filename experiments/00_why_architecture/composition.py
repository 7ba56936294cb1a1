"""How many permutations can one block compose, and how many can four of the same size?

A row is a start token and five permutations of three things. At each position the
target is the product of all permutations so far, one of six. Every position needs one
composition more than the one before, and nothing has to be remembered but the group.
The blocks are of equal size: 4 (4 64^2 + 3 64 128) = 4 128^2 + 3 128 256 weights.
"""

import math

import torch
from torch import Tensor, nn

from course_lib.specs.small import small_llama
from course_lib.train.experiment import Experiment, Task

PERMUTATIONS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
START, LENGTH, ROWS = 6, 5, 64


def product(i: int, j: int) -> int:
    """Index of: first j, then i."""
    a, b = PERMUTATIONS[i], PERMUTATIONS[j]
    return PERMUTATIONS.index(tuple(a[b[k]] for k in range(3)))


TABLE = torch.tensor([[product(i, j) for j in range(6)] for i in range(6)])


def words(generator: torch.Generator, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Random permutations behind a start token, and their prefix products."""
    x = torch.randint(6, (rows, 1 + LENGTH), generator=generator)
    x[:, 0] = START
    y = torch.zeros_like(x)  # the start stands for the identity, number 0
    for t in range(1, 1 + LENGTH):
        y[:, t] = TABLE[y[:, t - 1], x[:, t]]
    return x, y


@torch.no_grad()
def scores(model: nn.Module) -> dict[str, float]:
    """Share of right products, by how many permutations they compose."""
    x, y = words(torch.Generator().manual_seed(1), rows=1000)
    right = (model(x).argmax(-1) == y).double().mean(0)
    return {f"right at {t}": right[t].item() for t in range(1, 1 + LENGTH)}


experiment = Experiment(
    asks="At equal parameters, do four blocks compose more permutations than one?",
    task=Task(
        name=f"products of {LENGTH} permutations, {ROWS} rows",
        batch=words,
        held_out=[words(torch.Generator().manual_seed(2), rows=500)],
        baselines=lambda: {"chance": LENGTH * math.log(6) / (1 + LENGTH)},
        bar=("chance", 1.2),
        unit="nats per position",
        scores=scores,
    ),
    variants={
        "4 blocks": small_llama(64, layers=4, heads=4, ffn=128, vocab=7),
        "1 block": small_llama(128, layers=1, heads=4, ffn=256, vocab=7),
    },
    seeds=range(8),
    updates=(750, 1500),
    lr=3e-3,
)
