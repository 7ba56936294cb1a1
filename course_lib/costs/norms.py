"""Parameters of norms: in a block by its layout, and before or after a stack.

Symbols: d model width.

Terms:
    norm parameters: a gain an element, and a shift where there is one -> norm_params
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import LayerSpec, NormSpec
from course_lib.specs.unions import of_word

OF_A_SUBLAYER = {
    "pre": 1,
    "post": 1,
    "sandwich": 2,
    "output": 1,
    "stream": 1,
    "parallel_two": 1,
}


def norm_params(norm: NormSpec | None, width: Number) -> Number:
    """A gain for each element, and a shift where there is one: d or 2 d, or nothing."""
    return 0 if norm is None else width * (int(norm.gain) + int(norm.bias))


def block_norms(layer: LayerSpec) -> int:
    """Norms of a block on the width: one or two a sublayer, or one for all where they
    stand in parallel.
    """
    if layer.norm_layout == "parallel":
        return 1
    sublayers = 1 + (layer.cross is not None) + (layer.ffn is not None)
    a_sublayer = of_word("norm_layout", layer.norm_layout, OF_A_SUBLAYER)
    return (sublayers - (not layer.mixer_norm)) * a_sublayer
