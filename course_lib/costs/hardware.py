"""Accelerators by the numbers a roofline needs: peak FLOPs by the precision of the
arithmetic, memory bandwidth, memory, and the bandwidth to other devices.

The figures are the vendors', kept with their sources in `hardware.yml`. They are
limits, not measurements: a kernel reaches less, and how much less depends on the kernel
and the shape. `Hardware.derated` says what share a prediction assumes.

Weights of few bits may be multiplied in few bits too. A time is a lower bound only at
the peak of the arithmetic that is done, so `Hardware.computing` takes its name.

Terms:
    accelerator, peak FLOPs, memory bandwidth: the vendor's limits of a device ->
        Hardware, load_hardware
    FP8, INT8, FP4 peak, arithmetic precision: peak FLOPs by the numbers that are
        multiplied -> Hardware.computing, fastest_arithmetic
    ridge point, machine balance: peak FLOPs over bandwidth: the intensity above which
        arithmetic is the limit -> Hardware.ridge
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import yaml

from course_lib.costs.arithmetic import Number, check_at_most, check_positive
from course_lib.specs.frozen import FrozenMapping

ARITHMETIC = {"16-bit": 16, "FP8": 8, "INT8": 8, "FP4": 4}
"""Names of the precisions that a device multiplies in, and bits of a number."""


@dataclass(frozen=True)
class Hardware:
    """One device.

    `peak_flops` dense FLOPs per second in `arithmetic`; `bandwidth_bytes_per_s`;
    `memory_bytes`; `source` of the figures, and `checked`, the day they were read (ISO
    date); `peaks` FLOPs per second by the other names of `ARITHMETIC`, as far as the
    device has them; `interconnect_bytes_per_s` to other devices, both directions
    together, where the source prints it. The numbers may be SymPy symbols.
    """

    name: str
    peak_flops: float
    bandwidth_bytes_per_s: float
    memory_bytes: float
    source: str = ""
    checked: str = ""
    arithmetic: str = "16-bit"
    peaks: Mapping[str, float] = FrozenMapping({})
    interconnect_bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        check_positive(
            peak_flops=self.peak_flops,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            memory_bytes=self.memory_bytes,
        )

    def all_peaks(self) -> dict[str, float]:
        """Peak FLOPs per second by the name of the arithmetic.

        >>> load_hardware("H100-SXM").all_peaks()["FP8"]
        1978900000000000.0
        """
        found = {self.arithmetic: self.peak_flops, **self.peaks}
        return {name: found[name] for name in ARITHMETIC if name in found}

    def computing(self, arithmetic: str) -> "Hardware":
        """The same device with `peak_flops` of another arithmetic.

        Args: `arithmetic` one of `ARITHMETIC`, in any case.
        Raises: ValueError if there is no such arithmetic, or no peak of it is known.

        >>> load_hardware("H100-SXM").computing("fp8").peak_flops
        1978900000000000.0
        >>> load_hardware("H100-SXM").computing("fp4")
        Traceback (most recent call last):
        ...
        ValueError: arithmetic='fp4': NVIDIA H100 80GB SXM has 16-bit, FP8, INT8
        """
        peaks = self.all_peaks()
        by_lower = {name.lower(): name for name in peaks}
        if arithmetic.lower() not in by_lower:
            has = ", ".join(peaks)
            raise ValueError(f"arithmetic={arithmetic!r}: {self.name} has {has}")
        name = by_lower[arithmetic.lower()]
        others = {other: peak for other, peak in peaks.items() if other != name}
        return replace(
            self,
            peak_flops=peaks[name],
            arithmetic=name,
            peaks=FrozenMapping(others),
        )

    @property
    def ridge(self) -> float:
        """FLOPs per byte at which compute and memory take equally long: peak_flops /
        bandwidth_bytes_per_s."""
        return self.peak_flops / self.bandwidth_bytes_per_s

    def derated(self, *, compute: float = 1.0, bandwidth: float = 1.0) -> "Hardware":
        """The same device at a share of its peaks.

        Args: `compute`, `bandwidth` shares, above 0 and at most 1.
        Returns: a `Hardware`; memory and source are unchanged.
        Raises: ValueError if a share is not above 0 or is above 1.

        >>> load_hardware("H100-SXM").derated(bandwidth=0.5).bandwidth_bytes_per_s
        1675000000000.0
        """
        check_positive(compute=compute, bandwidth=bandwidth)
        check_at_most("peak", 1, compute=compute, bandwidth=bandwidth)
        return replace(
            self,
            peak_flops=self.peak_flops * compute,
            peaks=FrozenMapping({n: p * compute for n, p in self.peaks.items()}),
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s * bandwidth,
        )


def fastest_arithmetic(hardware: Hardware, bytes_per_weight: Number = 2) -> str:
    """The arithmetic with the highest peak among those of at least the weights' bits.

    With it a time stays a lower bound whatever kernel runs: weights of 8 bits may be
    multiplied in 8 bits or be widened to 16 first, but never narrowed. Bits of scales
    are left out (4.25 bits a weight are numbers of 4 bits).

    Args: `hardware`; `bytes_per_weight` above 0.
    Returns: a name of `ARITHMETIC`. Where the sheet gives no other peak it is the
        device's own, and the bound then holds for that arithmetic alone.
    Raises: ValueError if `bytes_per_weight` is not above 0.

    >>> h100 = load_hardware("H100-SXM")
    >>> [fastest_arithmetic(h100, bits / 8) for bits in (16, 8.5, 4.25)]
    ['16-bit', 'FP8', 'FP8']
    """
    check_positive(bytes_per_weight=bytes_per_weight)
    bits = min(math.floor(8 * bytes_per_weight), 16)
    peaks = hardware.all_peaks()
    wide = [name for name in peaks if ARITHMETIC[name] >= bits]
    return max(wide, key=peaks.__getitem__) if wide else hardware.arithmetic


@cache
def _table() -> Mapping[str, Mapping]:
    return yaml.safe_load(
        files("course_lib.costs").joinpath("hardware.yml").read_text(encoding="utf-8")
    )


def list_hardware() -> tuple[str, ...]:
    """Names `load_hardware` knows, in the order of the table.

    >>> "H100-SXM" in list_hardware()
    True
    """
    return tuple(_table())


def load_hardware(name: str) -> Hardware:
    """A published accelerator.

    Args: `name` one of `list_hardware()`.
    Returns: its `Hardware`, in FLOPs per second, bytes per second and bytes (a printed
        GB is 10^9 bytes).
    Raises: ValueError if the name is not in the table.

    >>> round(load_hardware("H100-SXM").ridge)
    295
    """
    if name not in _table():
        raise ValueError(
            f"name={name!r}: one of {', '.join(list_hardware())} is allowed"
        )
    entry = _table()[name]
    link = entry.get("interconnect_gb_s")
    peaks = {each: tflops * 1e12 for each, tflops in entry.get("peaks", {}).items()}
    return Hardware(
        name=entry["name"],
        peak_flops=entry["peak_tflops"] * 1e12,
        bandwidth_bytes_per_s=entry["bandwidth_gb_s"] * 1e9,
        memory_bytes=entry["memory_gb"] * 10**9,
        source=entry["source"],
        checked=str(entry["checked"]),
        peaks=FrozenMapping(peaks),
        interconnect_bytes_per_s=link and link * 1e9,
    )
