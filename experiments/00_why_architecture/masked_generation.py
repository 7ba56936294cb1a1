"""Can a model without a causal mask write from left to right?

One graph, two masks, three objectives, on chains of symbols whose best possible losses
are known. Each model sees the same chains, for the same number of updates. Two scores:

    above the best   loss from left to right, minus what the true chain scores on the
                     same sequences; nats per symbol
    written          what the true chain says of sequences that the model wrote, a
                     symbol at a time; at best the chain's entropy
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.models.encoder import Encoder
from course_lib.specs.small import small_llama
from course_lib.train.batches import Batch, language_loss
from course_lib.train.experiment import Experiment, Task, Variant

SYMBOLS, LENGTH, MASK, ROWS = 16, 24, 16, 32
CAUSAL = small_llama(32, layers=2, heads=4, ffn=96, vocab=SYMBOLS + 1)
BOTH_SIDES = replace(
    CAUSAL,
    head="none",
    layers=tuple(
        replace(layer, mixer=replace(layer.mixer, causal=False))
        for layer in CAUSAL.layers
    ),
)
CHAIN = torch.softmax(
    2.0 * torch.randn(SYMBOLS, SYMBOLS, generator=torch.Generator().manual_seed(7)), -1
)  # [from, to]
SHARE = torch.linalg.matrix_power(CHAIN, 200)[0]  # of each symbol in the long run


def sequences(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw chains of `LENGTH` symbols: [count LENGTH]."""
    x = torch.multinomial(SHARE, count, replacement=True, generator=generator)[:, None]
    while x.shape[1] < LENGTH:
        following = torch.multinomial(CHAIN[x[:, -1]], 1, generator=generator)
        x = torch.cat([x, following], dim=1)
    return x


def entropies() -> dict[str, float]:
    """Best losses, exactly: of a symbol alone, after its neighbour, between two."""
    joint = SHARE[:, None, None] * CHAIN[:, :, None] * CHAIN[None]
    between = joint / joint.sum(1, keepdim=True)
    return {
        "one symbol alone": -(SHARE * SHARE.log()).sum().item(),
        "after one symbol": -(SHARE[:, None] * CHAIN * CHAIN.log()).sum().item(),
        "between two symbols": -(joint * between.log()).sum().item(),
    }


class BothSides(nn.Module):
    """An encoder that scores every position: the causal model without its mask."""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder(BOTH_SIDES)

    def forward(self, tokens, positions=None):
        states = self.encoder(tokens, positions)
        return states @ self.encoder.embed.tokens.weight.T


def next_logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Scores of the symbol after `x`: what follows is masked, if the model sees it."""
    if not isinstance(model, BothSides):
        return model(x)[:, -1, :SYMBOLS]
    padded = F.pad(x, (0, LENGTH - x.shape[1]), value=MASK)
    return model(padded)[:, x.shape[1], :SYMBOLS]


@torch.no_grad()
def scores(model: nn.Module) -> dict[str, float]:
    """Loss from left to right, over all positions, and of what the model writes."""
    generator = torch.Generator().manual_seed(1)
    test, losses = sequences(500, generator), []
    written = test[:, :1]
    for t in range(1, LENGTH):
        ours = F.cross_entropy(next_logits(model, test[:, :t]), test[:, t])
        losses.append(ours + CHAIN[test[:, t - 1], test[:, t]].log().mean())
        chances = next_logits(model, written).softmax(-1)
        following = torch.multinomial(chances, 1, generator=generator)
        written = torch.cat([written, following], dim=1)
    said = -CHAIN[written[:, :-1], written[:, 1:]].log().mean()
    return {"above the best": torch.stack(losses).mean(), "written": said}


def causal_batch(generator: torch.Generator):
    """Predict each symbol from those before it."""
    x = sequences(ROWS, generator)
    return x[:, :-1], x[:, 1:]


def masked_batch(generator: torch.Generator, share: float | None = None) -> Batch:
    """Recover masked symbols; `share` None draws one for each row."""
    x = sequences(ROWS, generator)
    shares = torch.rand(ROWS, 1, generator=generator) if share is None else share
    hidden = torch.rand(x.shape, generator=generator) < shares
    hidden[:, 0] |= ~hidden.any(1)
    return Batch(x.masked_fill(hidden, MASK), x, hidden)


def bert_batch(generator: torch.Generator) -> Batch:
    """Recover 15 % of the symbols."""
    return masked_batch(generator, 0.15)


def task(name: str, batch, **more) -> Task:
    """One objective on the same chains."""
    return Task(
        name=name,
        batch=batch,
        held_out=[batch(torch.Generator().manual_seed(2)) for _ in range(16)],
        baselines=entropies,
        unit="nats per symbol",
        scores=scores,
        **more,
    )


below = {"bar": ("one symbol alone", 0.5), "loss": language_loss}
experiment = Experiment(
    asks="Does a mask that lets every position attend to both sides forbid writing?",
    task=task("next symbol", causal_batch, bar=("one symbol alone", 0.5)),
    variants={
        "causal": CAUSAL,
        "masked, 15 %": Variant(BothSides, task("15 % masked", bert_batch, **below)),
        "masked, any share": Variant(
            BothSides, task("any share masked", masked_batch, **below)
        ),
    },
    seeds=range(8),
    updates=(400, 800),
    lr=5e-3,
)
