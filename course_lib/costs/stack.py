"""A stack of layers as its kinds: each once, with how often it stands there.

Terms:
    unique layers: equal layers of a stack are priced once and counted -> unique_layers
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import LayerSpec


def unique_layers(
    layers: tuple[LayerSpec, ...] | Mapping[LayerSpec, Number],
) -> Iterator[tuple[LayerSpec, Number]]:
    """Each kind of layer once, with how often it stands in the stack (80 equal layers
    are one kind).

    A mapping from a kind to its count says the same, and its counts may be symbols: so
    a formula of any depth is traced.
    """
    yield from Counter(layers).items()
