"""What a card shows: its question, its answer and why, for each choice of its
parameters.

A computed card has a variant for every combination of its parameters, at most `MOST`,
each answered by the call it names; a predict card takes its answer from the notebook's
stored output. The others have one variant.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from numbers import Real
from pathlib import Path

from course_lib.costs.hardware import load_hardware
from course_lib.course.cards.schema import Card, Choice, Computed, Predict, Recall
from course_lib.course.cards.units import from_base
from course_lib.kit.calls import call_named
from course_lib.kit.values import Value, read_values
from course_lib.specs.loader import load_spec

MOST = 24
DIGITS = 4
LOADED = {"spec": load_spec, "hardware": load_hardware}


@dataclass(frozen=True)
class Variant:
    """One question as shown. `answer` is a number in `unit`, or None for the kinds that
    have none.
    """

    question: str
    explanation: str
    answer: float | int | None = None
    unit: str = ""
    tolerance: float = 0.0
    digits: int = DIGITS

    @property
    def answer_text(self) -> str:
        """Return the number with its unit, for prose."""
        return (
            ""
            if self.answer is None
            else Value("answer", self.answer, self.unit, self.digits).text()
        )

    def accepts(self, number: float) -> bool:
        """Return whether a number, in this unit, is right: within the tolerance, a
        share of the answer.

        >>> Variant("?", "", 40, "GiB", 0.01).accepts(40.3)
        True
        >>> Variant("?", "", 499).accepts(500)
        False
        """
        return math.isclose(
            number,
            self.answer,
            rel_tol=0,
            abs_tol=(self.tolerance + 1e-9) * abs(self.answer),
        )


def variants(card: Card, root: str | Path) -> tuple[Variant, ...]:
    """Return what the card shows, in a fixed order.

    Args:
        card: the card.
        root: the repository, for a notebook's recorded values.
    Raises:
        ValueError: if a call fails or returns no finite number, or a notebook has no
            such value; the message names file, card and field.
    """
    try:
        match card:
            case Computed():
                return tuple(
                    _computed(card, chosen) for chosen in combinations(card.parameters)
                )
            case Predict():
                return (_predicted(card, Path(root)),)
            case Recall():
                return (Variant(card.question, card.answer),)
            case Choice():
                return (Variant(card.question, card.answer.because),)
        return (Variant(card.question, card.explanation),)
    except ValueError as error:
        raise ValueError(f"{card.where}: {error}") from error


def combinations(parameters: Mapping[str, tuple]) -> list[dict]:
    """Return the combinations of the parameters' values; of more than `MOST`, that many
    at even distances.

    >>> combinations({"tokens": (1, 2), "batch": (8,)})
    [{'tokens': 1, 'batch': 8}, {'tokens': 2, 'batch': 8}]
    """
    found = [
        dict(zip(parameters, values, strict=True))
        for values in product(*parameters.values())
    ]
    count = min(MOST, len(found))
    return [found[number * len(found) // count] for number in range(count)]


def _computed(card: Computed, chosen: Mapping) -> Variant:
    number = call_named(card.call, _filled(card.arguments, chosen))
    if (
        not isinstance(number, Real)
        or isinstance(number, bool)
        or not math.isfinite(number)
    ):
        raise ValueError(
            f"call: {card.call} gives {number!r} for {dict(chosen)}; allowed is a "
            "finite number"
        )
    answer = from_base(number, card.unit)
    text = Value("answer", answer, card.unit, DIGITS).text()
    explained = card.explanation.format(**chosen, answer=text)
    return Variant(
        card.question.format(**chosen), explained, answer, card.unit, card.tolerance
    )


def _filled(arguments: Mapping, chosen: Mapping) -> dict:
    """Return the arguments with parameters put in, models and devices loaded, and inner
    calls made.
    """
    filled = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            value = call_named(value["call"], _filled(value["arguments"], chosen))
        elif isinstance(value, str) and value[:1] == "{":
            value = chosen[value[1:-1]]
        filled[name] = LOADED[name](value) if name in LOADED else value
    return filled


def _predicted(card: Predict, root: Path) -> Variant:
    notebook, _, name = card.value.partition(":")
    try:
        recorded = read_values(root / "notebooks" / f"{notebook}.ipynb")
    except (OSError, ValueError) as error:
        raise ValueError(f"value: {notebook} cannot be read ({error})") from error
    if name not in recorded:
        raise ValueError(f"value: notebook {notebook} records no {name!r}")
    found = recorded[name]
    texts = {each: value.text() for each, value in recorded.items()}
    question = _put("question", card.question, texts)
    explained = _put("explanation", card.explanation, texts | {"answer": found.text()})
    return Variant(
        question, explained, found.value, found.unit, card.tolerance, found.digits
    )


def _put(field: str, template: str, texts: Mapping[str, str]) -> str:
    """Return the template with recorded values put in."""
    try:
        return template.format(**texts)
    except (LookupError, ValueError, AttributeError) as error:
        what = f"{error} is not recorded there; braces of $math$ stand twice"
        raise ValueError(f"{field}: {what}") from error
