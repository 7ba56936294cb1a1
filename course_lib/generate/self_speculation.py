"""Self-speculative decoding: a model's own prediction modules draft some tokens, and
the model checks all of them in one pass. What comes out is distributed as if the model
had drawn every token by itself.

Symbols: D drafts of a pass, q_i the distribution that draft i was drawn from, p_i the
model's own at its place, vocab entries of the vocabulary.

    accept draft x_i with probability min(1, p_i(x_i) / q_i(x_i))
    at the first refusal draw from max(p_i - q_i, 0), scaled to sum 1, and stop
    all accepted: draw one token more, from p_{D+1}

A pass gives 1 to D + 1 tokens and reads the weights once, which is what a decode step
at batch 1 waits for.

Terms:
    speculative decoding, speculative sampling, draft and verify: drafts are accepted
        with a probability that leaves the output's distribution as it is -> verify
    self-speculation, MTP drafts: the drafts come from the model's own modules ->
        self_speculate
    acceptance rate: accepted drafts over all drafts -> Speculated
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.roll_back import roll_back
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.mtp import MTP

Probabilities = Float[Tensor, "n vocab"]
ToProbabilities = Callable[[Tensor], Tensor]


@runtime_checkable
class Chance(Protocol):
    """Where randomness comes from: a test may go through all outcomes instead."""

    def draw(self, probabilities: Float[Tensor, " vocab"]) -> int:
        """A token."""

    def accepts(self, probability: float) -> bool:
        """True with this probability."""


@dataclass(frozen=True)
class Dice:
    """Chance from a random stream."""

    generator: torch.Generator

    def draw(self, probabilities: Float[Tensor, " vocab"]) -> int:
        """A token with its probability."""
        return int(torch.multinomial(probabilities, 1, generator=self.generator))

    def accepts(self, probability: float) -> bool:
        """True with this probability."""
        return torch.rand((), generator=self.generator).item() < probability


@dataclass(frozen=True)
class Speculated:
    """What came out.

    Attributes:
        tokens: the new tokens, [1 n].
        passes: of the model, the prompt's among them.
        drafted, accepted: counts of drafts that were checked, and that were taken.
    """

    tokens: Int[Tensor, "1 n"]
    passes: int
    drafted: int
    accepted: int


def greedily(logits: Float[Tensor, "n vocab"]) -> Probabilities:
    """All probability on the likeliest token: greedy decoding as a distribution.

    >>> greedily(torch.tensor([[0.0, 2.0]])).tolist()
    [[0.0, 1.0]]
    """
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)


def verify(
    own: Float[Tensor, "places vocab"],
    drafted: Float[Tensor, "drafts vocab"],
    drafts: list[int],
    chance: Chance,
) -> list[int]:
    """Accept drafts from the first on, and add one token of the model's own.

    Args:
        own: p, one row for each draft and one behind them.
        drafted: q, one row for each draft. drafts: the D tokens, drawn from q.
        chance: of the draws.

    Returns: the accepted drafts and one token more. Token by token they are distributed
        as draws from p, whatever q is.

    Raises:
        ValueError: the numbers of rows do not fit.

    *Source*: Leviathan et al. 2023, algorithm 1, arXiv:2211.17192; Chen et al. 2023,
        arXiv:2302.01318.

    >>> own = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> verify(own, own[:1], [1], Dice(torch.Generator()))
    [1, 0]
    """
    if not len(own) == len(drafted) + 1 == len(drafts) + 1:
        raise ValueError(
            f"own has {len(own)} rows for {len(drafts)} drafts and {len(drafted)} rows "
            "of theirs: allowed is one more than each"
        )
    for place, token in enumerate(drafts):
        p, q = own[place], drafted[place]
        if not chance.accepts(min(1.0, (p[token] / q[token]).item())):
            rest = (p - q).clamp_min(0)
            rest = rest if rest.sum() > 0 else p  # p = q, but for rounding
            return [*drafts[:place], chance.draw(rest / rest.sum())]
    return [*drafts, chance.draw(own[-1])]


class Drafter:
    """The modules of an `MTP` with a cache for each depth, on one row.

    Depth k has read a draft in its last k - 1 places. These are forgotten after each
    pass and run again when their tokens are known, so that what stays is as if no draft
    had been made.
    """

    def __init__(self, mtp: MTP, capacity: int) -> None:
        self.mtp, self.caches = mtp, mtp.make_cache(1, capacity)
        nothing = mtp.project[0].weight.new_zeros(1, 0, mtp.spec.width)
        self.hidden = [nothing] * len(mtp.layers)  # h^0 .. h^{D-1} of known places

    def draft(
        self,
        tokens: Int[Tensor, "1 t"],
        hidden: Float[Tensor, "1 new d"],
        probabilities: ToProbabilities,
        chance: Chance,
    ) -> tuple[list[int], Probabilities]:
        """Draft D tokens that follow `tokens`.

        Args:
            tokens: all known tokens x_0 .. x_m.
            hidden: the model's vectors of the places up to m - 1 that are new.

        Returns: the drafts, and the distributions that they were drawn from.
        """
        below = self.hidden[0] = torch.cat((self.hidden[0], hidden), dim=1)
        places, drafts, drawn_from = below.shape[1], [], []
        for k, cache in enumerate(self.caches, start=1):
            start = cache.length
            new = self.mtp.step(k, tokens[:, k + start :], below[:, start:], cache)
            q = probabilities(self.mtp.model.score(new[:, -1:])[:, 0])[0]
            drafts.append(chance.draw(q))
            drawn_from.append(q)
            tokens = torch.cat((tokens, tokens.new_tensor([[drafts[-1]]])), dim=1)
            settled = max(places - k + 1, 0)
            roll_back(cache, settled)
            if k < len(self.caches):
                below = torch.cat((self.hidden[k], new), dim=1)
                self.hidden[k] = below[:, :settled]
        return drafts, torch.stack(drawn_from)


@torch.no_grad()
def self_speculate(
    mtp: MTP,
    prompt: Int[Tensor, "b t"],
    *,
    max_new_tokens: int,
    probabilities: ToProbabilities = greedily,
    chance: Chance | None = None,
    eos: int | None = None,
) -> Speculated:
    """Continue one row, with drafts of the model's own modules.

    Args:
        mtp: modules behind a model whose caches can be rolled back.
        prompt: at least as many tokens as there are modules.
        max_new_tokens: n at most.
        probabilities: from logits to the distribution that tokens are drawn from, such
            as `lambda z: sampler.warp(z).softmax(-1)`.
        chance: of the draws; a stream of seed 0 when left out.
        eos: the token that ends the row.

    Raises:
        ValueError: several rows, too short a prompt, `max_new_tokens` below 1, or a
            layer's cache that cannot be rolled back.

    *Cost*: a pass over D + 1 tokens and D module steps for each 1 to D + 1 new tokens.
    """
    depth, length = len(mtp.layers), prompt.shape[1]
    if len(prompt) != 1 or length < depth or max_new_tokens < 1:
        raise ValueError(
            f"prompt of {len(prompt)} rows of {length} tokens, max_new_tokens="
            f"{max_new_tokens}: allowed are one row of at least {depth}, and 1 or more"
        )
    chance = Dice(torch.Generator().manual_seed(0)) if chance is None else chance
    model, capacity = mtp.model, length + max_new_tokens + 2 * depth + 1
    cache, drafter = model.make_cache(1, capacity), Drafter(mtp, capacity)

    def run(tokens: Tensor) -> tuple[Tensor, Tensor]:
        positions = next_positions(cache.length, *tokens.shape, device=tokens.device)
        hidden = model.hidden(model.embed(tokens, positions), positions, cache)
        return hidden, probabilities(model.score(hidden)[0])

    hidden, own = run(prompt)
    tokens = torch.cat((prompt, prompt.new_tensor([[chance.draw(own[-1])]])), dim=1)
    passes, drafted, accepted = 1, 0, 0
    while tokens.shape[1] - length < max_new_tokens and not _ended(tokens, length, eos):
        drafts, theirs = drafter.draft(tokens, hidden, probabilities, chance)
        known = tokens.shape[1]
        hidden, own = run(torch.cat((tokens[:, -1:], tokens.new_tensor([drafts])), 1))
        kept = verify(own, theirs, drafts, chance)
        roll_back(cache, known + len(kept) - 1)
        hidden = hidden[:, : len(kept)]
        tokens = torch.cat((tokens, tokens.new_tensor([kept])), dim=1)
        passes, drafted = passes + 1, drafted + depth
        accepted += len(kept) - 1
    new = tokens[:, length : length + max_new_tokens]
    if _ended(tokens, length, eos):
        new = new[:, : new[0].tolist().index(eos) + 1] if eos in new[0] else new
    return Speculated(new, passes, drafted, accepted)


def _ended(tokens: Tensor, length: int, eos: int | None) -> bool:
    return eos is not None and bool((tokens[:, length:] == eos).any())
