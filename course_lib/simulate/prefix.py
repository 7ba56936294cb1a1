"""Prefix sharing (prefix caching): what requests that begin alike save when the cached
blocks of the common part are shared.

Only whole blocks are shared: a block that also holds a request's own tokens is its own.

Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, section 4.4, "Shared
prefix". Section 6.4 measured 1.67 and 3.58 times the throughput of Orca (Oracle) with
prefixes of 80 and 341 tokens (checked 2026-11-22).

Terms:
    shared-prefix savings, prefix hit: cache blocks and prefill FLOPs that requests with
        a common beginning save -> share_prefix
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from course_lib.simulate.paging import round_up


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Cost of a set of prompts, each on its own and with the common prefix shared.

    Attributes:
        shared_tokens: tokens of the prefix that whole blocks hold.
        slots_apart, slots_shared: token slots held.
        flops_apart, flops_shared: prefill FLOPs.
    """

    shared_tokens: int
    slots_apart: int
    slots_shared: int
    flops_apart: float
    flops_shared: float

    @property
    def saved_slots(self) -> float:
        """Part of the memory that sharing saves, 0 to 1."""
        return 1 - self.slots_shared / self.slots_apart

    @property
    def saved_flops(self) -> float:
        """Part of the prefill that sharing saves, 0 to 1."""
        return 1 - self.flops_shared / self.flops_apart


def share_prefix(
    prefix: int,
    own: Sequence[int],
    *,
    block: int,
    prefill_flops: Callable[[int], float],
) -> Sharing:
    """Compare prompts of `prefix` common and `own[i]` further tokens, stored and
    computed apart or shared.

    *Equation*: with p = block * floor(prefix / block) and n prompts, sharing saves (n -
    1) p slots and (n - 1) F(p) FLOPs. Under a causal mask the first p tokens cost the
    same whatever follows, so the rest of a prompt of m tokens costs F(m) - F(p).

    Args:
        prefix: common tokens, 0 or more.
        own: tokens of each prompt after the prefix, 1 or more (the last token is
            computed to be continued).
        block: tokens a block.
        prefill_flops: F, FLOPs of a causal prefill of so many tokens; F(0) is taken as
            0.
    Raises:
        ValueError: if `prefix` < 0, `own` is empty or holds a number below 1, or
        `block` < 1.

    >>> found = share_prefix(70, [10] * 8, block=16, prefill_flops=lambda n: float(n))
    >>> found.shared_tokens, found.saved_slots, found.saved_flops
    (64, 0.7, 0.7)
    """
    if prefix < 0 or min(own, default=0) < 1:
        raise ValueError(
            f"prefix={prefix}, own={list(own)}: allowed are prefix >= 0 and prompts "
            "with own >= 1"
        )
    shared = prefix - prefix % round_up(1, block)
    slots = sum(round_up(prefix + tokens, block) for tokens in own)
    flops = sum(prefill_flops(prefix + tokens) for tokens in own)
    again = len(own) - 1
    return Sharing(
        shared_tokens=shared,
        slots_apart=slots,
        slots_shared=slots - again * shared,
        flops_apart=flops,
        flops_shared=flops - (again * prefill_flops(shared) if shared else 0),
    )
