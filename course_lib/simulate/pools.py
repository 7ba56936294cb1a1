"""Admission and preemption: a queue of requests that compete for one pool of cache
memory.

`ContiguousPool` allocates a stretch that must hold the request to its end; `PagedPool`
allocates a block when the last one is full. `run_stream` serves one queue from either,
and preempts a request where blocks run out.

Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, sections 3.1 and 4.5
(recomputation).
Differs from source: first fit, where the paper's baseline uses a buddy allocator; the
preempted request is the one admitted last, and its recomputation costs no time here.

Terms:
    preemption, recomputation: a running request is freed for lack of blocks, and later
        computed again -> run_stream
    admission, memory pool: which waiting requests fit the memory that is left ->
        ContiguousPool, PagedPool
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from course_lib.simulate.paging import Reserve, Slots, round_up, slots_of, total
from course_lib.simulate.workload import Request

Held = tuple[Request, int]  # a request, and the tokens it holds


@runtime_checkable
class Pool(Protocol):
    """Memory of `capacity` slots that requests are given parts of, each known by a
    key.
    """

    capacity: int

    def slots_needed(self, request: Request, held: int) -> int:
        """Return the slots that a request holding `held` tokens would be given."""

    def allocate(self, key: int, request: Request, held: int) -> bool:
        """Give a request its first slots, or leave all as it was and return False."""

    def grow(self, key: int, held: int) -> bool:
        """Make room for `held` tokens, or leave all as it was and return False."""

    def free(self, key: int) -> None:
        """Free all slots of a request."""

    def allocated(self, key: int) -> int:
        """Return the slots a request has."""


class ContiguousPool:
    """One stretch a request, at the lowest address where it fits (first fit).

    Args:
        capacity: slots.
        reserve: slots for a request, its final length or more.
    """

    def __init__(self, capacity: int, reserve: Reserve):
        self.capacity, self.reserve = capacity, reserve
        self.stretches: dict[int, tuple[int, int]] = {}

    def slots_needed(self, request: Request, held: int) -> int:
        size = self.reserve(request)
        if size < request.final:
            raise ValueError(
                f"reserve={size}: allowed is {request.final} or more for {request}"
            )
        return size

    def allocate(self, key: int, request: Request, held: int) -> bool:
        size, start = self.slots_needed(request, held), 0
        for low, high in sorted(self.stretches.values()):
            if low - start >= size:
                break
            start = high
        if start + size > self.capacity:
            return False
        self.stretches[key] = (start, start + size)
        return True

    def grow(self, key: int, held: int) -> bool:
        return True

    def free(self, key: int) -> None:
        del self.stretches[key]

    def allocated(self, key: int) -> int:
        low, high = self.stretches[key]
        return high - low


class PagedPool:
    """Blocks of equal size, any of them for any request, so no fragments between
    requests.

    Args:
        capacity: slots; what is left over after whole blocks is not used.
        block: slots a block.
    """

    def __init__(self, capacity: int, block: int):
        self.capacity, self.block = capacity // round_up(1, block) * block, block
        self.slots: dict[int, int] = {}

    def slots_needed(self, request: Request, held: int) -> int:
        return round_up(held, self.block)

    def allocate(self, key: int, request: Request, held: int) -> bool:
        return self.grow(key, held)

    def grow(self, key: int, held: int) -> bool:
        slots_needed = round_up(held, self.block)
        if (
            sum(self.slots.values()) - self.slots.get(key, 0) + slots_needed
            > self.capacity
        ):
            return False
        self.slots[key] = slots_needed
        return True

    def free(self, key: int) -> None:
        del self.slots[key]

    def allocated(self, key: int) -> int:
        return self.slots[key]


@dataclass(frozen=True)
class Stream:
    """What a pool did with a queue.

    Attributes:
        steps: decode steps until the last request ended.
        slots: slots by kind, summed over the steps; together `steps * capacity`.
        mean_batch: requests at once, mean over steps.
        preempted: times a request lost its slots because a block was missing.
    """

    steps: int
    slots: Slots
    mean_batch: float
    preempted: int


def run_stream(requests: Sequence[Request], pool: Pool) -> Stream:
    """Serve a queue in order; each request that runs gains a token a step. Arrival
    times are ignored.

    When a request cannot grow, the one admitted last is put back to the head of the
    queue, and goes on later from where it was. The one admitted first always goes on,
    so the queue ends.

    Raises:
        ValueError: if a request does not fit in the empty pool.
    Cost: steps times requests at once.

    >>> queue = [Request(prompt=6, output=3)] * 8
    >>> run_stream(queue, PagedPool(32, block=4)).mean_batch
    4.0
    >>> run_stream(queue, ContiguousPool(32, reserve=lambda request: 16)).mean_batch
    2.0
    """
    waiting = deque(
        (key, request, request.prompt) for key, request in enumerate(requests)
    )
    running: dict[int, Held] = {}
    steps: list[Slots] = []
    served = preempted = 0
    while waiting or running:
        while waiting and pool.allocate(*waiting[0]):
            key, *held = waiting.popleft()
            running[key] = tuple(held)
        _check_fits(running, waiting, pool)
        steps.append(_slots_now(running, waiting, pool))
        served += len(running)
        for key in [
            key for key, (request, held) in running.items() if held == request.final
        ]:
            pool.free(key)
            del running[key]
        for key in list(running):
            preempted += _grow(key, running, waiting, pool)
    return Stream(
        len(steps), total(steps), served / len(steps) if steps else 0.0, preempted
    )


def _check_fits(running: dict[int, Held], waiting: deque, pool: Pool) -> None:
    too_long = next((r for r, _ in running.values() if r.final > pool.capacity), None)
    stuck = too_long or (waiting[0][1] if not running else None)
    if stuck:
        raise ValueError(f"requests: {stuck} does not fit in {pool.capacity} slots")


def _slots_now(running: dict[int, Held], waiting: deque, pool: Pool) -> Slots:
    """Slots by kind. Free ones are fragments if the request that waits would fit, were
    they in one piece.
    """
    allocated = total(
        slots_of(r, held, pool.allocated(key)) for key, (r, held) in running.items()
    )
    free = pool.capacity - allocated.used - allocated.reserved - allocated.internal
    in_pieces = bool(waiting) and pool.slots_needed(*waiting[0][1:]) <= free
    return total((allocated, Slots(external=free) if in_pieces else Slots(idle=free)))


def _grow(key: int, running: dict[int, Held], waiting: deque, pool: Pool) -> int:
    """Give one request its next token, putting back the last admitted until it fits.
    Return how many were.

    A request that is put back asks for its next token again when it returns, so none is
    lost or made twice.
    """
    lost = 0
    while key in running and not pool.grow(key, running[key][1] + 1):
        last = next(reversed(running))
        request, held = running.pop(last)
        pool.free(last)
        waiting.appendleft((last, request, held + 1))
        lost += 1
    if key in running:
        request, held = running[key]
        running[key] = (request, held + 1)
    return lost
