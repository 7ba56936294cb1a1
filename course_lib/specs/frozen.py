"""What every record of a specification stands on: read-only mappings, and sizes which
are checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any


class FrozenMapping(Mapping):
    """A read-only mapping of hashable values, which can be hashed, copied and pickled.

    >>> FrozenMapping({"factor": 8.0})["factor"]
    8.0
    """

    def __init__(self, items: Mapping[str, Any]):
        self._items = tuple(sorted(items.items()))

    def __getitem__(self, key: str) -> Any:
        return dict(self._items)[key]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"FrozenMapping({dict(self._items)!r})"


@dataclass(frozen=True, kw_only=True)
class Sized:
    """Refuses a size which is not a whole number of at least one, or zero where zero is
    the default.

    None passes where the field allows it, and so does a symbol standing for a number.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type not in (int, int | None) or not isinstance(
                value, int | float
            ):
                continue
            least = 0 if field.default == 0 else 1
            if isinstance(value, bool) or value != int(value) or value < least:
                raise ValueError(
                    f"{field.name}={value!r}: a whole number of "
                    f"at least {least} is wanted"
                )
