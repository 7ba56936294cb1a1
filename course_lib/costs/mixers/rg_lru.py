"""Costs of Griffin's recurrent block: a short convolution, then RG-LRU, a diagonal
recurrence with gates.

Symbols: d model width, i inner width (`width` of the spec), m blocks of the gates, c
width of the short convolution (`conv`).

Source: De et al. 2024, Griffin, arXiv 2402.19427.

Terms:
    RG-LRU cost: parameters, FLOPs and state of Griffin's recurrent block -> weights,
        step_flops, state_elements
"""

from course_lib.costs.arithmetic import Number, is_symbol
from course_lib.specs.records import RGLRUSpec

PART = "state"


def weights(mixer: RGLRUSpec, width: Number) -> Number:
    """Matrix weights: two ways in and one out, 3 d i; c i in the convolution; two
    block-diagonal gates, 2 i^2 / m.
    """
    squares = 2 * mixer.width * mixer.width
    whole = not is_symbol(squares / mixer.blocks)
    gates = squares // mixer.blocks if whole else squares / mixer.blocks
    return 3 * width * mixer.width + mixer.conv * mixer.width + gates


def vectors(mixer: RGLRUSpec, width: Number) -> Number:
    """Biases of the ways in, the convolution and the gates, the decay, 6 i, and the
    bias of the way out, d.
    """
    return 6 * mixer.width + width


def flops_per_pair(mixer: RGLRUSpec, *, absorbed: bool = False) -> Number:
    """None: a recurrence looks at no pairs of tokens."""
    return 0


def step_flops(mixer: RGLRUSpec) -> Number:
    """The update x <- a x + b: 2 i."""
    return 2 * mixer.width


def token_elements(mixer: RGLRUSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: RGLRUSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators i, and the convolution's c - 1 last inputs."""
    return mixer.width, (mixer.conv - 1) * mixer.width
