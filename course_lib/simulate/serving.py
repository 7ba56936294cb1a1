"""Serving engine in simulated time: static and continuous batching of requests that
queue for one accelerator.

Three schedulers over the same accelerator:

    static          take a batch, pad it to its longest prompt and answer, return all
                    when the last ends
    static-packed   the same without padding: a request costs its own prompt, memory
                    and context
    continuous      after every step, let finished requests go and waiting ones in

The caller's functions give the seconds of a step, so one simulation serves a roofline
model, a fit to measured steps, or a queueing formula (`queueing.mean_wait`). Prompts
that enter are computed before the next step, and the requests that decode wait for
them: every request in the batch feels a 128K prompt.

Source: Yu et al. 2022, Orca, OSDI'22, usenix.org/conference/osdi22/presentation/yu, for
iteration-level scheduling. Its abstract reports 36.9 times the throughput of
FasterTransformer at equal latency, for GPT-3 175B (checked 2026-11-22).
Differs from source: one device, no pipeline; a request enters only if its whole
reservation fits, so none is preempted.

Terms:
    continuous batching, iteration-level scheduling, in-flight batching: after every
        step finished requests leave the batch and waiting ones enter -> simulate
    static batching: a batch runs until its last request ends -> simulate
    serving engine, scheduler: accelerator, memory and policy of a simulated server ->
        Engine
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import simpy

from course_lib.simulate.paging import Reserve, reserve_exact
from course_lib.simulate.report import Outcome, Report
from course_lib.simulate.workload import Request

POLICIES = ("static", "static-packed", "continuous")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The accelerator.

    Attributes:
        prefill_s: prompt tokens -> seconds to compute them and give the first new
            token.
        step_s: (batch, total context of the batch) -> seconds of a decode step. A
            sequence's context counts the token being computed, as in `costs.roofline`.
        cache_bytes: tokens of one sequence -> bytes of its cache.
        memory_bytes: bytes for caches, weights already taken off.
        max_batch: most requests at once.
        reserve: tokens that a request's memory is reserved for; its exact final length
            when not given.
    """

    prefill_s: Callable[[int], float]
    step_s: Callable[[int, int], float]
    cache_bytes: Callable[[int], float]
    memory_bytes: float
    max_batch: int
    reserve: Reserve = reserve_exact


def simulate(
    requests: Sequence[Request], engine: Engine, *, policy: str = "continuous"
) -> Report:
    """Serve `requests` in order of arrival until all are answered.

    Args:
        requests: at least one.
        engine: the accelerator.
        policy: "continuous", "static" or "static-packed".
    Raises:
        ValueError: if there is no request, `policy` is none of the three, `max_batch` <
            1, or the reservation of a request is shorter than it or larger than the
            memory.
    Cost: at most one event for each new token and one for each arrival, so a run always
        ends.

    >>> engine = Engine(prefill_s=lambda n: 1.0, step_s=lambda b, n: 1.0,
    ...                 cache_bytes=lambda n: n, memory_bytes=100, max_batch=2)
    >>> queue = [Request(prompt=5, output=n) for n in (2, 8, 2)]
    >>> simulate(queue, engine, policy="static").end_s, simulate(queue, engine).end_s
    (11.0, 10.0)
    """
    if not requests or policy not in POLICIES or engine.max_batch < 1:
        raise ValueError(
            f"requests={len(requests)}, policy={policy!r}, "
            f"max_batch={engine.max_batch}: allowed are one request or more, a policy "
            f"of {POLICIES}, and max_batch >= 1"
        )
    for request in requests:
        _check_fits(request, engine)
    run = _Run(engine, len(requests))
    run.env.process(run.arrivals(sorted(requests, key=lambda r: r.arrival_s)))
    run.env.process(
        run.continuous()
        if policy == "continuous"
        else run.static(padded=policy == "static")
    )
    run.env.run()
    return Report(
        outcomes=tuple(run.outcomes),
        end_s=run.env.now,
        memory=tuple(run.memory),
        busy_s=run.busy_s,
        slot_steps=run.slot_steps,
        useful_steps=sum(r.output - 1 for r in requests),
    )


@dataclass
class _Active:
    """A request in the batch: when it entered, and the new tokens it has."""

    request: Request
    start_s: float
    first_token_s: float = 0.0
    made: int = 0


