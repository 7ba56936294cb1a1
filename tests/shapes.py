"""What checks an annotated call in the tests, and how a test calls a function as readers do, unchecked.

beartype checks, by the rule of the typing standard for numbers (PEP 484): an `int` will do where a `float`
is declared, and either where a `complex` is.
"""

import inspect
from collections.abc import Callable

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def unchecked(function: Callable) -> Callable:
    """Return `function` as it stands in the library, without the check around it.

    The library refuses bad input by a ValueError of its own, and nobody but the tests runs it under the
    hook. Where a declared shape or type would already refuse the input, a test of that ValueError has to
    go past the check; what `function` calls is still checked.
    """
    return inspect.unwrap(function)
