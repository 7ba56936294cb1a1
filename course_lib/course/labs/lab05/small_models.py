"""Lab 5, the ending: three small language models that differ in their mixer, two of
them built on the student's functions.

Symbols: b batch, t tokens, d width, i inner channels, n state, w tokens under the
convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from course_lib.evaluate.ngrams import kneser_ney
from course_lib.layers.recurrent.mamba import start_of_step
from course_lib.tasks.corpora import Corpus, stdlib_source

WIDTH, STATE, RANK, CONV, HEADS = 32, 4, 2, 4, 2
TOKENS, BATCH, RATE = 32, 24, 8e-3
BYTES, HELD_OUT = 500_000, 9_600


@dataclass(frozen=True)
class Answers:
    """The student's functions, by the names of the lab."""

    zoh: Callable
    scan: Callable
    short_conv: Callable
    block: Callable
    wkv: Callable
    delta_chunked: Callable
    successors: Callable
    growth: Callable
    table: Callable


@cache
def text() -> Corpus:
    """Half a megabyte of the standard library's source, a tenth of it held out."""
    return stdlib_source(BYTES)


@cache
def ngram_lines() -> dict[int, float]:
    """Nats a byte of Kneser-Ney's bigram and trigram on the same text."""
    found = kneser_ney(text().train, text().valid[: HELD_OUT + 1], orders=3)
    return {order: found[order] for order in (2, 3)}


def _matrix(*sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*sizes) / sizes[-1] ** 0.5)


def _weights(mixer: str) -> nn.ParameterDict:
    """The start of one mixer's weights; all mixers have a short convolution."""
    d, zeros = WIDTH, nn.Parameter(torch.zeros(WIDTH))
    found = {"out": _matrix(d, d), "conv": _matrix(d, CONV), "conv_bias": zeros}
    if mixer == "block":
        rates = torch.arange(1.0, STATE + 1).log().repeat(d, 1)
        found |= {
            "in": _matrix(2 * d, d),
            "select": _matrix(RANK + 2 * STATE, d),
            "step": _matrix(d, RANK),
            "offset": nn.Parameter(start_of_step(d)),
            "a_log": nn.Parameter(rates),
            "skip": nn.Parameter(torch.ones(d)),
        }
    elif mixer == "wkv":
        found |= {name: _matrix(d, d) for name in ("k", "v", "gate")}
        found["decay"] = nn.Parameter(torch.linspace(-3.0, 1.0, d))
        found["bonus"] = nn.Parameter(torch.zeros(d))
    else:
        found |= {name: _matrix(d, d) for name in "qkv"}
    return nn.ParameterDict(found)


class ByteModel(nn.Module):
    """A byte, one mixer, one feed-forward network, the next byte.

    Args:
        mixer: "block", "wkv" or "attention".
        answers: the functions that block and wkv are built on.
    """

    def __init__(self, mixer: str, answers: Answers) -> None:
        super().__init__()
        self.mixer, self.answers = mixer, answers
        self.embed, self.leave = nn.Embedding(256, WIDTH), nn.Linear(WIDTH, 256)
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH) for _ in range(3))
        self.up, self.down = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)
        self.weights = _weights(mixer)

    def mix(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The mixed tokens, and what must be kept for the next one."""
        w = dict(self.weights.items())
        if self.mixer == "block":
            return self.answers.block(x, w, None)
        x, kept = self.answers.short_conv(x, w["conv"], w["conv_bias"], None)
        if self.mixer == "wkv":
            k, v, fixed = x @ w["k"].mT, x @ w["v"].mT, (-w["decay"].exp(), w["bonus"])
            y, state = self.answers.wkv(k, v, *fixed, None)
            return torch.sigmoid(x @ w["gate"].mT) * y @ w["out"].mT, (kept, *state)
        q, k, v = (
            (x @ w[name].mT).unflatten(2, (HEADS, -1)).transpose(1, 2) for name in "qkv"
        )
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2) @ w["out"].mT, (kept, k, v)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next byte [b t 256]."""
        x = self.embed(tokens)
        x = x + self.mix(self.norms[0](x))[0]
        x = x + self.down(torch.relu(self.up(self.norms[1](x))))
        return self.leave(self.norms[2](x))


def trained(mixer: str, answers: Answers, steps: int) -> ByteModel:
    """A model after `steps` updates; the same batches whatever the mixer."""
    torch.manual_seed(0)
    model, train = ByteModel(mixer, answers), text().train
    generator = torch.Generator().manual_seed(1)
    adam = torch.optim.AdamW(model.parameters(), RATE)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.02, steps)
    for _ in range(steps):
        at = torch.randint(len(train) - TOKENS, (BATCH, 1), generator=generator)
        window = train[at + torch.arange(TOKENS + 1)]
        told = model(window[:, :-1])
        loss = cross_entropy(told.flatten(0, 1), window[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
    return model


@torch.no_grad()
def held_out_loss(model: ByteModel) -> float:
    """Nats a byte on files that training never saw, in pieces of `TOKENS`."""
    part = text().valid[: HELD_OUT + 1]
    tokens, following = part[:-1].view(-1, TOKENS), part[1:]
    return float(cross_entropy(model(tokens).flatten(0, 1), following))
