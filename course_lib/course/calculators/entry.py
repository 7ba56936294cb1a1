"""One input of a calculator: its name, letter, unit, and what is allowed; and the kinds
of inputs that are alike.
"""

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import sympy


@dataclass(frozen=True, kw_only=True)
class Input:
    """One number that a reader enters.

    `letter` in LaTeX; `label` and `unit` as the page shows them; `least` and `most`
    allowed, in that unit; `whole` whether only whole numbers are; `factor` what one
    unit is in the formula (10^9 for a GB); `default` where nothing else sets it;
    `group` under which heading it stands; `hint` on what to enter.
    """

    name: str
    letter: str
    label: str
    least: float
    most: float
    unit: str = ""
    whole: bool = True
    factor: float = 1
    default: float | None = None
    group: str = "model"
    hint: str = ""

    @cached_property
    def symbol(self) -> sympy.Symbol:
        """The symbol that stands for it in a formula."""
        return sympy.Symbol(
            self.name, positive=True, integer=True if self.whole else None
        )

    def allowed(self) -> str:
        """Say what is allowed, in words.

        >>> model_input("width", "d", "Width", 2048).allowed()
        'a whole number from 1 to 2,048'
        """
        kind = "a whole number" if self.whole else "a number"
        unit = f" {self.unit}" if self.unit else ""
        least, most = (
            int(end) if end == int(end) else end for end in (self.least, self.most)
        )
        return f"{kind} from {least:,} to {most:,}{unit}"

    def check(self, value: Real) -> None:
        """Refuse a value that is not allowed.

        Raises:
            ValueError: naming the input, the value and what is allowed.
        """
        number = (
            isinstance(value, Real)
            and not isinstance(value, bool)
            and self.least <= value <= self.most
        )
        if not number or (self.whole and value != int(value)):
            raise ValueError(f"{self.name}={value!r}: {self.allowed()} is allowed")


def model_input(
    name: str, letter: str, label: str, most: int, *, least: int = 1
) -> Input:
    return Input(name=name, letter=letter, label=label, least=least, most=most)


def request_input(
    name: str, letter: str, label: str, most: int, default: int, unit: str = ""
) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=1,
        most=most,
        default=default,
        unit=unit,
        group="request",
    )


def bits_input(name: str, letter: str, label: str, hint: str) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.5,
        most=128,
        whole=False,
        default=16,
        unit="bits",
        factor=1 / 8,
        group="numbers",
        hint=hint,
    )


def billions_input(name: str, letter: str, label: str) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.01,
        most=100_000,
        whole=False,
        unit="B",
        factor=1e9,
    )


def price_input(name: str, letter: str, label: str, most: float = 1e9) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0,
        most=most,
        unit="USD",
        whole=False,
        group="prices",
    )


def criterion_input(
    name: str, letter: str, label: str, unit: str, most: float
) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0,
        most=most,
        unit=unit,
        whole=False,
        group="candidates",
    )


def machine_input(
    name: str, letter: str, label: str, unit: str, factor: float, most: float
) -> Input:
    return Input(
        name=name,
        letter=letter,
        label=label,
        least=0.1,
        most=most,
        whole=False,
        unit=unit,
        factor=factor,
        group="machine",
    )
