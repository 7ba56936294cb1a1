"""How many layers of a stack must attend, and which, to recall more than a state holds?

Associative recall with many queries (`tasks.recall`, 16 keys and 16 values): rows of
2, 4 or 8 pairs, then all the keys again, each followed by its value. All stacks have
three layers without feed-forward networks, 32 channels and about 14,500 parameters,
and a word names them, a letter a layer from the first to the last:

    s    Mamba-2: 34 channels, 8 numbers of state each, a convolution over four tokens
    a    attention with 2 heads; it keeps 64 numbers a token

Where another layer keeps a state, attention has no positions, as in Jamba;
`aaa` has RoPE. Batches of 32 rows, AdamW at 1e-2. The loss is that of rows of 4 and of
8 pairs. Scores: the share of answers that are right, by number of pairs, 16 of which
were never trained on. Chance is one in 16.
"""

import math
from dataclasses import replace

import torch
from torch import nn

from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.specs.records import ModelSpec
from course_lib.tasks.recall import associative_recall
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task
from course_lib.train.objectives import causal_batch

VOCAB, WIDTH, CHANNELS, STATE, ROWS, TESTED = 32, 32, 34, 8, 32, 64
PAIRS, TESTS = (2, 4, 8), (2, 4, 8, 16)


def stack(pattern: str) -> ModelSpec:
    """The stack that a word names, its two kinds of layer of equal size."""
    positions = "s" not in pattern
    sizes = {"vocab": VOCAB, "tied": False, "positions": positions}
    spec = hybrid_spec(pattern, WIDTH, 2, **sizes)
    layers = []
    for letter, layer in zip(pattern, spec.layers, strict=True):
        mixer = layer.mixer
        if letter == "s":
            heads = {"heads": 2, "head_dim": CHANNELS // 2}
            mixer = replace(mixer, d_inner=CHANNELS, state=STATE, **heads)
        layers.append(replace(layer, mixer=mixer, ffn=None))
    return replace(spec, layers=tuple(layers))


def rows(pairs: int, count: int, generator: torch.Generator, part: str) -> Batch:
    """Rows of one number of pairs."""
    found = associative_recall(count, pairs, pairs, VOCAB, generator, part=part)
    return causal_batch(found.tokens, found.mask)


def drawn(generator: torch.Generator) -> Batch:
    """A training batch, of one number of pairs."""
    chosen = int(torch.randint(len(PAIRS), (1,), generator=generator))
    return rows(PAIRS[chosen], ROWS, generator, "train")


TEST = torch.Generator().manual_seed(99)
TESTED_ROWS = {pairs: rows(pairs, TESTED, TEST, "valid") for pairs in TESTS}


@torch.no_grad()
def shares_right(model: nn.Module) -> dict[str, float]:
    """The share of held-out answers that are right, for each number of pairs."""
    model.eval()
    shares = {}
    for pairs, batch in TESTED_ROWS.items():
        right = model(batch.inputs).argmax(-1) == batch.targets
        shares[f"{pairs} pairs"] = right[batch.mask].float().mean().item()
    return shares


experiment = Experiment(
    asks="How many layers of a stack must attend, and which, to recall more than a "
    "state holds?",
    task=Task(
        name="associative recall, 2 to 8 pairs",
        batch=drawn,
        held_out=[TESTED_ROWS[4], TESTED_ROWS[8]],
        baselines=lambda: {"chance": math.log(16)},
        bar=("chance", 1.5),
        loss=language_loss,
        unit="nats per answer",
        scores=shares_right,
    ),
    variants={word: stack(word) for word in ("sss", "ass", "sas", "ssa", "saa", "aaa")},
    seeds=range(5),
    updates=(180, 360),
    lr=1e-2,
    keep=("sas", "sss"),
)
