"""Costs of RWKV-4's time mixing: attention without queries, as a recurrence with one
decay a channel.

Symbols: d model width, i inner width (`width` of the spec).

Source: Peng et al. 2023, RWKV, arXiv 2305.13048.

Terms:
    time-mixing cost: parameters, FLOPs and state of RWKV's recurrent layer -> weights,
        step_flops, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import RWKVSpec

PART = "state"


def weights(mixer: RWKVSpec, width: Number) -> Number:
    """Matrix weights of receptance, key, value and output: 4 d i."""
    return 4 * width * mixer.width


def vectors(mixer: RWKVSpec, width: Number) -> Number:
    """Decay and bonus on the inner width, three token-shift mixes on the model width:
    2 i + 3 d.
    """
    return 2 * mixer.width + 3 * width


def flops_per_pair(mixer: RWKVSpec, *, absorbed: bool = False) -> Number:
    """None: RWKV looks at no pairs of tokens."""
    return 0


def step_flops(mixer: RWKVSpec) -> Number:
    """The update of numerator and denominator, 5 per channel, and the reading of their
    ratio, 3: 8 i. Exponentials are left out, as softmax is.
    """
    return 8 * mixer.width


def token_elements(mixer: RWKVSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: RWKVSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators 3 i (numerator, denominator, running maximum), and two last inputs
    2 d, one for time mixing and one for the channel mixing that follows.
    """
    return 3 * mixer.width, 2 * width
