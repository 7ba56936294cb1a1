"""Time and bandwidth, measured so that the number can be trusted.

- A time is the median of repeats after a warm-up, with the device's queue drained
  before both readings.
- Two alternatives are compared inside one run, turn by turn, so that a machine that
  slows down slows both. The figure to quote is their ratio: it travels between machines
  better than either time.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from course_lib.kit.memory import peak_tensor_bytes
from course_lib.kit.runtime import Device, synchronise

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Times of one piece of work.

    Attributes:
        median_s: median of `times_s`, seconds.
        times_s: each repeat, in order, seconds.
        peak_bytes: tensor bytes one call held at once beyond those before it; None if
            not asked for.
    """

    median_s: float
    times_s: tuple[float, ...]
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Times of alternatives that took turns in one run.

    Attributes:
        baseline: the alternative the others are held against.
        timings: name -> `Timing`.
        speedups: name -> for each round, the baseline's time over this one's: 2.0 is
            twice as fast.
    """

    baseline: str
    timings: Mapping[str, Timing]
    speedups: Mapping[str, tuple[float, ...]]

    def speedup(self, name: str) -> float:
        """Return the median over rounds of how many times faster than the baseline
        `name` was.
        """
        return statistics.median(self.speedups[name])


@dataclass(frozen=True)
class Bandwidth:
    """Bytes moved per second between a processor and its memory.

    Attributes:
        bytes_per_s: `moved_bytes` over the median time.
        moved_bytes: bytes read, plus bytes written if the work writes.
        timing: the times behind it.
    """

    bytes_per_s: float
    moved_bytes: int
    timing: Timing


def measure(
    fn: Work,
    *,
    repeats: int = 5,
    warmup: int = 1,
    device: Device = None,
    memory: bool = False,
) -> Timing:
    """Time `fn()`: `warmup` calls unread, then `repeats` calls, each between two waits
    for the device.

    Args:
        fn: the work, called with no argument.
        repeats: calls that are timed, at least 1.
        warmup: calls before them, at least 0.
        device: where `fn` works; needed on CUDA, where a call returns before its work
            is done.
        memory: also find the peak, in one more call that is not timed.
    Raises:
        ValueError: if `repeats` < 1 or `warmup` < 0.
    Cost: `warmup + repeats` calls, one more with `memory`.

    >>> measure(lambda: torch.ones(1000).cumsum(0), repeats=3, memory=True).peak_bytes
    8000
    """
    _check(repeats, warmup)
    for _ in range(warmup):
        fn()
    times = tuple(_seconds(fn, device) for _ in range(repeats))
    return Timing(
        statistics.median(times),
        times,
        peak_tensor_bytes(fn, device) if memory else None,
    )


def compare(
    alternatives: Mapping[str, Work],
    *,
    baseline: str | None = None,
    repeats: int = 5,
    warmup: int = 1,
    device: Device = None,
    clock: Callable[[], float] | None = None,
) -> Comparison:
    """Time alternatives turn by turn in one run, and return their speed against a
    baseline.

    Every second round runs in reverse order, so that none always follows the same one.

    Args:
        alternatives: name -> work; at least two.
        baseline: the name the others are held against; the first when None.
        repeats, warmup, device: as in `measure`.
        clock: seconds; `time.perf_counter` when None. `time.process_time` leaves out
            what other programs take on a busy machine: for work of one thread on a CPU.
    Raises:
        ValueError: if there are fewer than two alternatives, `baseline` is not one of
            them, `repeats` < 1 or `warmup` < 0.

    >>> works = {"long": lambda: sum(range(90_000)), "short": lambda: sum(range(900))}
    >>> run = compare(works)
    >>> run.speedup("short") > 1, run.speedup("long")
    (True, 1.0)
    """
    _check(repeats, warmup)
    names = list(alternatives)
    baseline = names[0] if baseline is None and names else baseline
    if len(names) < 2 or baseline not in names:
        raise ValueError(
            f"alternatives={names}, baseline={baseline!r}: allowed are two or more, "
            "with it among them"
        )
    for _ in range(warmup):
        for work in alternatives.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else reversed(names):
            times[name].append(_seconds(alternatives[name], device, clock))
    return Comparison(
        baseline,
        {name: Timing(statistics.median(t), tuple(t)) for name, t in times.items()},
        {
            name: tuple(b / x for b, x in zip(times[baseline], t, strict=True))
            for name, t in times.items()
        },
    )


def measure_bandwidth(
    size_bytes: int,
    device: Device = "cpu",
    *,
    kind: str = "read",
    repeats: int = 7,
    warmup: int = 2,
) -> Bandwidth:
    """Measure how fast this machine moves one large tensor: the bandwidth term of the
    decode roofline.

    *Equation*: beta = bytes moved / median seconds.

    Args:
        size_bytes: size of the tensor; 256 MiB or more, or the last-level cache is
            measured instead.
        device: "cpu" or a CUDA device.
        kind: "read" sums the tensor (each byte read once, as decode reads weights and
            cache); "copy" writes it to another one (each byte read once and written
            once, so twice `size_bytes` move).
        repeats, warmup: as in `measure`.
    Returns:
        What this program reached: at or below the memory's published figure, with one
        thread often far below.
    Raises:
        ValueError: if `size_bytes` < 4 or `kind` is neither "read" nor "copy".
    Cost: holds `size_bytes`, twice that for "copy".

    >>> measure_bandwidth(4_000_000, kind="copy", repeats=1).moved_bytes
    8000000
    """
    if size_bytes < 4:
        raise ValueError(f"size_bytes={size_bytes}: allowed is 4 or more")
    if kind not in ("read", "copy"):
        raise ValueError(f"kind={kind!r}: allowed are 'read' and 'copy'")
    source = torch.ones(size_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source) if kind == "copy" else None
    work = source.sum if target is None else lambda: target.copy_(source)
    timing = measure(work, repeats=repeats, warmup=warmup, device=device)
    moved = source.nbytes * (1 if target is None else 2)
    return Bandwidth(moved / timing.median_s, moved, timing)


def _seconds(
    fn: Work, device: Device, clock: Callable[[], float] | None = None
) -> float:
    clock = time.perf_counter if clock is None else clock
    synchronise(device)
    start = clock()
    fn()
    synchronise(device)
    return clock() - start


def _check(repeats: int, warmup: int) -> None:
    if repeats < 1 or warmup < 0:
        raise ValueError(
            f"repeats={repeats}, warmup={warmup}: allowed are "
            "repeats >= 1 and warmup >= 0"
        )
