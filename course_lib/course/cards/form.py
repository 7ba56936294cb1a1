"""The form of one card: the fields of each kind, and what is wrong with an entry.

An entry is what YAML made of one item of book/cards/NN_chapter.yml; CONTRIBUTING.md
describes the form. Whether a topic is the chapter's, and an id the only one, is asked
in `cards.reader`, which sees the whole course.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

from course_lib.course.cards.units import UNITS
from course_lib.kit.entries import field_problems, near

COMMON = {"id": str, "kind": str, "topics": list, "section": str, "question": str}
# Each kind's own fields: those it must have, and those it may have.
FIELDS: dict[str, tuple[dict, dict]] = {
    "recall": ({"answer": str}, {}),
    "choice": ({"options": list}, {}),
    "computed": (
        {
            "parameters": dict,
            "call": str,
            "arguments": dict,
            "tolerance": float,
            "explanation": str,
        },
        {"unit": str},
    ),
    "order": ({"items": list, "explanation": str}, {}),
    "match": ({"pairs": list, "explanation": str}, {}),
    "predict": ({"value": str, "tolerance": float, "explanation": str}, {}),
}
RIGHT = {"text": str, "correct": bool, "because": str}
WRONG = {"text": str, "misconception": str, "because": str, "section": str}
SLUG = r"[a-z0-9]+(-[a-z0-9]+)*"
PATTERNS = {
    "id": SLUG,
    "section": SLUG,
    "misconception": SLUG,
    "call": r"course_lib(\.[a-z]\w*)+\.[A-Za-z]\w*",
    "value": r"\w+/\w+:\w+",
}
FORMAT = re.compile(r",?(\.\d+)?[a-z%]?")
FEWEST = {"options": 3, "items": 3, "pairs": 3}


def problems(entry: object) -> Iterator[str]:
    """Yield what is wrong with one entry, field by field.

    >>> entry = {"id": "a", "kind": "recall", "topics": ["t"], "section": "s"}
    >>> list(problems(entry | {"question": "?"}))
    ['answer: missing']
    """
    if not isinstance(entry, dict):
        yield "a card is a mapping with the fields " + ", ".join(COMMON)
        return
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        yield (
            f"kind={kind!r}: allowed is one of {', '.join(FIELDS)}{near(kind, FIELDS)}"
        )
        return
    required, optional = FIELDS[kind]
    found = list(
        field_problems(
            entry, COMMON | required, optional, PATTERNS, may_be_empty=("arguments",)
        )
    )
    yield from found
    if not found:
        yield from _lists(entry)
        yield from CHECKS.get(kind, lambda entry: ())(entry)


def _lists(entry: Mapping) -> Iterator[str]:
    for field in ("topics", "items"):
        yield from _texts(field, entry.get(field, ()))
    for field, fewest in FEWEST.items():
        if field in entry and len(entry[field]) < fewest:
            yield (
                f"{field}: {len(entry[field])} are given; allowed are {fewest} or more"
            )


def _texts(field: str, values: Sequence) -> Iterator[str]:
    """Yield what keeps a list from being different, non-empty texts."""
    wrong = [
        value for value in values if not isinstance(value, str) or not value.strip()
    ]
    yield from (
        f"{field}: {value!r}: allowed is text (in quotes, if it looks like a number)"
        for value in wrong
    )
    if not wrong:
        yield from (
            f"{field}: {text!r} stands {n} times"
            for text, n in Counter(values).items()
            if n > 1
        )


def _choice(entry: Mapping) -> Iterator[str]:
    options = entry["options"]
    found = [
        f"options {n}: {what}"
        for n, one in enumerate(options, start=1)
        for what in _option(one)
    ]
    yield from found
    if not found:
        yield from _texts("options", [one["text"] for one in options])
        right = sum("correct" in one for one in options)
        if right != 1:
            yield f"options: {right} are correct; allowed is exactly one"


def _option(option: object) -> Iterator[str]:
    if not isinstance(option, dict):
        yield f"{option!r}: allowed is a mapping with the fields {', '.join(WRONG)}"
    elif option.get("correct", True) is not True:
        yield f"correct={option['correct']!r}: allowed is true, or no such field"
    else:
        yield from field_problems(
            option, RIGHT if "correct" in option else WRONG, patterns=PATTERNS
        )


def _match(entry: Mapping) -> Iterator[str]:
    wrong = [
        pair for pair in entry["pairs"] if not isinstance(pair, list) or len(pair) != 2
    ]
    yield from (f"pairs: {pair!r}: allowed is [left, right]" for pair in wrong)
    if not wrong:
        yield from _texts("pairs (left)", [pair[0] for pair in entry["pairs"]])
        yield from _texts("pairs (right)", [pair[1] for pair in entry["pairs"]])


def _predict(entry: Mapping) -> Iterator[str]:
    yield from _tolerance(entry["tolerance"])


def _computed(entry: Mapping) -> Iterator[str]:
    parameters = entry["parameters"]
    yield from _tolerance(entry["tolerance"])
    unit = entry.get("unit", "")
    if unit not in UNITS:
        yield (
            f"unit={unit!r}: allowed are "
            f"{', '.join(filter(None, UNITS))}{near(unit, UNITS)}"
        )
    wrong = [
        what for name, values in parameters.items() for what in _parameter(name, values)
    ]
    yield from wrong
    if wrong:
        return
    first = {name: values[0] for name, values in parameters.items()}
    yield from _template("question", entry["question"], first)
    yield from _template("explanation", entry["explanation"], first | {"answer": "1"})
    yield from (
        f"parameters.{name}: not in the question"
        for name in first
        if f"{{{name}" not in entry["question"]
    )
    yield from _arguments("arguments", entry["arguments"], parameters)


def _parameter(name: object, values: object) -> Iterator[str]:
    if not isinstance(name, str) or not name.isidentifier() or name == "answer":
        yield (
            f"parameters.{name}: allowed is a name of letters, digits and "
            "underscores other than answer"
        )
    elif not isinstance(values, list) or not values:
        yield f"parameters.{name}={values!r}: allowed is a list of values"
    elif any(
        not isinstance(v, int | float | str) or isinstance(v, bool) or v != v
        for v in values
    ):
        yield f"parameters.{name}={values!r}: allowed are numbers and texts"
    elif len(set(values)) < len(values):
        yield f"parameters.{name}={values!r}: each value may stand once"


def _arguments(field: str, arguments: Mapping, parameters: Mapping) -> Iterator[str]:
    for name, value in arguments.items():
        place = f"{field}.{name}"
        if not isinstance(name, str):
            yield f"{place}: allowed is the name of an argument"
        elif isinstance(value, dict):
            found = list(
                field_problems(
                    value,
                    {"call": str, "arguments": dict},
                    None,
                    PATTERNS,
                    ("arguments",),
                )
            )
            yield from (
                f"{place}.{what}"
                for what in found or _arguments(place, value["arguments"], parameters)
            )
        elif (
            isinstance(value, str)
            and re.fullmatch(r"\{.*\}", value)
            and value[1:-1] not in parameters
        ):
            yield f"{place}={value!r}: no such parameter{near(value[1:-1], parameters)}"


def _tolerance(value: float) -> Iterator[str]:
    if not (math.isfinite(value) and 0 <= value < 1):
        yield f"tolerance={value!r}: allowed is a share, 0 <= tolerance < 1"


def _template(field: str, template: str, values: Mapping) -> Iterator[str]:
    """Yield what is wrong with a template: names, formats, and braces of $math$ that
    are not doubled.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
        wrong = [
            f"{{{name}}}"
            for _, name, form, how in parts
            if name not in values or how or not FORMAT.fullmatch(form)
        ]
        if not wrong:
            template.format(**values)
    except ValueError as error:
        yield (
            f"{field}: {error}; a brace that is no parameter, as in $math$, stands "
            f"twice: {{{{ and }}}}"
        )
    else:
        named = ", ".join(f"{{{name}}}" for name in values) or "none"
        yield from (
            f"{field}: {what} is no parameter; allowed are "
            f"{named}; braces of $math$ stand twice"
            for what in wrong
        )


CHECKS = {
    "choice": _choice,
    "computed": _computed,
    "match": _match,
    "predict": _predict,
}
