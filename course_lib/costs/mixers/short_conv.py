"""Costs of LFM2's short convolution between two gates.

Symbols: d model width, c width of the convolution (`conv`).

Source: Liquid AI 2025, LFM2, arXiv 2511.23404.

Terms:
    short convolution cost: parameters, FLOPs and last inputs of a layer whose mixer is
        a convolution alone -> weights, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import ShortConvSpec

PART = "state"


def conv_channels(mixer: ShortConvSpec, width: Number) -> Number:
    """Channels of the convolution: d."""
    return width


def weights(mixer: ShortConvSpec, width: Number) -> Number:
    """Matrix weights: 3 d^2 for the input and two gates, c d, and d^2 out."""
    return 4 * width * width + mixer.conv * width


def vectors(mixer: ShortConvSpec, width: Number) -> Number:
    """Biases of the ways in and out and of the convolution, 5 d, if there are any."""
    return 5 * width if mixer.bias else 0


def flops_per_pair(mixer: ShortConvSpec, *, absorbed: bool = False) -> Number:
    """None: a convolution looks at no pairs of tokens."""
    return 0


def step_flops(mixer: ShortConvSpec) -> Number:
    """None: there is no state beside the last inputs, and `weights` has the
    convolution.
    """
    return 0


def token_elements(mixer: ShortConvSpec, *, latent: bool = True) -> Number:
    """None: what is kept does not grow with the tokens."""
    return 0


def state_elements(mixer: ShortConvSpec, width: Number) -> tuple[Number, Number]:
    """No accumulators; the convolution's last inputs, c d.

    Differs from source: c - 1 would do; `transformers` holds c, and so does this count.
    """
    return 0, mixer.conv * width
