"""Costs of GRU and LSTM.

Symbols: d model width, w width of the state.

Source: Cho et al. 2014, arXiv 1406.1078; Hochreiter and Schmidhuber 1997.

Terms:
    GRU cost, LSTM cost: parameters, FLOPs and state of a gated recurrent network ->
        weights, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import RNNSpec
from course_lib.specs.unions import of_word

PART = "state"
GATES = {"gru": 3, "lstm": 4}
POINTWISE = {"gru": 6, "lstm": 4}
STATES = {"gru": 1, "lstm": 2}


def weights(mixer: RNNSpec, width: Number) -> Number:
    """Matrix weights: 3 w (d + w), LSTM 4 w (d + w), and w d on the way out."""
    gates = of_word("kind", mixer.kind, GATES)
    return gates * mixer.width * (width + mixer.width) + mixer.width * width


def vectors(mixer: RNNSpec, width: Number) -> Number:
    """A bias beside each of the two matrices: 6 w, LSTM 8 w."""
    return 2 * of_word("kind", mixer.kind, GATES) * mixer.width


def flops_per_pair(mixer: RNNSpec, *, absorbed: bool = False) -> Number:
    """None: a recurrence looks at no pairs of tokens."""
    return 0


def step_flops(mixer: RNNSpec) -> Number:
    """Sums and products of gates and state: 6 w, LSTM 4 w; the matrices are in
    `weights`.
    """
    return of_word("kind", mixer.kind, POINTWISE) * mixer.width


def token_elements(mixer: RNNSpec, *, latent: bool = True) -> Number:
    """None: what is kept does not grow with the tokens."""
    return 0


def state_elements(mixer: RNNSpec, width: Number) -> tuple[Number, Number]:
    """The state, w, and in an LSTM the cell, w more; no last inputs."""
    return of_word("kind", mixer.kind, STATES) * mixer.width, 0
