"""Accelerators by the three numbers a roofline needs: peak FLOPs, memory bandwidth,
memory.

The figures are the vendors', kept with their sources in `hardware.yml`. They are
limits, not measurements: a kernel reaches less, and how much less depends on the kernel
and the shape. `Hardware.derated` says what share a prediction assumes.

Terms:
    accelerator, peak FLOPs, memory bandwidth: the vendor's limits of a device ->
        Hardware, load_hardware
    ridge point, machine balance: peak FLOPs over bandwidth: the intensity above which
        arithmetic is the limit -> Hardware.ridge
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import yaml

from course_lib.costs.arithmetic import check_at_most, check_positive


@dataclass(frozen=True)
class Hardware:
    """One device.

    `peak_flops` dense 16-bit FLOPs per second; `bandwidth_bytes_per_s`; `memory_bytes`;
    `source` of the figures, and `checked`, the day they were read (ISO date). The
    numbers may be SymPy symbols.
    """

    name: str
    peak_flops: float
    bandwidth_bytes_per_s: float
    memory_bytes: float
    source: str = ""
    checked: str = ""

    def __post_init__(self) -> None:
        check_positive(
            peak_flops=self.peak_flops,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            memory_bytes=self.memory_bytes,
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
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s * bandwidth,
        )


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
    return Hardware(
        name=entry["name"],
        peak_flops=entry["peak_tflops"] * 1e12,
        bandwidth_bytes_per_s=entry["bandwidth_gb_s"] * 1e9,
        memory_bytes=entry["memory_gb"] * 10**9,
        source=entry["source"],
        checked=str(entry["checked"]),
    )
