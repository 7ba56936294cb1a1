"""Lab 4b: a recorded day of a mixture of experts, made by a seed: slices of traffic
with favourite experts of their own, a drift, and a hot topic.

Symbols: s steps, c slices, e experts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SLICES = ("English", "German", "code", "law")
MIX = (0.5, 0.2, 0.25, 0.05)
LOSS = (2.1, 2.4, 1.3, 2.6)
LAW_IS_ONE_SIDED = 2.5
RAMP = 40  # steps in which a hot topic grows


@dataclass(frozen=True)
class Day:
    """What was counted in each step of a day.

    Attributes:
        slots: int64 [s c e], slots by slice and expert.
        loss_sums: float64 [s c], the losses of all tokens of a slice, added up.
        tokens: int64 [s c].
    """

    slots: Tensor
    loss_sums: Tensor
    tokens: Tensor

    @property
    def counts(self) -> Tensor:
        """Slots of each expert in each step [s e]."""
        return self.slots.sum(1)


def popularity(experts: int, skew: float, rng: torch.Generator) -> Tensor:
    """How likely each slice is to use each expert [c e]; law is the most one-sided."""
    taste = torch.randn(len(SLICES), experts, generator=rng).double()
    taste[3] *= LAW_IS_ONE_SIDED
    return (skew * taste).softmax(1)


def record(
    seed: int = 0,
    *,
    steps: int = 480,
    experts: int = 32,
    tokens: int = 1024,
    k: int = 4,
    skew: float = 0.5,
    hot_from: int | None = None,
    hot: float = 8.0,
    worse: float = 0.0,
) -> Day:
    """Record a day.

    Args:
        seed: of everything.
        steps, experts, tokens, k: sizes of the day and of a step.
        skew: how different the experts' popularity is.
        hot_from: the step from which on law grows to `hot` times its traffic.
        worse: what the loss of law rises by from there on.
    """
    rng = torch.Generator().manual_seed(seed)
    likes = popularity(experts, skew, rng)
    slots = torch.zeros(steps, len(SLICES), experts, dtype=torch.int64)
    sums = torch.zeros(steps, len(SLICES), dtype=torch.float64)
    held = torch.zeros(steps, len(SLICES), dtype=torch.int64)
    for step in range(steps):
        is_hot = hot_from is not None and step >= hot_from
        mix = torch.tensor(MIX, dtype=torch.float64)
        if hot_from is not None and is_hot:
            mix[3] *= 1 + (hot - 1) * min(1.0, (step - hot_from) / RAMP)
        held[step] = drawn(mix / mix.sum(), tokens, rng)
        for at, count in enumerate(held[step].tolist()):
            slots[step, at] = drawn(likes[at], count * k, rng)
            loss = LOSS[at] + (worse if is_hot and at == 3 else 0.0)
            noise = 0.8 * torch.randn((), generator=rng).double()
            sums[step, at] = count * loss + noise * count**0.5
    return Day(slots, sums, held)


def drawn(share: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` draws by `share` [e], counted [e]."""
    at = torch.rand(count, generator=rng).double()
    found = torch.searchsorted(share.cumsum(0), at).clamp(max=len(share) - 1)
    return torch.bincount(found, minlength=len(share))


def traces(
    number: int,
    steps: int,
    experts: int,
    slots: int,
    rank_of: Tensor,
    rng: torch.Generator,
    hot_from: int | None = None,
    skew: float = 0.5,
) -> Tensor:
    """Load ratios [number s] of steps whose experts are equally popular, until some
    become more so, at `hot_from`.
    """
    ranks, cut = int(rank_of.max()) + 1, steps if hot_from is None else hot_from
    even = torch.full((experts,), 1 / experts, dtype=torch.float64)
    rows = []
    for _ in range(number):
        taste = torch.randn(experts, generator=rng).double()
        tilted = (skew * taste).softmax(0)
        found = []
        for share, many in ((even, cut), (tilted, steps - cut)):
            at = torch.rand(many, slots, generator=rng).double()
            picks = torch.searchsorted(share.cumsum(0), at).clamp(max=experts - 1)
            loads = torch.zeros(many, ranks, dtype=torch.float64)
            loads.scatter_add_(1, rank_of[picks], torch.ones_like(at))
            found.append(loads.amax(1) / loads.mean(1))
        rows.append(torch.cat(found))
    return torch.stack(rows)
