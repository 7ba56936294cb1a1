"""What does a reader learn that is trained with a good, or with a poor, retriever?

Facts to look up (`tasks.looked_up`): texts of four chunks of four tokens, each of which
ends in a key, whose value opens the next chunk. Two passages are looked up for each
chunk, and chunked cross-attention reads them (`models.hybrids.retrieval_lm`, one block
of width 32, one block of encoder). Half of the keys have the same value in all texts
and could be known by heart; the values of the others are only in the passage.

    found in half    the passage of the key is among the two in half of the chunks
    always found     in all of them
    never found      in none: what can be learned by heart

All have the same parameters, and see the same texts. Held-out texts have it in half.
The loss is on the values alone. Batches of 32 texts.
"""

import math

import torch
from torch import Tensor, nn

from course_lib.models.hybrids.retrieval_lm import RetrievalLM
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.tasks.looked_up import facts_to_look_up, vocabulary
from course_lib.train.batches import Batch, seq2seq_loss
from course_lib.train.experiment import Experiment, Task

ROWS, TESTED, CHUNKS, CHUNK, WIDTH, VALUES = 32, 256, 4, 4, 32, 8
SHAPE = (2, CHUNKS, 2, 2)  # right or wrong, chunk, passage, token


class Reader(nn.Module):
    """The model behind a batch's interface: `source` is [b 4 + 32], a number from 0 to
    99 for each chunk, and its passages with and without the right one.
    """

    def __init__(self, found: float) -> None:
        super().__init__()
        plain = CausalLM(small_llama(WIDTH, layers=1, vocab=vocabulary()))
        self.found = found
        self.reader = RetrievalLM(plain, CHUNK, [0], gated=False)

    def forward(self, source: Tensor, inputs: Tensor, places: None = None) -> Tensor:
        share = self.found if self.training else 0.5
        lucky = source[:, :CHUNKS] < 100 * share
        right, wrong = source[:, CHUNKS:].unflatten(1, SHAPE).unbind(1)
        shown = torch.where(lucky[..., None, None], right, wrong)
        return self.reader(inputs, shown)


def drawn(generator: torch.Generator, rows: int = ROWS) -> Batch:
    """Texts with both sets of passages; the loss is on the values."""
    found = facts_to_look_up(rows, generator, chunks=CHUNKS, chunk=CHUNK)
    luck = torch.randint(100, (rows, CHUNKS), generator=generator)
    source = torch.cat([luck, found.right.flatten(1), found.wrong.flatten(1)], 1)
    inputs, targets = found.tokens[:, :-1], found.tokens[:, 1:]
    mask = (torch.arange(CHUNKS * CHUNK) + 1) % CHUNK == 0
    return Batch(inputs, targets, mask.expand(rows, -1), source=source)


HELD_OUT = [drawn(torch.Generator().manual_seed(99), TESTED)]


@torch.no_grad()
def shares_right(model: nn.Module) -> dict[str, float]:
    """The share of held-out values written right: known and new facts, with the
    passage and without it.
    """
    model.eval()
    (batch,) = HELD_OUT
    known = batch.inputs[:, CHUNK - 1 :: CHUNK] < 6
    shares = {}
    for name, luck in (("with", 0), ("without", 99)):
        source = batch.source.clone()
        source[:, :CHUNKS] = luck
        said = model(source, batch.inputs).argmax(-1) == batch.targets
        right = said[:, CHUNK - 1 :: CHUNK].float()
        shares[f"known, {name}"] = right[known].mean().item()
        shares[f"new, {name}"] = right[~known].mean().item()
    return shares


experiment = Experiment(
    asks="What does a reader learn that is trained with a good or a poor retriever?",
    task=Task(
        name="facts to look up",
        batch=drawn,
        held_out=HELD_OUT,
        baselines=lambda: {"chance": math.log(VALUES)},
        bar=("chance", 0.8),
        loss=seq2seq_loss,
        unit="nats per value",
        scores=shares_right,
    ),
    variants={
        "found in half": lambda: Reader(0.5),
        "always found": lambda: Reader(1.0),
        "never found": lambda: Reader(0.0),
    },
    seeds=range(5),
    updates=(100, 200),
    lr=1e-2,
)
