"""A search space of hybrid stacks: a letter for each layer, under budgets of
parameters, FLOPs a token and cache bytes.

A candidate is a pattern, as `models/hybrids/stack` reads it. What it costs is computed
from its record, so a search pays nothing for a candidate that is out of budget.

Terms:
    search space, architecture space: all patterns of so many letters -> Space
    budget of a search: limits on parameters, FLOPs and cache bytes, known before
        anything is trained -> Budget
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import product
from random import Random

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import flops_per_token
from course_lib.costs.params import param_count
from course_lib.models.hybrids.stack import LETTERS, hybrid_spec
from course_lib.specs.records import ModelSpec


@dataclass(frozen=True)
class Price:
    """What a candidate costs at a context: `params`, `flops` a token, `cache_bytes` of
    one text.
    """

    params: int
    flops: int
    cache_bytes: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a candidate may cost; None where there is no limit."""

    params: int | None = None
    flops: int | None = None
    cache_bytes: float | None = None

    def allows(self, price: Price) -> bool:
        """Whether every limit is kept.

        >>> Budget(flops=10).allows(Price(params=99, flops=10, cache_bytes=0))
        True
        """
        limits = ((field.name, getattr(self, field.name)) for field in fields(self))
        return all(
            limit is None or getattr(price, name) <= limit for name, limit in limits
        )


class Space:
    """All patterns of `layers` letters.

    Args:
        letters: which mixers there are, from `LETTERS`.
        layers: how many layers.
        context: tokens at which FLOPs and cache are counted.
        budget: what a candidate may cost.
        sizes: of the models, as in `hybrid_spec`.

    Raises:
        ValueError: `letters` is empty or has an unknown one; `layers` or `context` is
        below 1.

    >>> space = Space("am", layers=2, context=100)
    >>> space.size, [pattern for pattern in space.all()]
    (4, ['aa', 'am', 'ma', 'mm'])
    """

    def __init__(
        self,
        letters: str,
        layers: int,
        *,
        context: int,
        budget: Budget | None = None,
        **sizes: object,
    ) -> None:
        if not letters or set(letters) - set(LETTERS):
            raise ValueError(
                f"letters={letters!r}: allowed are some of {', '.join(LETTERS)}"
            )
        if layers < 1 or context < 1:
            raise ValueError(
                f"layers={layers}, context={context}: allowed are numbers from 1"
            )
        self.letters, self.layers, self.context = letters, layers, context
        self.budget, self.sizes = Budget() if budget is None else budget, sizes
        self._prices: dict[str, Price] = {}

    @property
    def size(self) -> int:
        """How many patterns there are, in budget or not."""
        return len(self.letters) ** self.layers

    def spec(self, pattern: str) -> ModelSpec:
        """The record of a candidate."""
        return hybrid_spec(pattern, **self.sizes)

    def price(self, pattern: str) -> Price:
        """What a candidate costs; looked up where it was computed before."""
        if pattern not in self._prices:
            spec = self.spec(pattern)
            self._prices[pattern] = Price(
                param_count(spec).total,
                flops_per_token(spec, self.context),
                cache_bytes(spec, batch=1, tokens=self.context),
            )
        return self._prices[pattern]

    def fits(self, pattern: str) -> bool:
        """Whether a candidate is within the budget."""
        return self.budget == Budget() or self.budget.allows(self.price(pattern))

    def all(self):
        """Every pattern, in order; for small spaces."""
        return map("".join, product(self.letters, repeat=self.layers))

    def draw(self, random: Random, *, tries: int = 1000) -> str:
        """A pattern within the budget, all of them equally likely.

        Raises:
            ValueError: none was found in so many tries.
        """
        for _ in range(tries):
            pattern = "".join(random.choice(self.letters) for _ in range(self.layers))
            if self.fits(pattern):
                return pattern
        raise ValueError(f"budget={self.budget}: no pattern found in {tries} tries")


Objectives = Callable[[str], tuple[float, ...]]
"""From a pattern to what is to be small."""
