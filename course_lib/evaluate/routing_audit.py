"""Audit of routed experts: how evenly they are used, which are dead, and whether the
tokens of a row depend on the rows beside it.

Symbols: b rows, t tokens of each, k picks of a token, e experts, c capacity factor.

An even router has a max/mean above 1, too, for picks fall by chance:
`even_max_over_mean` says how far, so that a load can be held against it.

Terms:
    routing audit: load, entropy, dead experts and batch dependence of a saved layer ->
        audit_picks, RoutingAudit
    batch dependence, batch-mates: with a capacity, which of a row's picks are dropped
        hangs on the other rows of the batch -> batch_dependence
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.costs.experts import capacity
from course_lib.layers.feed_forward.balance import (
    dead_experts,
    entropy,
    expert_load,
    max_over_mean,
    variation,
)
from course_lib.layers.feed_forward.dispatch import within_capacity

FACTORS = (1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class RoutingAudit:
    """What the picks of one layer show.

    Attributes:
        load: picks of every expert.
        max_over_mean, variation, entropy: of the load; entropy over log e.
        even_max_over_mean: the first as an even router would have it, 95 % of the time
            at most.
        dead: numbers of the experts that no token picked.
        expected_dead: how many an even router would leave out, by chance.
        dependence: by capacity factor, the share of a row's tokens that change when
            only its batch-mates do; empty with fewer than three rows.
        dropped: by capacity factor, the share of the picks that are dropped.
    """

    load: tuple[int, ...]
    max_over_mean: float
    variation: float
    entropy: float
    even_max_over_mean: float
    dead: tuple[int, ...]
    expected_dead: float
    dependence: dict[float, float]
    dropped: dict[float, float]


def audit_picks(
    picks: Int[Tensor, "b t k"],
    e: int,
    factors: tuple[float, ...] = FACTORS,
    seed: int = 0,
) -> RoutingAudit:
    """Audit a layer by its picks.

    Args:
        picks: of a batch, before any is dropped.
        e: how many experts there are.
        factors: capacity factors that are tried out on these picks, whether the layer
            has a capacity or not.
        seed: of the even router's draws.

    Raises: ValueError if a pick is not an expert, or there are none.
    """
    if picks.numel() == 0 or picks.min() < 0 or picks.max() >= e:
        raise ValueError(f"picks: experts 0 to {e - 1} are allowed, one or more")
    b, t, k = picks.shape
    load = expert_load(picks.reshape(-1, k), e)
    return RoutingAudit(
        load=tuple(load.tolist()),
        max_over_mean=max_over_mean(load),
        variation=variation(load),
        entropy=entropy(load) if e > 1 else 1.0,
        even_max_over_mean=even_max_over_mean(b * t, e, k, seed=seed),
        dead=tuple((load == 0).nonzero().flatten().tolist()),
        expected_dead=e * (1 - k / e) ** (b * t),
        dependence={c: batch_dependence(picks, e, c) for c in factors if b > 2},
        dropped={c: dropped_share(picks, e, c) for c in factors},
    )


def dead_at_most(audit: RoutingAudit, share: float) -> int:
    """How many experts have at most `share` of an even load."""
    return dead_experts(torch.tensor(audit.load), share)


def dropped_share(picks: Int[Tensor, "b t k"], e: int, factor: float) -> float:
    """The share of the picks that find no room with this capacity factor."""
    flat = picks.reshape(-1, picks.shape[-1])
    kept = within_capacity(flat, e, capacity(len(flat), e, flat.shape[1], factor))
    return 1 - kept.double().mean().item()


def batch_dependence(picks: Int[Tensor, "b t k"], e: int, factor: float) -> float:
    """The share of tokens of which other picks are kept when only the batch-mates of
    their row change: each row stands, at the same place, once among the first half of
    the others and once among the second.

    0 without a capacity, and 0 if every row has a capacity of its own.

    >>> twice = torch.tensor([[[0]], [[0]], [[1]]])
    >>> batch_dependence(twice, 2, factor=1.0) > 0
    True
    """
    b, t, k = picks.shape
    half = (b - 1) // 2
    slots = capacity((half + 1) * t, e, k, factor)
    changed = []
    for row in range(b):
        others = [i for i in range(b) if i != row]
        kept = [
            _kept_beside(picks, row, mates, e, slots)
            for mates in (others[:half], others[half : 2 * half])
        ]
        changed.append((kept[0] != kept[1]).any(-1).double().mean().item())
    return sum(changed) / len(changed)


def _kept_beside(
    picks: Int[Tensor, "b t k"], row: int, mates: list[int], e: int, slots: int
) -> Tensor:
    """Which picks of a row are kept, if it stands in the middle of these rows."""
    before = mates[: (len(mates) + 1) // 2]
    batch = picks[[*before, row, *mates[len(before) :]]]
    kept = within_capacity(batch.reshape(-1, picks.shape[-1]), e, slots)
    return kept.view(batch.shape)[len(before)]


def even_max_over_mean(
    tokens: int, e: int, k: int, *, draws: int = 100, share: float = 0.95, seed: int = 0
) -> float:
    """Max/mean of the load that an even router, each token by itself, stays below in
    `share` of its batches.

    >>> even_max_over_mean(10, 4, 4)
    1.0
    """
    chance = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        picks = torch.rand(tokens, e, generator=chance).topk(k, -1).indices
        found.append(max_over_mean(expert_load(picks, e)))
    return torch.tensor(found).double().quantile(share).item()


def rows_alone_gap(
    together: Float[Tensor, "b ..."], alone: Float[Tensor, "b ..."]
) -> float:
    """The largest difference between outputs of rows in a batch and of each by
    itself.
    """
    return (together - alone).abs().max().item()
