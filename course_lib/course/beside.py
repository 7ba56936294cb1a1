"""Public measurements in words: the cells of a row, what a device reached of its
bounds, and the rows nearest to a model.

Terms:
    nearest public rows: measurements on the same device of models of about the same
        size -> nearest
"""

from collections.abc import Mapping
from math import log
from typing import Any

from course_lib.costs.hardware import list_hardware, load_hardware
from course_lib.costs.measured import (
    Measurement,
    bound,
    measured_on,
    reached,
    reached_by_device,
)
from course_lib.costs.params import param_count
from course_lib.kit.units import (
    count_text,
    plural,
    seconds_text,
    share_text,
    short_text,
)
from course_lib.specs.loader import load_spec
from course_lib.specs.records import ModelSpec

GROUPS = {
    "first token": ("first_token",),
    "step or request": ("step", "request"),
    "output rate": ("output_rate",),
    "cached tokens": ("cached_tokens",),
}
"""Quantities limited alike: by arithmetic, by bandwidth, by both, by memory."""

WORDS = {
    "output_rate": "out",
    "request": "per request",
    "first_token": "to the first token",
    "step": "per further token",
    "cached_tokens": "in the cache",
}
"""What follows a measured value."""


def value_text(quantity: str, value: float) -> str:
    """A measured value, or its bound, with its unit.

    >>> value_text("output_rate", 4205), value_text("step", 0.01858)
    ('4,205 tokens/s', '18.6 ms')
    """
    if quantity == "cached_tokens":
        return f"{count_text(value)} tokens"
    if quantity == "output_rate":
        return f"{short_text(value)} tokens/s"
    return seconds_text(value)


def bits_text(row: Measurement) -> str:
    """Bits of a weight, of a cached number, of the arithmetic."""
    parts = row.weight_bits, row.cache_bits, row.arithmetic_bits
    return " / ".join(f"{bits:g}" for bits in parts)


def work_text(row: Measurement) -> str:
    """Requests at once and their lengths, and how several devices share them.

    >>> from course_lib.costs.measured import measured_on
    >>> work_text(measured_on("RTX-4090")[1])
    '1 x 10,240 in, 1,024 out, heads split'
    """
    split = f"{row.split} split" if row.split else ""
    if row.tokens_in is None:
        return split or "-"
    batch = "full" if row.batch is None else count_text(row.batch)
    lengths = f"{count_text(row.tokens_in)} in, {count_text(row.tokens_out)} out"
    return ", ".join(filter(None, (f"{batch} x {lengths}", split)))


def devices_text(row: Measurement) -> str:
    """The devices, in the names of `course fit --list-gpus`.

    >>> from course_lib.costs.measured import measured_on
    >>> devices_text(measured_on("RTX-4090")[1]), devices_text(measured_on("L40S")[0])
    ('4 x RTX-4090', 'L40S')
    """
    return row.device if row.devices == 1 else f"{row.devices} x {row.device}"


def measured_text(row: Measurement) -> str:
    """The measured value and what it is.

    >>> from course_lib.costs.measured import measured_on
    >>> measured_text(measured_on("RTX-4090")[1])
    '3.3 s to the first token'
    """
    return f"{value_text(row.quantity, row.value)} {WORDS[row.quantity]}"


def range_text(shares: tuple[float, float, float, int] | None) -> str:
    """Lowest and highest share of a bound, and of how many reports.

    >>> range_text((0.271, 0.3, 0.374, 6)), range_text((0.5, 0.5, 0.5, 1))
    ('27 to 37 % (6)', '50 % (1)')
    """
    if shares is None:
        return "-"
    low, _, high, count = shares
    ends = [f"{100 * share:.0f}" for share in (low, high)]
    return f"{' to '.join(dict.fromkeys(ends))} % ({count})"


def group_shares() -> dict[str, dict[str, tuple[float, float, float, int]]]:
    """Shares of the bounds by group and device."""
    return {
        group: reached_by_device(lambda row, kinds=kinds: row.quantity in kinds)
        for group, kinds in GROUPS.items()
    }


def nearest(spec: ModelSpec, device: str, most: int = 2) -> list[Measurement]:
    """Rows of a device, those of models nearest in size first, at most one a source
    and model.

    Args: `device` by its name in the table; `most` rows.
    """
    size = param_count(spec).total

    def distance(row: Measurement) -> float:
        return abs(log(param_count(load_spec(row.model)).total / size))

    found: dict[tuple[str, str], Measurement] = {}
    for row in sorted(measured_on(device), key=distance):
        found.setdefault((row.title, row.model), row)
    return list(found.values())[:most]


def measured_facts(spec: ModelSpec, name: str) -> dict[str, Any]:
    """What was measured in public on a device, for `course fit`.

    Args: `name` of the device as its data sheet has it.
    """
    keys = {load_hardware(key).name: key for key in list_hardware()}
    device = keys.get(name, "")
    shares = {group: found.get(device) for group, found in group_shares().items()}
    return {
        "reports": len(measured_on(device)),
        "reached": {group: one[:3] for group, one in shares.items() if one},
        "nearest": [row_facts(row) for row in nearest(spec, device)],
    }


def row_facts(row: Measurement) -> dict[str, Any]:
    """One measurement, its bound and its source."""
    return {
        "model": row.named,
        "devices": devices_text(row),
        "bits": bits_text(row),
        "work": work_text(row),
        "measured": measured_text(row),
        "bound": value_text(row.quantity, bound(row)),
        "reached_share": reached(row),
        "engine": row.engine,
        "reported": row.reported,
        "source": row.url,
    }


def measured_lines(facts: Mapping[str, Any]) -> list[str]:
    """The same as lines to print."""
    if not facts["reports"]:
        return ["No public measurement on this device is in the course's table."]
    spans = [
        f"{group} {range_text((*shares, 0)).rpartition(' (')[0]}"
        for group, shares in facts["reached"].items()
    ]
    lines = [
        f"Measured in public on this device ({plural(facts['reports'], 'figure')}), of "
        f"the bound: {', '.join(spans)}."
    ]
    for row in facts["nearest"]:
        lines.append(
            f"Nearest: {row['model']} on {row['devices']}, {row['engine']}, bits "
            f"{row['bits']}, requests {row['work']}: {row['measured']}, "
            f"{share_text(round(row['reached_share'], 2))} of the bound."
        )
    return lines
