"""What can a recurrent network do, what can attention, and what can both?

Two tasks in one model. *Recall*: 2 to 6 pairs of key and value (`tasks.recall`, 8 keys
and 8 values), then all keys again, each followed by its value. *Parity*: bits, and at
each of them whether an odd number of ones has come so far. A batch has 32 rows of the
first and 16 of the second, of equal length; losses are means over all answers.

Stacks have two layers, 32 channels and 25,376 parameters (the widths of the
feed-forward networks even them out), and a word names them from the first layer to the
last: g a GRU, l an LSTM, a attention with two heads and RoPE. AdamW at 1e-2. Scores:
shares of right answers in 64 held-out rows of 6 pairs (chance: one in 8), and in 64
rows of 23 bits over the last 12 of them (chance: a half).
"""

from collections.abc import Mapping
from dataclasses import replace

import torch

from course_lib.models.hybrids.stack import hybrid_spec
from course_lib.specs.records import ModelSpec
from course_lib.tasks.recall import associative_recall
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Measurement, Task, Trial, run_one
from course_lib.train.objectives import causal_batch

SYMBOLS, BITS = 16, 2
VOCAB = SYMBOLS + 2 * BITS
FFN = {"g": 48, "l": 26, "a": 82}
PAIRS, LONGEST, LATE = (2, 3, 4, 6), 6, 12
SEEDS, UPDATES = range(5), 250


def stack(word: str) -> ModelSpec:
    """The stack that a word names."""
    spec = hybrid_spec(word, 32, 2, vocab=VOCAB, tied=False)
    layers = [
        replace(layer, ffn=replace(layer.ffn, width=FFN[letter]))
        for letter, layer in zip(word, spec.layers, strict=True)
    ]
    return replace(spec, layers=tuple(layers))


def recall_rows(count: int, pairs: int, generator: torch.Generator, part: str) -> Batch:
    """Rows of pairs, all of whose keys are asked for."""
    found = associative_recall(count, pairs, pairs, SYMBOLS, generator, part=part)
    return causal_batch(found.tokens, found.mask)


def parity_rows(count: int, length: int, generator: torch.Generator) -> Batch:
    """Rows of bits, and the parity of all bits so far."""
    bits = torch.randint(BITS, (count, length), generator=generator)
    parity = bits.cumsum(1) % BITS
    shifted = bits + SYMBOLS, parity + SYMBOLS + BITS
    return Batch(*shifted, torch.ones_like(bits, dtype=torch.bool))


def drawn(generator: torch.Generator) -> Batch:
    """A training batch of both tasks."""
    pairs = PAIRS[int(torch.randint(len(PAIRS), (1,), generator=generator))]
    recall = recall_rows(32, pairs, generator, "train")
    parity = parity_rows(16, recall.inputs.shape[1], generator)
    parts = zip(recall[:3], parity[:3], strict=True)
    return Batch(*(torch.cat(pair) for pair in parts))


TEST = torch.Generator().manual_seed(99)
HELD_OUT = [
    recall_rows(64, LONGEST, TEST, "valid"),
    parity_rows(64, 4 * LONGEST - 1, TEST),
]


@torch.no_grad()
def shares_right(model: torch.nn.Module) -> Mapping[str, float]:
    """The share of right answers in each task."""
    model.eval()
    recall, parity = HELD_OUT
    found = model(recall.inputs).argmax(-1) == recall.targets
    late = (model(parity.inputs).argmax(-1) == parity.targets)[:, -LATE:]
    return {
        "recall": found[recall.mask].float().mean().item(),
        "parity": late.float().mean().item(),
    }


TASK = Task(
    name="recall of 2 to 6 pairs, and parity",
    batch=drawn,
    held_out=HELD_OUT,
    baselines=dict,
    bar=("chance", 0.0),
    loss=language_loss,
    unit="nats per answer",
    scores=shares_right,
)


def trained() -> Mapping:
    """Scores of each word and seed, with parameters and CPU seconds."""
    words = {word: stack(word) for word in ("gg", "ll", "aa", "ga")}
    stated = Experiment(
        asks="", task=TASK, variants=words, seeds=SEEDS, updates=(UPDATES,), lr=1e-2
    )
    sizes, runs = {}, []
    for seed in SEEDS:
        for word in words:
            found = run_one(stated, Trial(word, seed, UPDATES))
            sizes[word] = sum(p.numel() for p in found.model.parameters())
            kept = {key: found.record[key] for key in ("seed", "loss", "scores")}
            runs.append({"word": word, **kept, "cpu_s": found.record["cpu_s"]})
    return {"updates": UPDATES, "parameters": sizes, "runs": runs}


experiment = Measurement(
    asks="What can a recurrent network do, what can attention, and what can both?",
    measure=trained,
)
