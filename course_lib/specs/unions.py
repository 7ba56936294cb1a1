"""Closed unions: what belongs to a record's class or to a word, and a refusal by name
for the rest.

A mixer that a cost function does not know is an error, never 0. So a function over a
union of records looks its record up here, or ends in a refusal of its own.
`tests/repo/test_unions.py` walks every member of every union through every such
function.
"""

from collections.abc import Mapping
from typing import Any


def of_record(argument: str, record: object, table: Mapping[type, Any]) -> Any:
    """Return the table's entry for the class of a record.

    Raises:
        ValueError: naming the argument, the record's class, and the classes that are
            known.

    >>> of_record("ffn", 3.5, {int: "whole", str: "word"})
    Traceback (most recent call last):
    ...
    ValueError: ffn=float: known are int, str
    """
    if type(record) not in table:
        known = ", ".join(kind.__name__ for kind in table)
        raise ValueError(f"{argument}={type(record).__name__}: known are {known}")
    return table[type(record)]


def of_word(argument: str, word: str, table: Mapping[str, Any]) -> Any:
    """Return the table's entry for a word.

    Raises:
        ValueError: naming the argument, the word, and the words that are known.

    >>> of_word("kind", "mlp", {"mlp": 2, "glu": 3})
    2
    """
    if word not in table:
        raise ValueError(f"{argument}={word!r}: known are {', '.join(table)}")
    return table[word]
