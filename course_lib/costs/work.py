"""The work of a pass, and how long a machine needs for it at least: the roofline.

*Equation*: T = max(FLOPs / peak, bytes / bandwidth).

Not modelled: kernel launches, collectives between devices, activations, and overlap
worse than perfect. So the time is a lower bound; `Hardware.derated` brings it to what
kernels reach.

Source: Williams et al. 2009, doi 10.1145/1498765.1498785.

Terms:
    roofline, roofline model: a pass takes as long as its arithmetic or its memory
        traffic, whichever is longer -> roofline_time
    memory-bound, compute-bound, bandwidth-bound: which of the two times is the longer
        -> RooflineTime.bound
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import Number, check_count, check_positive, larger
from course_lib.costs.hardware import Hardware


@dataclass(frozen=True)
class RooflineTime:
    """The two times of a pass, in seconds, and which one it waits for."""

    compute_s: Number
    memory_s: Number

    @property
    def time_s(self) -> Number:
        """The longer of the two, in seconds."""
        return larger(self.compute_s, self.memory_s)

    @property
    def bound(self) -> str:
        """What the pass waits for: "compute" or "memory" (a tie counts as memory)."""
        return "compute" if self.compute_s > self.memory_s else "memory"


def roofline_time(
    *, flops: Number, bytes_moved: Number, hardware: Hardware, devices: Number = 1
) -> RooflineTime:
    """Times of a pass from its FLOPs and bytes, split evenly over `devices` that
    exchange nothing.

    *Equation*: compute = flops / (devices peak_flops), memory = bytes_moved / (devices
        bandwidth).

    Args: `flops`; `bytes_moved`; `hardware`; `devices`. All but the name may be
        symbols.
    Returns: seconds of each, and the bound.
    Raises: ValueError if `flops` or `bytes_moved` is not above 0, or `devices` is no
        whole number above 0.

    >>> rates = {"peak_flops": 100.0, "bandwidth_bytes_per_s": 10.0}
    >>> device = Hardware("toy", memory_bytes=1, **rates)
    >>> roofline_time(flops=50, bytes_moved=20, hardware=device).time_s
    2.0
    """
    check_positive(flops=flops, bytes_moved=bytes_moved)
    check_count(devices=devices)
    return RooflineTime(
        compute_s=flops / (devices * hardware.peak_flops),
        memory_s=bytes_moved / (devices * hardware.bandwidth_bytes_per_s),
    )


@dataclass(frozen=True)
class Work:
    """What one device has to do in a pass: FLOPs, matrix weights read once, bytes of
    cache read or (prefill) written.
    """

    flops: Number
    weights_read: Number
    cache_bytes: Number

    def on(self, hardware: Hardware, *, bytes_per_weight: Number = 2) -> RooflineTime:
        """The times of the pass on that device.

        *Equation*: `roofline_time` of the FLOPs and of weights_read bytes_per_weight +
            cache_bytes.

        Args: `hardware`; `bytes_per_weight`.
        Returns: seconds of each, and the bound.
        Raises: ValueError if `bytes_per_weight` is not above 0.
        """
        check_positive(bytes_per_weight=bytes_per_weight)
        moved = bytes_per_weight * self.weights_read + self.cache_bytes
        return roofline_time(flops=self.flops, bytes_moved=moved, hardware=hardware)
