"""Which memory between segments recalls what was said two segments before?

A text is read in three segments of five tokens. Each says two pairs, a key of six with
a value of eight in one token, and then asks for three keys of this segment and of those
before; no key comes twice. The score is the share of right values, by how many segments
before the question the pair stood. Chance is one in eight. All are two layers of width
24 with 4 heads and differ in what a segment leaves:

    full attention     no segments
    window alone       nothing
    Transformer-XL     what entered each layer in the five tokens before
    memory tokens      eight vectors, written behind a segment and read before the next
    block recurrence   eight state vectors beside the first layer
    kNN memory         keys and values of the first layer; four neighbours, one softmax

The kNN memory's layer has no rotation, so that old keys are comparable. Batches of 32
rows, AdamW at 2e-2. The block-recurrent cell has 6,000 parameters more than the others.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor, nn

from course_lib.models.hybrids.block_recurrent import BlockRecurrentLayer
from course_lib.models.hybrids.knn_memory import MemorizingLM
from course_lib.models.hybrids.memory_tokens import MemoryTokenLM
from course_lib.models.hybrids.segment_recurrence import SegmentRecurrentLM
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task

KEYS, VALUES, SEGMENTS, PAIRS, ASKED = 6, 8, 3, 2, 3
LENGTH = PAIRS + ASKED
ROWS, TESTED, WIDTH = 32, 512, 24
VOCAB = KEYS * VALUES + KEYS
SPEC = small_llama(WIDTH, layers=2, heads=4, ffn=48, vocab=VOCAB, tied=False)
FIRST, SECOND = SPEC.layers
NO_ROTATION = replace(FIRST, mixer=replace(FIRST.mixer, rope=None))


def drawn(generator: Generator, rows: int = ROWS) -> tuple[Batch, Tensor]:
    """Rows of the task, and of each question how many segments back its pair is."""
    keys = torch.rand(rows, KEYS, generator=generator).argsort(1).view(rows, -1, PAIRS)
    values = torch.randint(VALUES, keys.shape, generator=generator)
    inputs, targets, back, row = [], [], [], torch.arange(rows)[:, None]
    for segment in range(SEGMENTS):
        order = torch.rand(rows, ASKED, generator=generator).argsort(1)
        distance = order % (segment + 1)
        which = torch.randint(PAIRS, (rows, ASKED), generator=generator)
        asked = row, segment - distance, which
        inputs += [keys[:, segment] * VALUES + values[:, segment]]
        inputs += [KEYS * VALUES + keys[asked]]
        targets += [torch.zeros(rows, PAIRS, dtype=torch.long), values[asked]]
        back += [torch.full((rows, PAIRS), -1), distance]
    inputs, targets, back = (torch.cat(parts, 1) for parts in (inputs, targets, back))
    return Batch(inputs, targets, back >= 0), back


class Reader(nn.Module):
    """A model that reads a row in segments; `read` says how."""

    def __init__(self, model: nn.Module, read: Callable[[nn.Module, Tensor], Tensor]):
        super().__init__()
        self.model, self.read = model, read

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits [b t vocab]."""
        return self.read(self.model, tokens)


class BlockRecurrentLM(nn.Module):
    """A block-recurrent cell, then a layer that sees its segment alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = CausalLM(replace(SPEC, layers=(SECOND,)))
        self.cell = BlockRecurrentLayer(WIDTH, 4, 8, ffn=48)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [b t vocab]."""
        places = torch.arange(LENGTH).expand(len(tokens), -1)
        x, _ = self.cell.read(self.lm.embed(tokens, None), LENGTH)
        upper = [self.lm.blocks[0](part, places) for part in x.split(LENGTH, 1)]
        return self.lm.score(self.lm.final_norm(torch.cat(upper, 1)))


def in_segments(model: nn.Module, tokens: Tensor) -> Tensor:
    """Segment by segment, by the model's own reader."""
    found = model.read(tokens, LENGTH)
    return found[0] if isinstance(found, tuple) else found


def at_once(model: nn.Module, tokens: Tensor) -> Tensor:
    """The whole row."""
    return model(tokens)


def carried(memory: int) -> Reader:
    """Transformer-XL; a memory of 0 is the window alone."""
    return Reader(SegmentRecurrentLM(CausalLM(SPEC), memory), in_segments)


def nearest() -> Reader:
    """The memory stands in the first layer."""
    model = CausalLM(replace(SPEC, layers=(NO_ROTATION, SECOND)))
    return Reader(MemorizingLM(model, 0, 4, 99, gate="mass"), in_segments)


TEST, BACK = drawn(Generator().manual_seed(99), TESTED)


@torch.no_grad()
def shares_right(model: nn.Module) -> dict[str, float]:
    """The share of right values, by segments between question and pair."""
    model.eval()
    right = (model(TEST.inputs).argmax(-1) == TEST.targets).float()
    return {f"{d} back": right[d == BACK].mean().item() for d in range(SEGMENTS)}


experiment = Experiment(
    asks="Which memory between segments recalls what was said two segments before?",
    task=Task(
        name="pairs asked for 0 to 2 segments later",
        batch=lambda generator: drawn(generator)[0],
        held_out=[TEST],
        baselines=lambda: {"chance": math.log(VALUES)},
        bar=("chance", 1.5),
        loss=language_loss,
        unit="nats per answer",
        scores=shares_right,
    ),
    variants={
        "full attention": lambda: Reader(CausalLM(SPEC), at_once),
        "window alone": partial(carried, 0),
        "Transformer-XL": partial(carried, LENGTH),
        "memory tokens": lambda: Reader(MemoryTokenLM(CausalLM(SPEC), 8), in_segments),
        "block recurrence": lambda: Reader(BlockRecurrentLM(), at_once),
        "kNN memory": nearest,
    },
    seeds=range(5),
    updates=(90, 180),
    lr=2e-2,
    keep=("kNN memory", "Transformer-XL"),
)
