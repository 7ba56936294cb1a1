"""Measured values: a notebook records a number once; pages, the ledger and cards read
it from there.

`record` is the last expression of a cell. The number travels in the cell's stored
output, so a page that shows it cannot drift from the run that produced it.
`read_values` is the other end.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIME = "application/vnd.course.value+json"


@dataclass(frozen=True)
class Value:
    """One number with its name and unit, as a notebook stored it."""

    name: str
    value: float | int
    unit: str = ""
    digits: int = 3

    def text(self) -> str:
        """Return the value for prose: integers whole, other numbers to `digits`
        significant digits.

        >>> Value("kv_32k", 10.0, "GiB").text()
        '10 GiB'
        >>> Value("share", 0.23571, "", 2).text()
        '0.24'
        """
        number = (
            f"{self.value:,}"
            if isinstance(self.value, int)
            else _significant(self.value, self.digits)
        )
        return f"{number} {self.unit}".strip()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        payload = {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "digits": self.digits,
        }
        return {"text/plain": f"{self.name} = {self.text()}", MIME: payload}


def record(name: str, value: float | int, unit: str = "", digits: int = 3) -> Value:
    """Record one measured or computed number under `name`, as the last expression of a
    cell.

    Args:
        name: identifier, unique in its notebook (letters, digits, underscores).
        value: a finite number.
        unit: what the number counts, as prose prints it ("GiB", "ms", "x"); empty for a
            pure ratio.
        digits: significant digits shown in prose, at least 1. The stored value is not
            rounded.
    Returns:
        A `Value`; Jupyter shows it as one line and stores it for `read_values`.
    Raises:
        ValueError: if `name` is not an identifier, `value` is not a finite number, or
        `digits` < 1.
    """
    if not name.isidentifier():
        raise ValueError(
            f"name={name!r}: allowed are letters, digits and underscores, not "
            "starting with a digit"
        )
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
    ):
        raise ValueError(f"value={value!r}: allowed is a finite int or float")
    if digits < 1:
        raise ValueError(f"digits={digits}: allowed is 1 or more")
    return Value(name, value, unit, digits)


def read_values(notebook: str | Path) -> Mapping[str, Value]:
    """Return the values recorded in an executed notebook, by name.

    Raises:
        ValueError: if the notebook records one name twice.
    """
    values: dict[str, Value] = {}
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        for value in cell_values(cell):
            if value.name in values:
                raise ValueError(
                    f"{notebook}: value {value.name!r} is recorded twice; each name "
                    "may stand once"
                )
            values[value.name] = value
    return values


def cell_values(cell: Mapping) -> list[Value]:
    """Return the values recorded in the stored outputs of one notebook cell."""
    bundles = (output.get("data", {}) for output in cell.get("outputs", []))
    return [Value(**bundle[MIME]) for bundle in bundles if MIME in bundle]


def _significant(value: float, digits: int) -> str:
    """Format to `digits` significant digits, without an exponent between 1e-4 and
    1e9.
    """
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return (
        f"{rounded:,.{max(places, 0)}f}".rstrip("0").rstrip(".")
        if places > 0
        else f"{rounded:,.0f}"
    )
