"""The list of GPUs that `course fit` knows, with their figures."""

from collections.abc import Mapping
from typing import Any

from course_lib.costs.hardware import ARITHMETIC, load_hardware
from course_lib.course.cli.console import table
from course_lib.kit.units import count_text


def device_facts(name: str) -> dict[str, Any]:
    """The figures of a GPU."""
    device = load_hardware(name)
    return {
        "gpu": name,
        "name": device.name,
        "peak_flops_per_s": device.peak_flops,
        "bandwidth_bytes_per_s": device.bandwidth_bytes_per_s,
        "memory_bytes": device.memory_bytes,
        "ridge_flops_per_byte": device.ridge,
        "peaks_flops_per_s": device.all_peaks(),
        "interconnect_bytes_per_s": device.interconnect_bytes_per_s,
        "source": device.source,
        "checked": device.checked,
    }


def show_list(facts: Mapping[str, Any]) -> None:
    """Print the list of GPUs."""
    head = (
        "gpu",
        "name",
        *(f"#{name}" for name in ARITHMETIC),
        "#GB/s",
        "#GB",
        "#link GB/s",
        "#FLOPs/byte",
        "checked",
    )
    rows = [
        (
            one["gpu"],
            one["name"],
            *(peak_text(one["peaks_flops_per_s"].get(name)) for name in ARITHMETIC),
            count_text(one["bandwidth_bytes_per_s"] / 1e9),
            count_text(one["memory_bytes"] / 1e9),
            link_text(one["interconnect_bytes_per_s"]),
            count_text(one["ridge_flops_per_byte"]),
            one["checked"],
        )
        for one in facts["gpus"]
    ]
    table(
        head,
        rows,
        title="dense peaks in TFLOP/s by arithmetic, memory bandwidth, memory, "
        "links (both directions), and where the two times meet in 16 bits",
    )


def link_text(bytes_per_s: float | None) -> str:
    """Bandwidth to other devices in GB/s; a dash where none is known."""
    return "-" if bytes_per_s is None else count_text(bytes_per_s / 1e9)


def peak_text(flops_per_s: float | None) -> str:
    """A peak in TFLOP/s; a dash where none is known."""
    return "-" if flops_per_s is None else f"{flops_per_s / 1e12:,.1f}"
