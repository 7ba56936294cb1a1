"""Numbers in the place of symbols: from a model's structure back to a model."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

import sympy


def filled(spec: Any, values: Mapping[str, float]) -> Any:
    """Return a structure with numbers in the place of its symbols.

    Args: `spec` a `SymbolicModel.spec`, or a part of one; `values` a number for each
        symbol's name.
    Returns: the same record with numbers; `layers` maps each kind to its number of
        layers.
    Raises: KeyError if a value is missing; ValueError from the records, where numbers
        do not go together.

    >>> from course_lib.course.calculators.symbolic import symbolic_model
    >>> model = symbolic_model("llama-3-8b")
    >>> filled(model.spec, model.values).width
    4096
    """
    if isinstance(spec, sympy.Symbol):
        return values[spec.name]
    if isinstance(spec, MappingProxyType):
        kinds: dict[Any, float] = {}
        for key, count in spec.items():
            kind = filled(key, values)
            kinds[kind] = kinds.get(kind, 0) + filled(count, values)
        return MappingProxyType(kinds)
    if not is_dataclass(spec):
        return spec
    changed = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if isinstance(value, sympy.Symbol | MappingProxyType) or is_dataclass(value):
            changed[field.name] = filled(value, values)
    return replace(spec, **changed)
