"""Lists that people write in YAML: read, and each entry checked field by field.

The ledger and the cards are such lists. What is wrong is yielded as text, `field: what
is allowed`, so that a reader can say all of it at once.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

WORDS = {
    str: "text (in quotes, if it looks like a number)",
    dict: "a mapping",
    list: "a list",
    bool: "true or false",
    float: "a number",
    object: "a number",
}


def read_list(path: Path, name: str, noun: str) -> list:
    """Return the list that a YAML file holds.

    Args:
        path: the file.
        name: what messages call it.
        noun: what the list holds, for the message when there is none ("claims").
    Raises:
        ValueError: if the file is no YAML, holds no list, or a mapping in it has a key
        twice.
    """
    try:
        # Composed once, for two ends. Not by the C loader: text nested deeply enough
        # overflows its stack.
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        repeated = list(_repeated(node))
        found = loader.construct_document(node) if node else None
    # PyYAML also leaks KeyError, IndexError and AttributeError for odd tags.
    except Exception as error:
        raise ValueError(
            f"{name}: not readable as YAML: {' '.join(str(error).split())}"
        ) from error
    if repeated:
        raise ValueError("\n".join(f"{name}: {what}" for what in repeated))
    if not isinstance(found, list):
        raise ValueError(
            f"{name}: the file is a list of {noun}, each starting with '- id:'"
        )
    return found


def _repeated(node: yaml.Node | None, seen: set[int] | None = None) -> Iterator[str]:
    """Yield the keys that stand twice in one mapping: YAML would keep the last and say
    nothing.
    """
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        line = node.start_mark.line + 1
        yield from (
            f"line {line}: field {key!r} stands twice"
            for key, n in Counter(keys).items()
            if n > 1
        )
        for _, value in node.value:
            yield from _repeated(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value, seen)


def field_problems(
    data: Mapping,
    required: Mapping[str, type],
    optional: Mapping[str, type] | None = None,
    patterns: Mapping[str, str] | None = None,
    may_be_empty: Sequence[str] = (),
) -> Iterator[str]:
    """Yield what is missing, unknown, of the wrong kind, empty or of the wrong form.

    Args:
        data: the entry.
        required, optional: the kind of each field (str, dict, list, bool; float for any
            number; object for anything).
        patterns: for text fields, the regular expression the whole text has to match.
        may_be_empty: fields that may hold an empty list or mapping.
    """
    allowed, patterns = {**required, **(optional or {})}, patterns or {}
    yield from (f"{field}: missing" for field in required if field not in data)
    for field, value in data.items():
        if field not in allowed:
            yield (
                f"{field}: no such field; allowed are "
                f"{', '.join(allowed)}{near(str(field), allowed)}"
            )
        elif not _is_a(value, allowed[field]):
            yield f"{field}={value!r}: allowed is {WORDS[allowed[field]]}"
        elif (
            allowed[field] is not object
            and field not in may_be_empty
            and _is_empty(value)
        ):
            yield f"{field}: empty"
        elif field in patterns and not re.fullmatch(patterns[field], value):
            yield f"{field}={value!r}: allowed is the form {patterns[field]}"


def near(word: object, allowed: Sequence[str] | Mapping[str, object]) -> str:
    """Return a hint at the nearest allowed word, or nothing.

    >>> near("chioce", ["recall", "choice"])
    ' (did you mean choice?)'
    """
    found = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind)


def _is_empty(value: object) -> bool:
    return (isinstance(value, list | dict) and not value) or (
        isinstance(value, str) and not value.strip()
    )
