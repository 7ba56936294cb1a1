"""Cache memory of requests: contiguous reservation against paged allocation, and the
fragmentation of each.

A slot holds one token's keys and values in every layer; times the model's bytes a token
it is bytes. At any step the slots given to a request are of three kinds (Kwon et al.
2023, section 3.1):

    used       hold a token
    reserved   empty now, filled before the request ends
    internal   empty to the end: given for a length it never reaches

Slots given to nobody are idle, or external fragments: enough for the next request, but
not in one piece. This file counts what requests are given over their lives; `pools`
adds a memory that they compete for.

Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180. Section 1 and figure 2
report that earlier systems filled 20.4% to 38.2% of cache memory with tokens. "Under
4%" waste with paging is from the authors' post of 2023-06-20,
vllm.ai/blog/2023-06-20-vllm. Both checked 2026-11-22.
Differs from source: one token for each request at each step, no prefill time. The
shares show the mechanism; they are not the paper's measurement.

Terms:
    fragmentation, internal fragmentation, external fragmentation: cache memory that is
        allocated, or left between allocations, and holds no token -> Slots,
        contiguous_slots
    reservation, preallocation: slots allocated for a length that a request may never
        reach -> reserve_longest, reserve_power_of_two
    paged allocation: blocks allocated as a request grows; at most one is partly empty
        -> paged_slots
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from course_lib.simulate.workload import Request

Reserve = Callable[[Request], int]


def reserve_longest(longest: int) -> Reserve:
    """Reserve the model's longest sequence for every request: nothing about its length
    is known.
    """
    return lambda request: longest


def reserve_power_of_two(request: Request) -> int:
    """Reserve the prompt and the next power of two of the output: a guess at most twice
    too long.
    """
    return request.prompt + (1 << (request.output - 1).bit_length())


def reserve_exact(request: Request) -> int:
    """Reserve what the request will need: no system knows this in advance."""
    return request.final


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Slots by kind, summed over steps. `share` gives each as a part of all of them."""

    used: int = 0
    reserved: int = 0
    internal: int = 0
    external: int = 0
    idle: int = 0

    def share(self, kind: str) -> float:
        """Return the part of all slots that is of this kind, 0 to 1."""
        return getattr(self, kind) / (
            self.used + self.reserved + self.internal + self.external + self.idle
        )


def total(parts: Iterable[Slots]) -> Slots:
    """Add slots kind by kind."""
    rows = [(p.used, p.reserved, p.internal, p.external, p.idle) for p in parts]
    used, reserved, internal, external, idle = (
        (sum(column) for column in zip(*rows, strict=True)) if rows else [0] * 5
    )
    return Slots(
        used=used, reserved=reserved, internal=internal, external=external, idle=idle
    )


def slots_of(request: Request, held: int, given: int) -> Slots:
    """Sort the `given` slots of a request that holds `held` tokens now.

    >>> slots_of(Request(prompt=5, output=4), held=6, given=16)
    Slots(used=6, reserved=2, internal=8, external=0, idle=0)
    """
    return Slots(
        used=held,
        reserved=min(request.final, given) - held,
        internal=max(given - request.final, 0),
    )


def contiguous_slots(requests: Sequence[Request], reserve: Reserve) -> Slots:
    """Slots that requests are given over their lives when each holds one stretch from
    its first step.

    >>> requests = [Request(prompt=7, output=2)]
    >>> contiguous_slots(requests, reserve_longest(16)).share("used")
    0.46875
    """
    lives = ((r, step) for r in requests for step in range(r.output))
    return total(slots_of(r, r.prompt + step, reserve(r)) for r, step in lives)


def paged_slots(requests: Sequence[Request], block: int) -> Slots:
    """Slots that requests are given over their lives when blocks of `block` slots
    follow their growth.

    *Equation*: given = block * ceil(held / block), so at most block - 1 slots of a
        request are empty.

    >>> paged_slots([Request(prompt=7, output=2)], block=4)
    Slots(used=15, reserved=1, internal=0, external=0, idle=0)
    """
    lives = ((r, r.prompt + step) for r in requests for step in range(r.output))
    return total(slots_of(r, held, round_up(held, block)) for r, held in lives)


def round_up(tokens: int, block: int) -> int:
    """Return the slots of the fewest whole blocks that hold `tokens`.

    Raises:
        ValueError: if `block` < 1.
    """
    if block < 1:
        raise ValueError(f"block={block}: allowed is 1 or more")
    return -(-tokens // block) * block
