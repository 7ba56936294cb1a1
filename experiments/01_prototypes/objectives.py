"""What does an objective make of a model? The same texts, the same size and updates,
asked for the next letter or for masked letters.

A text is eight random letters, and the same eight again. So a letter of the first half
can be known from the right side alone, and all of the second half from the left. Chance
is one letter in 16; a causal model cannot get below ln 16 in the first half, whatever
it learns, and a masked model whose letter has a visible copy can get to 0.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from course_lib.specs.records import ModelSpec, TransformSpec
from course_lib.specs.small import small_llama
from course_lib.tasks.tokenizer import FIRST_MERGE, MASK
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task, Variant
from course_lib.train.objectives import causal_batch, masked_batch

LETTERS, HALF, ROWS, WIDTH = 16, 8, 32, 64
FIRST = ord("a")


def texts(rows: int, generator: Generator) -> Tensor:
    """Rows of letters whose second half repeats the first: [rows 2 HALF]."""
    half = FIRST + torch.randint(LETTERS, (rows, HALF), generator=generator)
    return torch.cat([half, half], dim=1)


def causal(generator: Generator, rows: int = ROWS) -> Batch:
    """Loss on every letter but the first, given those before it."""
    return causal_batch(texts(rows, generator))


def masked(generator: Generator, rows: int = ROWS) -> Batch:
    """BERT's damage: loss on 15 % of the letters, given both sides."""
    return masked_batch(texts(rows, generator), FIRST_MERGE, generator)


def spec(ffn: int) -> ModelSpec:
    """A small Llama of two blocks over bytes and control tokens."""
    return small_llama(WIDTH, ffn=ffn, vocab=FIRST_MERGE)


def encoder(ffn: int) -> ModelSpec:
    """The same that attends to both sides, with BERT's head."""
    decoder = spec(ffn)
    layer = decoder.layers[0]
    both = replace(layer, mixer=replace(layer.mixer, causal=False))
    head = TransformSpec(activation="silu", norm=layer.norm, bias=False)
    return replace(decoder, layers=(both,) * 2, head="mlm", transform=head)


@torch.no_grad()
def letters_of(logits: Tensor) -> Tensor:
    """Log-probabilities of the 16 letters, others ruled out: [... LETTERS]."""
    return logits[..., FIRST : FIRST + LETTERS].log_softmax(-1)


@torch.no_grad()
def scores(model: nn.Module) -> Mapping[str, float]:
    """What a model can do with texts that it has not seen.

    `fills`: letters of the first half right, all others given (%).
    `continues`: letters of the second half right, written one by one (%).
    `agrees`: pairs of a text that is written from its first letter at once (masked) or
    one by one (causal), sampled, whose two letters are equal (%).
    """
    held = texts(256, Generator().manual_seed(77))
    reads_both = model.spec.head == "mlm"
    return {
        "fills": 100 * _fills(model, held, reads_both),
        "continues": 100 * _continues(model, held, reads_both),
        "agrees": 100 * _agrees(model, held, reads_both),
    }


def _fills(model: nn.Module, held: Tensor, reads_both: bool) -> float:
    right = []
    for place in range(1, HALF):
        hidden = held.clone()
        if reads_both:
            hidden[:, place] = MASK
        at = place if reads_both else place - 1
        said = FIRST + letters_of(model(hidden)[:, at]).argmax(-1)
        right.append((said == held[:, place]).double().mean())
    return torch.stack(right).mean().item()


def _continues(model: nn.Module, held: Tensor, reads_both: bool) -> float:
    row = held[:, :HALF]
    end = torch.full((len(held), 1), MASK)
    for _ in range(HALF):
        given = torch.cat([row, end], dim=1) if reads_both else row
        said = FIRST + letters_of(model(given)[:, -1:]).argmax(-1)
        row = torch.cat([row, said], dim=1)
    return (row[:, HALF:] == held[:, HALF:]).double().mean().item()


def _agrees(model: nn.Module, held: Tensor, reads_both: bool) -> float:
    dice = Generator().manual_seed(78)
    row = held[:, :1]
    if reads_both:
        hidden = torch.cat([row, torch.full((len(row), 2 * HALF - 1), MASK)], dim=1)
        found = letters_of(model(hidden)).exp()[:, 1:]
        drawn = torch.multinomial(found.flatten(0, 1), 1, generator=dice)
        row = torch.cat([row, FIRST + drawn.view(len(row), -1)], dim=1)
    while row.shape[1] < 2 * HALF:
        chance = letters_of(model(row)[:, -1]).exp()
        drawn = FIRST + torch.multinomial(chance, 1, generator=dice)
        row = torch.cat([row, drawn], dim=1)
    pairs = row[:, 1:HALF] == row[:, HALF + 1 :]
    return pairs.double().mean().item()


def task(name: str, batch, best: float) -> Task:
    """One objective, scored on batches of its own kind."""
    dice = Generator().manual_seed(99)
    return Task(
        name=name,
        batch=batch,
        held_out=[batch(dice, 64) for _ in range(8)],
        baselines=lambda: {"chance": math.log(LETTERS), "copies known": best},
        bar=("chance", 0.15),
        loss=language_loss,
        unit="nats per target",
        scores=scores,
    )


# 7 of the 15 targets of a row are new letters; the others repeat.
next_letter = task("next letter", causal, 7 / 15 * math.log(LETTERS))
# 2 of 16 letters are hidden; a letter's copy is the other one in 1 row of 15.
masked_letters = task("masked letters", masked, math.log(LETTERS) / 15)

experiment = Experiment(
    asks="What can a model do that was asked for next letters, or for masked ones?",
    task=next_letter,
    variants={
        "causal": spec(168),
        "masked": Variant(encoder(156), task=masked_letters),
    },
    seeds=range(8),
    updates=(200, 400),
    keep=("causal", "masked"),
)
