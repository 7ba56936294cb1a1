"""Measured values: a notebook records a number once; pages, the ledger and cards read
it from there.

`record` is the last expression of a cell. The numbers travel in the cell's stored
output, so a page that shows them cannot drift from the run that produced them.
`read_values` is the other end.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib.kit.output_names import check_name

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


@dataclass(frozen=True)
class Recorded:
    """Values recorded together. Jupyter shows one a line and stores all of them."""

    values: tuple[Value, ...]

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        lines = [f"{value.name} = {value.text()}" for value in self.values]
        payload = [asdict(value) for value in self.values]
        return {"text/plain": "\n".join(lines), MIME: payload}


def record(**values: float | int | tuple) -> Recorded:
    """Record measured or computed numbers, as the last expression of a cell.

    Args:
        values: one keyword a number. The keyword is its name, unique in the notebook.
            The number is finite and stands alone or with its unit, as prose prints it
            ("GiB", "ms", "times"; empty for a pure ratio), and the significant digits
            that prose shows, at least 1 (3): `7`, `(10.0, "GiB")`, `(0.23, "", 2)`.
            The stored number is not rounded.
    Returns:
        The `Value`s, which Jupyter shows as one line each and stores for `read_values`.
    Raises:
        ValueError: if there is no value, a name is not an identifier, or a value is
        none of the three forms; the message names the argument.

    >>> found = record(kv_32k=(10.0, "GiB"), share=(0.23571, "", 2), requests=7)
    >>> [value.text() for value in found.values]
    ['10 GiB', '0.24', '7']
    """
    if not values:
        raise ValueError("no value: allowed is one keyword a number, as name=number")
    return Recorded(tuple(_value(name, given) for name, given in values.items()))


def _value(name: str, given: object) -> Value:
    """Return what one keyword of `record` gives."""
    check_name(name)
    parts = given if isinstance(given, tuple) else (given,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"{name}={given!r}: allowed are number, (number, unit) and "
            "(number, unit, digits)"
        )
    number, unit, digits = (*parts, *("", 3)[len(parts) - 1 :])
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not math.isfinite(number)
    ):
        raise ValueError(f"{name}={number!r}: allowed is a finite int or float")
    if not isinstance(unit, str):
        raise ValueError(f"{name}: unit={unit!r}: allowed is text")
    if isinstance(digits, bool) or not isinstance(digits, int) or digits < 1:
        raise ValueError(f"{name}: digits={digits!r}: allowed is 1 or more")
    return Value(name, number, unit, digits)


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
    return [Value(**fields) for bundle in bundles for fields in bundle.get(MIME, [])]


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
