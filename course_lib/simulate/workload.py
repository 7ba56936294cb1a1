"""Workload of a server: when requests arrive, how long their prompts and answers are.

Symbols: n_in prompt tokens, n_out new tokens, lambda arrivals a second. The prefill
gives the first new token, so a request takes n_out - 1 decode steps, and holds n_in +
n_out - 1 tokens of cache at its end.

Terms:
    workload, Poisson arrivals: when requests come, and how long prompt and answer are
        -> requests, Request
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Lengths = Callable[[np.random.Generator], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        prompt: n_in, tokens, 1 or more.
        output: n_out, tokens, 1 or more.
        arrival_s: seconds after the start, 0 or more.
    Raises:
        ValueError: if one of them is below its least value.
    """

    prompt: int
    output: int
    arrival_s: float = 0.0

    def __post_init__(self):
        if self.prompt < 1 or self.output < 1 or self.arrival_s < 0:
            raise ValueError(
                f"{self}: allowed are prompt >= 1, output >= 1, arrival_s >= 0"
            )

    @property
    def final(self) -> int:
        """Tokens cached at the last step: the last new token is never read back."""
        return self.prompt + self.output - 1


def fixed(prompt: int, output: int) -> Lengths:
    """Every request has the same lengths."""
    return lambda rng: (prompt, output)


def mixed(shares: Sequence[tuple[float, Lengths]]) -> Lengths:
    """Each request is of one kind, drawn by its share.

    >>> long_ones = mixed([(0.9, fixed(32_768, 256)), (0.1, fixed(131_072, 256))])

    Raises:
        ValueError: if a share is negative or they do not sum to 1.
    """
    weights = [share for share, _ in shares]
    if min(weights, default=-1) < 0 or abs(sum(weights) - 1) > 1e-9:
        raise ValueError(
            f"shares={weights}: allowed are shares of 0 or more that sum to 1"
        )
    return lambda rng: shares[rng.choice(len(shares), p=weights)][1](rng)


def spread(
    prompt_mean: float, output_mean: float, *, sigma: float = 1.0, longest: int
) -> Lengths:
    """Log-normal lengths with these means before cutting: most requests short, a few
    very long.

    *Equation*: length = exp(N(ln(mean) - sigma^2 / 2, sigma^2)), rounded, then cut to
        [1, longest / 2].

    Args:
        prompt_mean, output_mean: tokens.
        sigma: spread of the logarithm; at 1, one length in forty is beyond 4.3 times
            the mean.
        longest: prompt and output together hold at most this many tokens.

    >>> spread(160, 340, longest=2048)(np.random.default_rng(0))
    (110, 181)
    """

    def draw(rng: np.random.Generator) -> tuple[int, int]:
        raw = np.exp(
            rng.normal(np.log((prompt_mean, output_mean)) - sigma**2 / 2, sigma)
        )
        prompt, output = np.clip(raw.round(), 1, longest // 2).astype(int)
        return int(prompt), int(output)

    return draw


def requests(
    count: int, lengths: Lengths, *, rate_per_s: float | None = None, seed: int = 0
) -> list[Request]:
    """Draw `count` requests that arrive as a Poisson stream, or all at once.

    Args:
        count: requests, 0 or more.
        lengths: draws (prompt, output).
        rate_per_s: lambda; gaps are exponential with mean 1 / lambda. None: all wait at
            the start.
        seed: of the one generator that draws gaps and lengths.
    Raises:
        ValueError: if `count` < 0 or `rate_per_s` <= 0.

    >>> [r.prompt for r in requests(2, fixed(7, 3), rate_per_s=1.0)]
    [7, 7]
    """
    if count < 0 or (rate_per_s is not None and rate_per_s <= 0):
        raise ValueError(
            f"count={count}, rate_per_s={rate_per_s}: allowed are count >= 0 and "
            "rate_per_s > 0"
        )
    rng = np.random.default_rng(seed)
    gaps = (
        np.zeros(count)
        if rate_per_s is None
        else rng.exponential(1 / rate_per_s, count)
    )
    drawn = (lengths(rng) for _ in range(count))
    return [
        Request(prompt=p, output=o, arrival_s=float(at))
        for at, (p, o) in zip(gaps.cumsum(), drawn, strict=True)
    ]
