"""Routed batches on ranks that hold experts: loads, overflow, stragglers, and the time
of a step, which ends when the slowest rank does.

Symbols: n tokens and n k picks of a step, e experts, D ranks, C capacity.

Each step draws picks from its popularity (`expert_traffic`), cuts them off at the
capacity, shares an expert's rows out to its copies, and adds up the time of every rank:

    rank   sum over its slots of max(rows row_s, weights_s if rows)  +  rows exchange_s
    step   fixed_s + the longest of the ranks

An expert's weights are read once if a row comes, whatever their number: so a slot's
time is flat, and then grows with its rows. Not simulated: overlap of ranks' steps,
contention on links.

Terms:
    straggler, slowest rank: the rank that all the others wait for -> Cluster, Step
    step time of a mixture, P99 of steps: mean and tail of the steps' seconds ->
        StepReport
    re-planning, rebalancing: a new placement from the loads of the last steps ->
        simulate_experts
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from course_lib.costs.arithmetic import check_count
from course_lib.costs.experts import capacity
from course_lib.simulate.expert_placement import Slots
from course_lib.simulate.expert_traffic import Popularity, route

Loads = Int[np.ndarray, " e"] | Float[np.ndarray, " e"]
Plan = Callable[[list[float]], Slots]
"""Mean loads of the experts over the last steps -> where they are from now on."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The ranks, and what their work takes.

    Attributes:
        slots: expert numbers [rank][slot]; an expert in several slots has replicas.
        row_s: seconds of arithmetic for one row (one pick) at an expert.
        weights_s: seconds to read the weights of one expert.
        exchange_s: seconds to bring one row to its rank and back.
        fixed_s: seconds of a step beside its experts.
        slow: by rank, how many times longer its work takes; 1 for all if left out.
    """

    slots: Slots
    row_s: float = 1.0
    weights_s: float = 0.0
    exchange_s: float = 0.0
    fixed_s: float = 0.0
    slow: Sequence[float] = ()

    def __post_init__(self) -> None:
        if len(self.slow) not in (0, len(self.slots)):
            raise ValueError(
                f"slow={self.slow!r}: one number for each of {len(self.slots)} ranks, "
                "or none, is allowed"
            )

    def rank_rows(self, loads: Loads) -> list[list[float]]:
        """Rows of every slot [rank][slot]: an expert's copies share its load."""
        copies = np.bincount(
            [i for own in self.slots for i in own], minlength=len(loads)
        )
        if len(copies) != len(loads) or copies.min() < 1:
            raise ValueError(f"slots: each of {len(loads)} experts in one or more")
        return [[float(loads[i] / copies[i]) for i in own] for own in self.slots]

    def rank_seconds(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """Time of each rank for its slots' rows."""
        slow = self.slow or [1.0] * len(self.slots)
        return [
            factor
            * (
                sum(max(r * self.row_s, self.weights_s) for r in own if r > 0)
                + sum(own) * self.exchange_s
            )
            for own, factor in zip(rows, slow, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step showed.

    Attributes:
        loads: picks of every expert, before the capacity.
        rank_rows: rows of every rank, after it.
        dropped: picks beyond the capacity.
        touched: experts with a row.
        seconds: of the step.
        slowest: the rank that ended last.
    """

    loads: tuple[int, ...]
    rank_rows: tuple[float, ...]
    dropped: int
    touched: int
    seconds: float
    slowest: int


@dataclass(frozen=True)
class StepReport:
    """The steps of a run, in order."""

    steps: tuple[Step, ...]

    @property
    def mean_s(self) -> float:
        """Mean time of a step."""
        return sum(step.seconds for step in self.steps) / len(self.steps)

    def percentile_s(self, share: float) -> float:
        """The time that `share` of the steps do not exceed (nearest rank).

        Raises: ValueError if `share` is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share={share}: above 0 and at most 1 is allowed")
        times = sorted(step.seconds for step in self.steps)
        return times[math.ceil(share * len(times) - 1e-9) - 1]

    @property
    def dropped_share(self) -> float:
        """Share of all picks that found their expert full."""
        picks = sum(sum(step.loads) for step in self.steps)
        return sum(step.dropped for step in self.steps) / picks

    def rank_imbalance(self) -> list[float]:
        """Max/mean of the ranks' rows, for each step."""
        return [
            max(s.rank_rows) * len(s.rank_rows) / sum(s.rank_rows) for s in self.steps
        ]

    def expert_imbalance(self) -> list[float]:
        """Max/mean of the experts' loads, for each step."""
        return [max(s.loads) * len(s.loads) / sum(s.loads) for s in self.steps]


def simulate_experts(
    traffic: Iterable[Popularity],
    cluster: Cluster,
    *,
    tokens: int,
    k: int,
    rng: np.random.Generator,
    factor: float | None = None,
    groups: int = 1,
    top_groups: int = 1,
    plan: Plan | None = None,
    every: int = 0,
) -> StepReport:
    """Run a step for each popularity of `traffic`.

    Args:
        cluster: the ranks, as they are placed at the start.
        tokens, k: n of a step, over all ranks, and the picks of each.
        factor: capacity factor; None takes all picks (dropless).
        groups, top_groups: node-limited routing, as in `route`.
        plan, every: after every so many steps, place experts anew by the mean loads
            since the last time. Moving weights costs no time here.
    Raises: ValueError if `tokens` or `k` is below 1, there is no step, or only one of
        `plan` and `every` is given.
    Cost: n e random numbers a step.

    >>> both = Cluster(slots=((0,), (1,)))
    >>> run = simulate_experts(
    ...     [np.array([1.0, 0.0])], both, tokens=4, k=1, rng=np.random.default_rng(0)
    ... )
    >>> run.mean_s, run.steps[0].loads
    (4.0, (4, 0))
    """
    if (plan is None) != (every == 0) or every < 0:
        raise ValueError(f"every={every}: allowed together with plan, and above 0")
    check_count(tokens=tokens, k=k)
    steps, since = [], []
    for number, shares in enumerate(traffic, 1):
        picks = route(shares, tokens, k, rng, groups=groups, top_groups=top_groups)
        loads = np.bincount(picks.ravel(), minlength=len(shares))
        steps.append(one_step(loads, cluster, factor, tokens, k))
        since.append(loads)
        if plan is not None and number % every == 0:
            cluster = replace(cluster, slots=plan(np.mean(since, 0).tolist()))
            since = []
    if not steps:
        raise ValueError("traffic is empty: one step or more is allowed")
    return StepReport(tuple(steps))


def one_step(
    loads: Loads, cluster: Cluster, factor: float | None, tokens: int, k: int
) -> Step:
    """The step of these loads [e]: what fits, where it goes, how long it takes."""
    slots = None if factor is None else capacity(tokens, len(loads), k, factor)
    kept = loads if slots is None else np.minimum(loads, slots)
    rows = cluster.rank_rows(kept)
    seconds = cluster.rank_seconds(rows)
    return Step(
        loads=tuple(map(int, loads)),
        rank_rows=tuple(float(sum(own)) for own in rows),
        dropped=int((loads - kept).sum()),
        touched=int((kept > 0).sum()),
        seconds=cluster.fixed_s + max(seconds),
        slowest=int(np.argmax(seconds)),
    )
