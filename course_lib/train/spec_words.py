"""A spec in words that stay the same while records gain fields: part of a run's key.

Terms:
    key of a run: a spec, seeds and rates in words, by which finished runs are found
        again -> said
"""

from dataclasses import MISSING, fields, is_dataclass

NOTES = ("counted",)
"""Fields that say how a spec came about, and nothing of the model."""


def said(value: object) -> str:
    """A spec in words, without the fields that are as they are by default: a field that
    a record gains later leaves the keys of finished runs as they are. `NOTES` are left
    out too.

    >>> from course_lib.specs.records import NormSpec
    >>> said((NormSpec(kind="rmsnorm", eps=1e-6, bias=False), None))
    "(NormSpec(kind='rmsnorm', eps=1e-06), None)"
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(said, value))})"
    if not is_dataclass(value):
        return repr(value)
    parts = [
        f"{part.name}={said(getattr(value, part.name))}"
        for part in fields(value)
        if part.name not in NOTES
        and (part.default is MISSING or getattr(value, part.name) != part.default)
    ]
    return f"{type(value).__name__}({', '.join(parts)})"
