"""Units of the numbers that cards ask for: what each measures and how large it is.

A computed card names the unit of its answer; the call returns the base unit (bytes,
seconds, FLOPs, a plain count), and `convert` brings it there. The same table reads what
a learner types, so 42.9 GB is right where 40 GiB is asked for.
"""

import math
import re

# unit: (what it measures, how many base units it is)
UNITS: dict[str, tuple[str, float]] = {
    "B": ("bytes", 1),
    **{
        f"{letter}B": ("bytes", 1000**power)
        for power, letter in enumerate("kMGTP", start=1)
    },
    **{
        f"{letter}iB": ("bytes", 1024**power)
        for power, letter in enumerate("KMGTP", start=1)
    },
    **{
        unit: ("seconds", size)
        for unit, size in (
            ("s", 1),
            ("ms", 1e-3),
            ("us", 1e-6),
            ("min", 60),
            ("h", 3600),
        )
    },
    "FLOPs": ("operations", 1),
    **{
        f"{letter}FLOPs": ("operations", 1000**power)
        for power, letter in enumerate("kMGTP", start=1)
    },
    **{unit: (f"operations {unit}", 1) for unit in ("FLOPs/B", "FLOPs/token")},
    **{
        f"{letter}B/s": ("bytes a second", 1000**power)
        for power, letter in enumerate("kMGT", start=1)
    },
    "%": ("ratio", 0.01),
    "x": ("ratio", 1),
    "": ("ratio", 1),
    **{
        unit: (unit, 1)
        for unit in (
            "tokens",
            "requests",
            "devices",
            "parameters",
            "elements",
            "heads",
            "layers",
            "blocks",
        )
    },
    **{
        unit: (unit, 1)
        for unit in (
            "steps",
            "slots",
            "experts",
            "positions",
            "patches",
            "bits",
            "FFN columns",
            "USD",
        )
    },
    "M parameters": ("parameters", 1e6),
    "B parameters": ("parameters", 1e9),
}
# What learners type for them, in small letters.
SPELLINGS = {unit.lower(): unit for unit in UNITS} | {
    **{unit.removesuffix("s"): unit for unit in UNITS if len(unit) > 4},
    **{"µs": "us", "μs": "us", "×": "x", "times": "x", "flop": "FLOPs", "seconds": "s"},
}
NUMBER = re.compile(
    r"([-+]?(?:\d[\d,_ ]*)?(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(.*)", re.DOTALL
)
# Spaces that separate thousands in print, and the minus sign of print.
TYPED = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2212": "-"})
GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?([eE][-+]?\d+)?")


def convert(number: float, unit: str, to: str) -> float:
    """Return `number` of one unit in another that measures the same.

    Raises: ValueError if a unit is unknown, or the two measure different things.

    >>> convert(40 * 2**30, "B", "GiB"), round(convert(40, "GiB", "GB"), 2)
    (40.0, 42.95)
    """
    for name in (unit, to):
        if name not in UNITS:
            raise ValueError(
                f"unit={name!r}: allowed are {', '.join(filter(None, UNITS))}"
            )
    (kind, size), (to_kind, to_size) = UNITS[unit], UNITS[to]
    if kind != to_kind:
        raise ValueError(
            f"unit={unit!r}: {kind}, not {to_kind}; allowed is a unit like "
            f"{to or 'a ratio'}"
        )
    return number if unit == to else number * size / to_size


def from_base(number: float, unit: str) -> float:
    """Return a number of base units in `unit`; a whole result is an int.

    >>> from_base(40 * 2**30, "GiB"), from_base(0.25, "%"), from_base(1.5e-3, "ms")
    (40, 25, 1.5)
    """
    found = number / UNITS[unit][1]
    return int(found) if float(found).is_integer() else found


def read_number(text: str, unit: str) -> float:
    """Return what a learner typed, in `unit`; without a unit of its own it is taken to
    be in `unit`.

    `unit` may be one that is not in the table, such as "nats/byte": then only that is
    accepted.

    Raises: ValueError if it is no finite number, or its unit is unknown or measures
        something else.

    A comma before groups of exactly three digits separates thousands; any other single
    comma is decimal.

    >>> read_number("40", "GiB"), read_number("40,960 MiB", "GiB")
    (40.0, 40.0)
    >>> read_number("1.5e3", "tokens")
    1500.0
    >>> read_number("1,024", ""), read_number("1,5", ""), read_number("0,125", "")
    (1024.0, 1.5, 0.125)
    """
    digits, rest = NUMBER.fullmatch(text.translate(TYPED).strip()).groups()
    bare = re.sub(r"[_ ]", "", digits)
    if GROUPED.fullmatch(bare):
        bare = bare.replace(",", "")
    try:
        number = float(bare.replace(",", ".", 1))
    except ValueError:
        raise ValueError(
            f"{text!r}: allowed is a number, such as 12, 1,024 or 1.5e9"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r}: allowed is a finite number")
    return (
        number
        if rest in ("", unit)
        else convert(number, SPELLINGS.get(rest.lower(), rest), unit)
    )
