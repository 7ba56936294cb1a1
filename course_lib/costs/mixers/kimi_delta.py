"""Costs of Kimi Delta Attention (KDA): the delta rule with a gate for each channel.

Symbols: d model width, h heads, k head width (of keys and of values), c width of the
short convolution (`conv`), a and o inner widths of the projections to the decay and to
the output's gate.

Source: Kimi Team 2025, Kimi Linear, arXiv 2510.26692.

Terms:
    KDA cost: parameters, FLOPs and state of a Kimi Delta Attention layer -> weights,
        step_flops, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import KimiDeltaSpec

PART = "state"


def conv_channels(mixer: KimiDeltaSpec) -> Number:
    """Channels of the short convolution: queries, keys and values, 3 h k."""
    return 3 * mixer.heads * mixer.head_dim


def weights(mixer: KimiDeltaSpec, width: Number) -> Number:
    """Matrix weights: 3 d h k for queries, keys and values, d h for the strength of
    writing, 3 c h k in the convolution, decay and gate, each d h k or d a + a h k, and
    h k d out.
    """
    inner, ranks = mixer.heads * mixer.head_dim, (mixer.decay_rank, mixer.gate_rank)
    gates = sum(width * inner if r is None else (width + inner) * r for r in ranks)
    convolved = mixer.conv * conv_channels(mixer)
    return 4 * width * inner + width * mixer.heads + gates + convolved


def vectors(mixer: KimiDeltaSpec, width: Number) -> Number:
    """The decay's rate a head, its bias a channel, a head's norm: h + h k + k."""
    return mixer.heads + mixer.heads * mixer.head_dim + mixer.head_dim


def flops_per_pair(mixer: KimiDeltaSpec, *, absorbed: bool = False) -> Number:
    """None: the state stands for the past, and no pairs are looked at."""
    return 0


def step_flops(mixer: KimiDeltaSpec) -> Number:
    """7 h k^2, as gated DeltaNet: 1 to forget, 2 each to read, to write, to answer."""
    return 7 * mixer.heads * mixer.head_dim * mixer.head_dim


def token_elements(mixer: KimiDeltaSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: KimiDeltaSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators h k^2, and c columns of the convolution's channels."""
    states = mixer.heads * mixer.head_dim * mixer.head_dim
    return states, conv_channels(mixer) * mixer.conv
