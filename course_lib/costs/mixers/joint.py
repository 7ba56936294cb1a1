"""Costs of attention beside a state space in one layer: the sum of both.

Terms:
    parallel hybrid cost: a layer whose attention and state space run side by side costs
        what both cost -> weights, token_elements, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.costs.mixers import attention, state_space
from course_lib.specs.records import JointSpec

PART = "attention"


def weights(mixer: JointSpec, width: Number) -> Number:
    """Matrix weights of both."""
    beside = state_space.weights(mixer.state, width)
    return attention.weights(mixer.attention, width) + beside


def vectors(mixer: JointSpec, width: Number) -> Number:
    """All other parameters of both."""
    beside = state_space.vectors(mixer.state, width)
    return attention.vectors(mixer.attention, width) + beside


def flops_per_pair(mixer: JointSpec, *, absorbed: bool = False) -> Number:
    """Those of attention: a state space looks at no pairs."""
    return attention.flops_per_pair(mixer.attention, absorbed=absorbed)


def step_flops(mixer: JointSpec) -> Number:
    """Those of the state space: attention has no state."""
    return state_space.step_flops(mixer.state)


def token_elements(mixer: JointSpec, *, latent: bool = True) -> Number:
    """Keys and values of attention."""
    return attention.token_elements(mixer.attention, latent=latent)


def state_elements(mixer: JointSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators and last inputs of the state space."""
    return state_space.state_elements(mixer.state, width)
