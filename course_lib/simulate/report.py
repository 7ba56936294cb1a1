"""Serving metrics: TTFT and latency of each request, throughput, memory.

Symbols: TTFT time to first token. A percentile is the nearest rank: a time that some
request really had.

Terms:
    TTFT, time to first token: from a request's arrival to its first new token ->
        Outcome
    throughput, tokens per second: new tokens of all requests per second ->
        Report.tokens_per_s
    tail latency, latency percentile, p99: the time that 99 of 100 requests stay below
        -> Report.percentile
"""

import math
from dataclasses import dataclass

from course_lib.simulate.workload import Request


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Times of one request, seconds after the start."""

    request: Request
    start_s: float
    first_token_s: float
    finish_s: float

    @property
    def wait_s(self) -> float:
        """From arrival until its prefill could begin, seconds."""
        return self.start_s - self.request.arrival_s

    @property
    def ttft_s(self) -> float:
        """Time to first token: from arrival until it was computed, seconds."""
        return self.first_token_s - self.request.arrival_s

    @property
    def latency_s(self) -> float:
        """From arrival until the whole answer was returned, seconds."""
        return self.finish_s - self.request.arrival_s


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run showed.

    Attributes:
        outcomes: one of each request, in order of finishing.
        end_s: when the last finished, seconds.
        memory: (time, bytes reserved from then on), in order of time.
        busy_s: seconds in which the accelerator worked.
        slot_steps: decode steps times the batch they ran at; padding counts.
        useful_steps: those that gave a token that someone asked for.
    """

    outcomes: tuple[Outcome, ...]
    end_s: float
    memory: tuple[tuple[float, float], ...]
    busy_s: float
    slot_steps: int
    useful_steps: int

    @property
    def tokens_per_s(self) -> float:
        """Throughput: new tokens of all requests over the whole time."""
        return sum(o.request.output for o in self.outcomes) / self.end_s

    @property
    def peak_bytes(self) -> float:
        """Most bytes reserved at any time."""
        return max(held for _, held in self.memory)

    @property
    def mean_bytes(self) -> float:
        """Bytes reserved, mean over time."""
        ends = [at for at, _ in self.memory[1:]] + [self.end_s]
        return (
            sum(
                held * (end - at)
                for (at, held), end in zip(self.memory, ends, strict=True)
            )
            / self.end_s
        )

    def percentile(self, share: float, measure: str = "latency_s") -> float:
        """Return the value that `share` of the requests do not exceed (nearest rank).

        Args:
            share: above 0, at most 1; 0.5, 0.95 and 0.99 are the usual ones.
            measure: "latency_s", "ttft_s" or "wait_s".
        Raises:
            ValueError: if `share` or `measure` is something else.
        """
        if not 0 < share <= 1 or measure not in ("latency_s", "ttft_s", "wait_s"):
            raise ValueError(
                f"share={share}, measure={measure!r}: allowed are 0 < share <= 1, "
                "latency_s, ttft_s, wait_s"
            )
        values = sorted(getattr(o, measure) for o in self.outcomes)
        return values[math.ceil(share * len(values) - 1e-9) - 1]
