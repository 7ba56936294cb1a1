"""Sampling: greedy, temperature, top-k, top-p. From logits to the next token.

Symbols: z logits [b vocab], T temperature, p the mass that top-p keeps. Temperature,
top-k and top-p map logits to logits, with -inf where a token is ruled out, so they
chain. `Sampler` chains them in the order of `transformers`: temperature, top-k, top-p,
then one draw.

    z = [2, 1, 0, -1]   softmax   0.64 0.24 0.09 0.03
    top_k(z, 2)                   0.73 0.27 0    0
    top_p(z, 0.9)                 0.67 0.24 0.09 0       0.64 + 0.24 is still below 0.9
    temperature(z, 0.5)           0.86 0.12 0.02 0.00    sharper

Terms:
    greedy decoding, greedy: the token with the largest logit -> greedy
    temperature: logits divided by T; below 1 sharpens, above 1 flattens -> temperature
    top-k: only the k largest logits may be drawn -> top_k
    top-p, nucleus sampling: only the most probable tokens, up to a mass of p, may be
        drawn -> top_p
    sampling: draws the next token from the probabilities that are left -> sample,
        Sampler
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

RULED_OUT = float("-inf")


def greedy(logits: Float[Tensor, "b vocab"]) -> Int[Tensor, " b"]:
    """The most likely token of each row; of several, the lowest number.

    >>> greedy(torch.tensor([[0.0, 2.0, 2.0]])).tolist()
    [1]
    """
    return logits.argmax(dim=-1)


def temperature(
    logits: Float[Tensor, "b vocab"], value: float
) -> Float[Tensor, "b vocab"]:
    """Sharpen (below 1) or flatten (above 1) the distribution: z / T.

    Raises:
        ValueError: `value` is not positive.

    *Source*: Ackley, Hinton and Sejnowski 1985, the Boltzmann distribution.

    >>> temperature(torch.tensor([[1.0, 3.0]]), 2.0).tolist()
    [[0.5, 1.5]]
    """
    if not value > 0:
        raise ValueError(
            f"temperature={value}: allowed are positive numbers; "
            "use `greedy` for the likeliest"
        )
    return logits / value


def top_k(logits: Float[Tensor, "b vocab"], k: int) -> Float[Tensor, "b vocab"]:
    """Rule out all but the k most likely tokens. Ties with the k-th stay, so more than
    k may.

    Args:
        logits: of the next token.
        k: how many stay; all do where the vocabulary is smaller.

    Raises:
        ValueError: `k` is below 1.

    *Source*: Fan et al. 2018, arXiv:1805.04833.

    >>> top_k(torch.tensor([[3.0, 1.0, 2.0, 2.0]]), 2).tolist()
    [[3.0, -inf, 2.0, 2.0]]
    """
    if k < 1:
        raise ValueError(f"top_k={k}: allowed are whole numbers from 1")
    lowest_kept = logits.topk(min(k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < lowest_kept, RULED_OUT)


def top_p(logits: Float[Tensor, "b vocab"], p: float) -> Float[Tensor, "b vocab"]:
    """Keep the fewest tokens, most likely first, whose probabilities reach p together;
    rule out the rest.

    A token stays while those before it have less than p. So the first always does.
    Among equal tokens the lower number comes first.

    Args:
        logits: of the next token.
        p: the mass to reach; 1 keeps every token.

    Raises:
        ValueError: `p` is not above 0 and at most 1.

    *Cost*: one sort of the vocabulary a row.
    *Source*: Holtzman et al. 2019, section 3.1, arXiv:1904.09751 (nucleus sampling).
    *Differs from source*: `transformers` leaves open which of several equal tokens
        stay.

    >>> top_p(torch.tensor([[3.0, 0.0, 2.0]]), 0.8).tolist()  # 0.71, 0.04, 0.26
    [[3.0, -inf, 2.0]]
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p={p}: allowed are numbers above 0 and at most 1")
    if p == 1:
        return logits
    ordered, tokens = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    ruled_out = (before >= p).scatter(-1, tokens, before >= p)
    return logits.masked_fill(ruled_out, RULED_OUT)


def sample(
    logits: Float[Tensor, "b vocab"], generator: torch.Generator
) -> Int[Tensor, " b"]:
    """One token a row with probability softmax(z), from the given random stream.

    >>> generator = torch.Generator().manual_seed(0)
    >>> sample(torch.tensor([[0.0, float("-inf")]]), generator).tolist()
    [0]
    """
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(-1)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Draw tokens: temperature, then top-k, then top-p. Call it with logits [b vocab]
    for tokens [b].

    Args:
        generator: the random stream; the same seed gives the same tokens.
        temperature: T.
        top_k: how many tokens may be drawn; None for all.
        top_p: the mass to draw from; None for all.

    Raises:
        ValueError: on the first call, when a setting is out of range; see the
        functions.

    >>> sampler = Sampler(generator=torch.Generator().manual_seed(0), top_k=1)
    >>> sampler(torch.tensor([[0.0, 5.0, 1.0]])).tolist()
    [1]
    """

    generator: torch.Generator
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __call__(self, logits: Float[Tensor, "b vocab"]) -> Int[Tensor, " b"]:
        return sample(self.warp(logits), self.generator)

    def warp(self, logits: Float[Tensor, "b vocab"]) -> Float[Tensor, "b vocab"]:
        """The logits that tokens are drawn from."""
        logits = temperature(logits, self.temperature)
        logits = logits if self.top_k is None else top_k(logits, self.top_k)
        return logits if self.top_p is None else top_p(logits, self.top_p)
