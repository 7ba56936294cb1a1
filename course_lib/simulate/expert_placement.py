"""Which device holds which expert: neighbours together, or packed by load, with
replicas of the most loaded ones.

Symbols: D ranks, e experts, R replicas; slots = (e + R) / D on every rank.

Source: DeepSeek-AI, EPLB, github.com/deepseek-ai/EPLB (replicate the expert with the
    largest load per copy, then pack). Differs from source: one level, no nodes.

Terms:
    EPLB, expert load balancer: replicate what is loaded most, then put the heaviest
        copies on the lightest ranks -> packed_slots
    contiguous placement: neighbours on one rank, whatever their loads ->
        contiguous_slots
"""

from collections.abc import Sequence

Slots = tuple[tuple[int, ...], ...]
"""Expert numbers [rank][slot]."""


def contiguous_slots(e: int, ranks: int) -> Slots:
    """Rank r holds experts r e/D to (r + 1) e/D - 1.

    Raises: ValueError if `ranks` does not divide e.

    >>> contiguous_slots(4, ranks=2)
    ((0, 1), (2, 3))
    """
    if e < 1 or ranks < 1 or e % ranks:
        raise ValueError(f"ranks={ranks}: a divisor of the experts {e} is allowed")
    own = e // ranks
    return tuple(tuple(range(r * own, (r + 1) * own)) for r in range(ranks))


def copies_by_load(loads: Sequence[float], replicas: int) -> list[int]:
    """Copies of each expert: replicas go, one after the other, to the expert with the
    largest load per copy.

    >>> copies_by_load([8, 3, 2], replicas=2)
    [3, 1, 1]
    """
    copies = [1] * len(loads)
    for _ in range(replicas):
        hottest = max(range(len(loads)), key=lambda i: loads[i] / copies[i])
        copies[hottest] += 1
    return copies


def packed_slots(loads: Sequence[float], ranks: int, replicas: int = 0) -> Slots:
    """Replicas by load, and then each copy, the heaviest first, on the rank that has
    the least load among those with a free slot; one that holds the same expert already
    comes last.

    Args: `loads` of the experts, as they are expected; `ranks` D; `replicas` R.
    Raises: ValueError if D does not divide e + R, or `replicas` is negative.

    >>> packed_slots([4, 3, 2, 1], ranks=2), packed_slots([5, 1, 1], 2, replicas=1)
    (((0, 3), (1, 2)), ((0, 1), (0, 2)))
    """
    if replicas < 0 or ranks < 1 or (len(loads) + replicas) % ranks:
        raise ValueError(
            f"ranks={ranks}, replicas={replicas}: a divisor of {len(loads)} experts "
            "and their replicas is allowed"
        )
    copies = copies_by_load(loads, replicas)
    heavy = sorted(
        ((load / n, i) for i, (load, n) in enumerate(zip(loads, copies, strict=True))),
        key=lambda one: (-one[0], one[1]),
    )
    own = (len(loads) + replicas) // ranks
    slots: list[list[int]] = [[] for _ in range(ranks)]
    carried = [0.0] * ranks
    for load, expert in (one for one in heavy for _ in range(copies[one[1]])):
        free = [r for r in range(ranks) if len(slots[r]) < own]
        rank = min(free, key=lambda r: (expert in slots[r], carried[r], r))
        slots[rank].append(expert)
        carried[rank] += load
    return tuple(tuple(sorted(held)) for held in slots)
