"""Reads the fields of a Hugging Face config; refuses by name what is missing or of the
wrong kind.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.specs.defaults import absent_part, filled_in, part_type

MOST = 10**12
MOST_LAYERS = 10_000
LONGEST = 60
MOST_ITEMS = 12
REQUIRED = object()


class Config:
    """A config.json as a mapping, with a getter for each kind of value. A null field
    counts as absent.

    Each getter takes the field's name and a default; without a default the field must
    be there.

    >>> Config({"model_type": "llama", "hidden_size": 64}).count("hidden_size")
    64
    """

    def __init__(self, mapping: Mapping[str, Any], model_type: str = ""):
        if not isinstance(mapping, Mapping):
            raise ValueError(f"config={shown(mapping)}: a mapping is wanted")
        self._mapping = mapping
        self.model_type = model_type or self.word("model_type")

    def get(self, field: str, default: Any = None) -> Any:
        """Return the field as it stands, or the default where it is absent or null."""
        value = self._mapping.get(field)
        return default if value is None else value

    def items(self) -> list[tuple[str, Any]]:
        """Return every field with its value."""
        return list(self._mapping.items())

    def first(self, *fields: str) -> str:
        """Return the first of these names for one thing that the config uses, or else
        the last.
        """
        return next(
            (field for field in fields if self.get(field) is not None), fields[-1]
        )

    def renamed(self, names: Sequence[tuple[str, str]]) -> "Config":
        """Return the config with each field of these pairs under the first name, where
        it stands under the second alone.
        """
        added = {
            new: self.get(old)
            for new, old in names
            if self.get(new) is None and self.get(old) is not None
        }
        return Config({**self._mapping, **added}, self.model_type)

    def unless_null(self, field: str, default: Any) -> Any:
        """Return the default of a field which means something else, None, where it is
        written as null.
        """
        return None if field in self._mapping else default

    def count(
        self, field: str, default: Any = REQUIRED, *, least: int = 1, most: int = MOST
    ) -> Any:
        """Return a whole number between `least` and `most`."""
        value = self._value(field, default)
        if value is default:
            return default
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not least <= value <= most
        ):
            raise self._wrong(field, value, f"a whole number from {least} to {most}")
        return value

    def layers(self, field: str = "num_hidden_layers", default: Any = REQUIRED) -> int:
        """Return a number of layers, kept to a sane size."""
        return self.count(field, default, most=MOST_LAYERS)

    def number(
        self, field: str, default: Any = REQUIRED, *, above: float = -1e300
    ) -> Any:
        """Return a finite number above `above`, as a float."""
        value = self._value(field, default)
        if value is default:
            return default
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not above < value < 1e300
        ):
            raise self._wrong(
                field,
                value,
                "a finite number" + (f" above {above:g}" if above > -1e300 else ""),
            )
        return float(value)

    def flag(self, field: str, default: Any = REQUIRED) -> bool:
        """Return a bool."""
        value = self._value(field, default)
        if not isinstance(value, bool):
            raise self._wrong(field, value, "true or false")
        return value

    def word(
        self, field: str, default: Any = REQUIRED, *, allowed: Sequence[str] = ()
    ) -> str:
        """Return a string, one of `allowed` where that is given."""
        value = self._value(field, default)
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise self._wrong(
                field, value, f"one of {sorted(allowed)}" if allowed else "a string"
            )
        return value

    def words(
        self, field: str, length: int, *, allowed: Sequence[str]
    ) -> tuple[str, ...] | None:
        """Return a list of `length` strings, each one of `allowed`, or None where the
        field is absent.
        """
        value = self.get(field)
        if value is None:
            return None
        is_list = isinstance(value, list | tuple) and len(value) == length
        if not is_list or any(word not in allowed for word in value):
            raise self._wrong(field, value, f"a list of {length} of {sorted(allowed)}")
        return tuple(value)

    def names(self, field: str) -> tuple[str, ...]:
        """Return a list of strings of any length, empty where the field is absent."""
        value = self.get(field, [])
        if not isinstance(value, list | tuple) or not all(
            isinstance(name, str) for name in value
        ):
            raise self._wrong(field, value, "a list of strings")
        return tuple(value)

    def table(self, field: str) -> Mapping[str, Any]:
        """Return a mapping with string keys, empty where the field is absent."""
        value = self.get(field, {})
        if not isinstance(value, Mapping) or not all(
            isinstance(key, str) for key in value
        ):
            raise self._wrong(field, value, "a mapping with string keys")
        return value

    def nested(self, field: str, model_type: str) -> "Config":
        """Return the config of a part, which may leave its model type to its whole.
        What its family has by default is filled in.
        """
        self._value(field, REQUIRED)
        return Config(filled_in(model_type, self.table(field)))

    def part(self, field: str) -> "Config":
        """Return the config of a part of a wrapper, under the model type that the part
        or else the wrapper names ("?" where neither does), with its family's defaults.
        """
        given = self.table(field) or absent_part(self.model_type, field)
        model_type = part_type(self.model_type, field, given) or "?"
        return Config(filled_in(model_type, given))

    def _value(self, field: str, default: Any) -> Any:
        value = self.get(field, default)
        if value is REQUIRED:
            of = f" of model_type {self.model_type!r}" if field != "model_type" else ""
            raise ValueError(f"config{of}: the field {field!r} is missing")
        return value

    def _wrong(self, field: str, value: Any, wanted: str) -> ValueError:
        return ValueError(f"config field {field!r}: {shown(value)} is not {wanted}")


def shown(value: Any) -> str:
    """Return a value as Python writes it, or what it is where that is long.

    >>> shown("4"), shown([1, 2]), shown([0] * 99)
    ("'4'", '[1, 2]', 'a list of 99')
    """
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]!r}..."
    if isinstance(value, list | tuple | Mapping) and len(value) > MOST_ITEMS:
        return (
            f"a {'mapping' if isinstance(value, Mapping) else 'list'} of {len(value)}"
        )
    if isinstance(value, Mapping):
        inside = [f"{shown(name)}: {shown(one)}" for name, one in value.items()]
        return brief("mapping", value, f"{{{', '.join(inside)}}}")
    if isinstance(value, list):
        return brief("list", value, f"[{', '.join([shown(one) for one in value])}]")
    return f"{value!r}"


def brief(kind: str, value: Any, written: str) -> str:
    """Return what is written, or its kind and length where it is long."""
    return written if len(written) <= 2 * LONGEST else f"a {kind} of {len(value)}"
