"""Lab 4, the ending: a small mixture of experts that predicts the next byte from eight,
built on the student's own functions.

Symbols: n examples, d width, e experts, k picks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from course_lib.evaluate.ngrams import kneser_ney
from course_lib.tasks.corpora import Corpus, stdlib_source

CONTEXT, WIDTH, INNER, EXPERTS, PICKS = 8, 64, 64, 8, 2
BYTES, HELD_OUT, BATCH = 500_000, 12_000, 512
RATE, ALPHA, GAMMA = 4e-3, 0.01, 0.002
EVERYTHING = slice(None)
TO_CHOOSE, TO_REPORT = slice(HELD_OUT // 2), slice(HELD_OUT // 2, None)


@dataclass(frozen=True)
class Answers:
    """The student's functions, by the names of the lab."""

    mixtral_routing: Callable
    v3_routing: Callable
    moe: Callable
    by_expert: Callable
    capacity: Callable
    within_capacity: Callable
    waste: Callable
    balance_loss: Callable
    update_bias: Callable
    skip: Callable
    keep_experts: Callable
    choose: Callable


@cache
def text() -> Corpus:
    """Half a megabyte of the standard library's source, a tenth of it held out."""
    return stdlib_source(BYTES)


def held_out() -> tuple[Tensor, Tensor]:
    """Contexts [n 8] and next bytes [n] of files that training never sees."""
    windows = text().valid[: HELD_OUT + CONTEXT].unfold(0, CONTEXT + 1, 1)
    return windows[:, :-1], windows[:, -1]


def ngram_lines() -> dict[int, float]:
    """Nats a byte of Kneser-Ney's bigram and trigram on the same text."""
    found = kneser_ney(text().train, text().valid[: HELD_OUT + CONTEXT], orders=3)
    return {order: found[order] for order in (2, 3)}


class ByteMoE(nn.Module):
    """Eight bytes, one layer of experts, the next byte.

    Args:
        answers: the student's functions.
        balancing: "none", "loss" or "bias".
    """

    def __init__(self, answers: Answers, balancing: str) -> None:
        super().__init__()
        self.answers, self.balancing = answers, balancing
        self.embed = nn.Embedding(256, 16)
        self.enter = nn.Linear(16 * CONTEXT, WIDTH)
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        sizes = WIDTH, INNER
        self.w_in = nn.Parameter(torch.randn(EXPERTS, *sizes) / WIDTH**0.5)
        self.w_out = nn.Parameter(torch.randn(EXPERTS, *sizes[::-1]) / INNER**0.5)
        self.leave = nn.Linear(WIDTH, 256)
        self.register_buffer("bias", torch.zeros(EXPERTS, dtype=torch.float64))
        self.gone = torch.zeros(EXPERTS, dtype=torch.bool)  # experts that were evicted

    def routing(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picks, weights and the raw logits of states h [n d]."""
        logits = self.router(h)
        open_to = logits.masked_fill(self.gone, -torch.inf)
        if self.balancing == "bias":
            given = self.bias.to(h.dtype), PICKS, 1, 1, 1.0
            return *self.answers.v3_routing(open_to, *given), logits
        return *self.answers.mixtral_routing(open_to, PICKS), logits

    def experts(self) -> list[Callable]:
        """One function an expert."""
        pairs = zip(self.w_in, self.w_out, strict=True)
        return [lambda h, a=a, b=b: relu(h @ a) @ b for a, b in pairs]

    def forward(self, context: Tensor, change: Callable | None = None) -> tuple:
        """Logits of the next byte, and what the router did; `change` may alter the
        weights [n k] before the experts run.
        """
        h = relu(self.enter(self.embed(context).flatten(1)))
        picks, weights, logits = self.routing(h)
        if change is not None:
            weights = change(picks, weights)
        y = h + self.answers.moe(h, picks, weights, self.experts())
        return self.leave(y), picks, weights, logits

    @property
    def bytes_per_expert(self) -> int:
        """Bytes of one expert's weights."""
        return (self.w_in[0].numel() + self.w_out[0].numel()) * 4


def trained(answers: Answers, balancing: str, steps: int) -> ByteMoE:
    """A model after `steps` updates; the same batches whatever the balancing."""
    torch.manual_seed(0)
    model, train = ByteMoE(answers, balancing), text().train
    generator = torch.Generator().manual_seed(1)
    adam = torch.optim.AdamW(model.parameters(), RATE)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.02, steps)
    real = torch.ones(BATCH, dtype=torch.bool)
    for _ in range(steps):
        at = torch.randint(len(train) - CONTEXT, (BATCH, 1), generator=generator)
        window = train[at + torch.arange(CONTEXT + 1)]
        told, picks, _, logits = model(window[:, :-1])
        loss = cross_entropy(told, window[:, -1])
        if balancing == "loss":
            loss = loss + ALPHA * answers.balance_loss(logits, picks, real)
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
        if balancing == "bias":
            _, counts = answers.by_expert(picks, EXPERTS)
            model.bias = answers.update_bias(model.bias, counts, GAMMA)
    return model


@torch.no_grad()
def scored(
    model: ByteMoE, change: Callable | None = None, part: slice = EVERYTHING
) -> tuple[float, Tensor, Tensor]:
    """Held-out nats a byte, picks, and the weights that were used."""
    context, following = (side[part] for side in held_out())
    told, picks, weights, _ = model(context, change)
    return float(cross_entropy(told, following)), picks, weights