class _Run:
    """One simulation: a queue, a memory, and a scheduler that works through them."""

    def __init__(self, engine: Engine, count: int):
        self.engine, self.count = engine, count
        self.env = simpy.Environment()
        self.queue: deque[Request] = deque()
        self.arrived = self.env.event()
        self.memory = [(0.0, 0.0)]
        self.outcomes: list[Outcome] = []
        self.busy_s, self.slot_steps = 0.0, 0

    def arrivals(self, requests: Sequence[Request]) -> Iterator[simpy.Event]:
        due = [
            self.env.timeout(r.arrival_s) for r in requests
        ]  # counted from 0: no rounding on the clock
        for request, its_time in zip(requests, due, strict=True):
            if (
                request.arrival_s > self.env.now
            ):  # those who come together are queued together
                yield its_time
            self.queue.append(request)
            if not self.arrived.triggered:
                self.arrived.succeed()

    def continuous(self) -> Iterator[simpy.Event]:
        """After every step, let the finished out and the waiting in."""
        batch: list[_Active] = []
        while len(self.outcomes) < self.count:
            if not batch:
                yield from self.someone_waits()
            entered = self.admit(batch)
            yield from self.prefill(entered, [a.request.prompt for a in entered])
            batch = self.release(batch + entered)
            if batch:
                yield from self.step(
                    len(batch), sum(a.request.prompt + a.made for a in batch)
                )
                for active in batch:
                    active.made += 1
                batch = self.release(batch)

    def static(self, *, padded: bool) -> Iterator[simpy.Event]:
        """Take a batch, and return all of it when its longest answer ends."""
        while len(self.outcomes) < self.count:
            yield from self.someone_waits()
            batch = self.admit([], padded=padded)
            computed = [a.request for a in batch]
            if padded:
                computed = [_longest(computed)] * len(batch)
            yield from self.prefill(batch, [r.prompt for r in computed])
            for made in range(
                1, max(r.output for r in computed)
            ):  # who ends keeps its place
                context = sum(min(r.prompt + made, r.final) for r in computed)
                yield from self.step(len(batch), context)
            for active in batch:
                active.made = active.request.output
            self.release(batch)

    def someone_waits(self) -> Iterator[simpy.Event]:
        if not self.queue:
            self.arrived = self.env.event()
            yield self.arrived

    def admit(self, batch: list[_Active], *, padded: bool = False) -> list[_Active]:
        """Take from the head of the queue while place and memory last; the first that
        does not fit waits.
        """
        entered: list[_Active] = []
        while self.queue and len(batch) + len(entered) < self.engine.max_batch:
            requests = [a.request for a in batch + entered] + [self.queue[0]]
            held = _held_bytes(requests, self.engine, padded)
            if held > self.engine.memory_bytes:
                break
            self.memory.append((self.env.now, held))
            entered.append(_Active(self.queue.popleft(), self.env.now))
        return entered

    def prefill(
        self, entered: list[_Active], prompts: Sequence[int]
    ) -> Iterator[simpy.Event]:
        """Compute prompts one after the other; each gives its request the first new
        token.
        """
        for active, tokens in zip(entered, prompts, strict=True):
            yield from self.work(self.engine.prefill_s(tokens))
            active.first_token_s, active.made = self.env.now, 1

    def step(self, batch: int, context: int) -> Iterator[simpy.Event]:
        self.slot_steps += batch
        yield from self.work(self.engine.step_s(batch, context))

    def work(self, seconds: float) -> Iterator[simpy.Event]:
        self.busy_s += seconds
        yield self.env.timeout(seconds)

    def release(self, batch: list[_Active]) -> list[_Active]:
        """Record the requests that have all their tokens, free their memory, and return
        the others.
        """
        staying = [a for a in batch if a.made < a.request.output]
        for a in batch:
            if a.made >= a.request.output:
                self.outcomes.append(
                    Outcome(
                        request=a.request,
                        start_s=a.start_s,
                        first_token_s=a.first_token_s,
                        finish_s=self.env.now,
                    )
                )
        if len(staying) < len(batch):
            held = _held_bytes([a.request for a in staying], self.engine, padded=False)
            self.memory.append((self.env.now, held))
        return staying


def _longest(requests: Sequence[Request]) -> Request:
    """What padding makes of every member of a batch: the longest prompt with the
    longest answer.
    """
    return Request(
        prompt=max(r.prompt for r in requests), output=max(r.output for r in requests)
    )


def _held_bytes(requests: Sequence[Request], engine: Engine, padded: bool) -> float:
    """Bytes reserved for a batch; padded, every member takes what the longest could."""
    tokens = [engine.reserve(r) for r in requests]
    if padded:
        tokens = [max(_longest(requests).final, *tokens)] * len(tokens)
    return sum(engine.cache_bytes(n) for n in tokens)


def _check_fits(request: Request, engine: Engine) -> None:
    tokens = engine.reserve(request)
    if tokens < request.final or engine.cache_bytes(tokens) > engine.memory_bytes:
        raise ValueError(
            f"requests: {request} with {tokens} tokens reserved; allowed are "
            f"{request.final} or more, whose cache fits in {engine.memory_bytes} bytes"
        )
