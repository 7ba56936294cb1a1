"""Masked spans ("holes"): where to damage a text, in spans of given or of random
lengths, none touching another.

Symbols: n tokens, h of them masked in k holes. Take the masked tokens out: what is kept
has n - h + 1 seams, and each hole closes into another one.

Source: Raffel et al. 2020 (T5), section 3.1.4, arXiv:1910.10683, for a fixed number of
holes; Lewis et al. 2020 (BART), section 2.2, arXiv:1910.13461, for Poisson lengths.

Terms:
    masked spans, span length, Poisson lengths: which spans of a text are masked, of
        given or random lengths, none touching another -> layout, place_holes,
        poisson_lengths
"""

from collections.abc import Sequence
from itertools import pairwise

import torch

Hole = tuple[int, int]  # first hidden place, place after the last


def layout(
    length: int, hidden: int, holes: int, generator: torch.Generator
) -> list[Hole]:
    """Draw where `holes` holes stand that hide `hidden` of `length` tokens; all layouts
    are equally likely.

    Take the hidden tokens out: the rest has length - hidden + 1 seams, and each hole
    closes into another one, so holes never touch. Their lengths come from cutting the
    hidden tokens at holes - 1 places.

    Raises:
        ValueError: that many holes do not fit.

    >>> layout(10, 4, 2, torch.Generator().manual_seed(0))
    [(0, 3), (4, 5)]
    """
    if not 1 <= holes <= min(hidden, length - hidden + 1):
        raise ValueError(
            f"holes={holes}: allowed are 1 to {min(hidden, length - hidden + 1)}"
        )
    cuts = [
        0,
        *(cut + 1 for cut in _different(holes - 1, hidden - 1, generator)),
        hidden,
    ]
    return place_holes(
        [stop - start for start, stop in pairwise(cuts)], length - hidden, generator
    )


def place_holes(
    lengths: Sequence[int], kept: int, generator: torch.Generator
) -> list[Hole]:
    """Put holes of these lengths, in this order, at different seams of the `kept`
    tokens.
    """
    holes, before = [], 0
    for seam, length in zip(
        _different(len(lengths), kept + 1, generator), lengths, strict=True
    ):
        holes.append((seam + before, seam + before + length))
        before += length
    return holes


def _different(count: int, below: int, generator: torch.Generator) -> list[int]:
    """Draw `count` different numbers under `below`, in order."""
    return sorted(torch.randperm(below, generator=generator)[:count].tolist())


def poisson_lengths(
    total: int, mean: float, most: int, generator: torch.Generator
) -> list[int]:
    """Draw lengths that sum to `total`; at most `most` of them above 0, so the last may
    have to be long.
    """
    lengths: list[int] = []
    while rest := total - sum(lengths):
        drawn = int(torch.poisson(torch.tensor(mean), generator=generator))
        last = len(lengths) - lengths.count(0) == most - 1
        lengths.append(rest if drawn and last else min(drawn, rest))
    return lengths
