"""A function of the library named in a file, and called: how the ledger and the cards
get their numbers.
"""

import importlib
from collections.abc import Mapping


def call_named(name: str, arguments: Mapping[str, object]) -> object:
    """Return what the function of that dotted name returns for keyword arguments.

    Raises:
        ValueError: if there is no such function, or if it raises.

    >>> call_named("course_lib.costs.cache.kv_cache_bytes", dict(
    ...     batch=1, tokens=1, kv_heads=8, head_dim=128, layers=80,
    ...     bytes_per_element=2))
    327680
    """
    module, _, function = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), function)(**arguments)
    except Exception as error:  # whatever it is, there is no number
        raise ValueError(f"call: {name} raised {error!r}") from error
