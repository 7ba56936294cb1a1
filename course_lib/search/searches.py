"""Random search over a space of hybrid stacks, what any search has found, and how much
of it was luck. The other search, NSGA-II, is Optuna's (`with_optuna`).

A search evaluates each pattern once, and a candidate out of budget never, so that
searches can be compared at equal numbers of evaluations.

Terms:
    random search: patterns drawn one by one, all equally likely -> random_search
    winner's curse: the best of many noisy scores is expected to be worse than it
        looks -> shrinkage
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from course_lib.decide.pareto import pareto_front
from course_lib.search.space import Objectives, Space


@dataclass
class Search:
    """What a search has seen: `found`, patterns and their objectives in the order of
    evaluation.
    """

    found: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def front(self) -> list[str]:
        """The patterns that no other one found dominates."""
        return list(pareto_front(self.found))


def random_search(
    space: Space, objectives: Objectives, evaluations: int, *, seed: int = 0
) -> Search:
    """Draw patterns within the budget until so many different ones were evaluated.

    *Source*: as a baseline of architecture search, Li and Talwalkar 2019,
        arXiv:1902.07638.
    """
    random, search = Random(seed), Search()
    for _ in range(100 * evaluations):  # a small space may have no more
        if len(search.found) == evaluations:
            break
        pattern = space.draw(random)
        if pattern not in search.found:
            search.found[pattern] = objectives(pattern)
    return search


def shrinkage(first: Sequence[float], again: Sequence[float], top: int) -> float:
    """By how much the best `top` of some scores, small ones being good, were too good:
    the mean of their scores when measured again, minus the mean that chose them.

    >>> shrinkage([1.0, 2.0, 3.0], [2.0, 2.0, 3.0], top=1)
    1.0
    """
    if not 0 < top <= len(first) or len(first) != len(again):
        raise ValueError(f"top={top}: allowed are 1 to {len(first)}, scores twice")
    best = sorted(range(len(first)), key=first.__getitem__)[:top]
    return mean(again[i] for i in best) - mean(first[i] for i in best)
