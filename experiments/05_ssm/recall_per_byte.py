"""How many pairs can a trained layer recall, against the bytes that it keeps?

Associative recall with many queries (`tasks.recall`, 16 keys and 16 values): rows of 4,
8 or 16 pairs, then some of the keys again, at most 8, each followed by its value. All
models are one layer: a projection to a query, a key and a value of 16 numbers, a
convolution over four tokens, a core, RMSNorm, and the way back to 32 channels. They
differ in the core alone, and in the width of their keys:

    attention       softmax; keeps every key and value
    linear, k       a state of k x 16 to which every pair is added, times a strength
    SSD, k          the same with a decay that the token chooses, as in Mamba-2
    gated delta, k  SSD, and what the key recalls is taken out before it is written

Keys and queries of the last three have length 1. Batches of 32 rows, AdamW at 2e-2.
Scores: the share of answers that are right, by number of pairs. Chance is one in 16.
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.layers.norms import RMSNorm
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.delta_rule import delta_rule_parallel, unit
from course_lib.layers.recurrent.linear_attention import linear_attention_parallel
from course_lib.models.layer_factory import initialise
from course_lib.tasks.recall import associative_recall
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task
from course_lib.train.objectives import causal_batch

VOCAB, WIDTH, VALUE, QUERIES, ROWS, TESTED = 32, 32, 16, 8, 32, 64
PAIRS = (4, 8, 16)
STAYS = 6.0  # sigmoid(6) of the state is left after a token at the start


class Recaller(nn.Module):
    """One layer between an embedding and a head; `core` is one of the four above."""

    def __init__(self, core: str, k: int) -> None:
        super().__init__()
        self.core, self.widths = core, (k, k, VALUE)
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.norm, self.out_norm = RMSNorm(WIDTH, 1e-6), RMSNorm(VALUE, 1e-6)
        self.line = nn.Linear(WIDTH, sum(self.widths), bias=False)
        self.conv = CausalConv(sum(self.widths), 4, bias=False)
        self.gates = nn.Linear(WIDTH, 2)
        self.w_out = nn.Linear(VALUE, WIDTH, bias=False)
        self.final = RMSNorm(WIDTH, 1e-6)
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)
        initialise(self)
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor([0.0, STAYS]))

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits [b t vocab]; there are no positions."""
        x = self.embed(tokens)
        normed = self.norm(x)
        line, _ = self.conv(self.line(normed), None, None)
        parts = (part[:, :, None] for part in F.silu(line).split(self.widths, -1))
        y = self.mixed(*parts, *self.gates(normed).split(1, -1))[:, :, 0]
        return self.head(self.final(x + self.w_out(self.out_norm(y))))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, strength: Tensor, stays: Tensor):
        """The core, for one head: [b t 1 v]."""
        if self.core == "attention":
            q, k, v = (one.transpose(1, 2) for one in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return y.transpose(1, 2)
        beta, decay = torch.sigmoid(strength), F.logsigmoid(stays)[..., None]
        q, k = unit(q), unit(k)
        if self.core == "gated delta":
            return delta_rule_parallel(q, k, v, beta, decay)[0]
        decay = None if self.core == "linear" else decay
        return linear_attention_parallel(q, k, beta[..., None] * v, decay)[0]


def rows(pairs: int, count: int, generator: torch.Generator, part: str) -> Batch:
    """Rows of one number of pairs."""
    asked = min(pairs, QUERIES)
    found = associative_recall(count, pairs, asked, VOCAB, generator, part=part)
    return causal_batch(found.tokens, found.mask)


def drawn(generator: torch.Generator) -> Batch:
    """A training batch, of one number of pairs."""
    chosen = int(torch.randint(len(PAIRS), (1,), generator=generator))
    return rows(PAIRS[chosen], ROWS, generator, "train")


TEST = torch.Generator().manual_seed(99)
HELD_OUT = [rows(pairs, TESTED, TEST, "valid") for pairs in PAIRS]


@torch.no_grad()
def shares_right(model: nn.Module) -> dict[str, float]:
    """The share of held-out answers that are right, for each number of pairs."""
    model.eval()
    shares = {}
    for pairs, batch in zip(PAIRS, HELD_OUT, strict=True):
        right = model(batch.inputs).argmax(-1) == batch.targets
        shares[f"{pairs} pairs"] = right[batch.mask].float().mean().item()
    return shares


experiment = Experiment(
    asks="How many pairs can a trained layer recall, against the bytes that it keeps?",
    task=Task(
        name="associative recall, 4 to 16 pairs",
        batch=drawn,
        held_out=HELD_OUT,
        baselines=lambda: {"chance": math.log(16)},
        bar=("chance", 1.5),
        loss=language_loss,
        unit="nats per answer",
        scores=shares_right,
    ),
    variants={
        "attention": partial(Recaller, "attention", 16),
        "linear, 8": partial(Recaller, "linear", 8),
        "linear, 16": partial(Recaller, "linear", 16),
        "SSD, 16": partial(Recaller, "SSD", 16),
        "gated delta, 8": partial(Recaller, "gated delta", 8),
        "gated delta, 16": partial(Recaller, "gated delta", 16),
    },
    seeds=range(5),
    updates=(125, 250),
    lr=2e-2,
    keep=("attention", "gated delta, 16"),
)
