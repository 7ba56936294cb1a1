"""Random inputs for the questions."""

import torch
from torch import Tensor


def size(rng: torch.Generator, low: int, high: int) -> int:
    """One whole number from `low` to `high`."""
    return int(torch.randint(low, high + 1, (1,), generator=rng))


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def whole(rng: torch.Generator, below: int, *shape: int) -> Tensor:
    """Whole numbers from 0 to `below` - 1."""
    return torch.randint(below, shape, generator=rng)


def with_diagonal(rng: torch.Generator, rows: int, n: int) -> Tensor:
    """A random mask [rows n n] in which every token attends to itself."""
    return (whole(rng, 2, rows, n, n) > 0) | torch.eye(n, dtype=torch.bool)
