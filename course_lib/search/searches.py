"""Two searches over a space of hybrid stacks: random, and NSGA-II, which lets the best
of each generation have children.

Both evaluate each pattern once and count evaluations alike, so that they can be
compared at equal cost. A candidate out of budget is never evaluated.

    NSGA-II   two parents, each the better of two -> cross, change -> a child in budget
              parents + child, front by front -> the next parents; of the last front
              those are kept that stand most alone

Terms:
    random search: patterns drawn one by one, all equally likely -> random_search
    NSGA-II, evolutionary search, genetic algorithm: selection by fronts and crowding,
        crossover and mutation -> nsga2
    winner's curse: the best of many noisy scores is expected to be worse than it
        looks -> shrinkage
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from course_lib.search.pareto import crowding, fronts
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
        patterns = list(self.found)
        best = fronts(list(self.found.values()))
        return [patterns[i] for i in best[0]] if best else []


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


def nsga2(
    space: Space,
    objectives: Objectives,
    evaluations: int,
    *,
    population: int = 12,
    rate: float | None = None,
    seed: int = 0,
) -> Search:
    """Let the best patterns of each generation have children.

    Args:
        space: of patterns and its budget.
        objectives: from a pattern to what is to be small.
        evaluations: different patterns that are evaluated, the first ones included.
        population: patterns that live on; at least 2.
        rate: chance that a letter is drawn anew; one letter a child when left out.

    Raises:
        ValueError: `population` is below 2.

    *Source*: Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm:
        NSGA-II", IEEE Transactions on Evolutionary Computation 6, 182-197.
    *Differs from source*: one child at a time takes its place, and a candidate out of
        budget, or known, is no child, in place of constrained dominance.
    """
    if population < 2:
        raise ValueError(f"population={population}: allowed are numbers from 2")
    random, rate = Random(seed), 1 / space.layers if rate is None else rate
    first = min(population, evaluations)
    search = random_search(space, objectives, first, seed=random.randrange(2**32))
    parents = ranked(list(search.found), search)
    for _ in range(100 * evaluations):
        if len(search.found) >= evaluations or len(parents) < 2:
            break
        two = (
            min(random.sample(range(len(parents)), 2)) for _ in range(2)
        )  # tournaments
        child = space.crossed(*(parents[place] for place in two), random)
        child = space.changed(child, random, rate)
        if child in search.found or not space.fits(child):
            continue
        search.found[child] = objectives(child)
        parents = ranked([*parents, child], search)[:population]
    return search


def ranked(patterns: Sequence[str], search: Search) -> list[str]:
    """Patterns from the first front on; within a front those that stand alone first."""
    points = [search.found[pattern] for pattern in patterns]
    order = []
    for front in fronts(points):
        alone = crowding([points[i] for i in front])
        pairs = sorted(zip(alone, front, strict=True), key=lambda pair: -pair[0])
        order += [patterns[i] for _, i in pairs]
    return order


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
