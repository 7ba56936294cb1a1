"""Costs of gated DeltaNet: linear attention that writes by the delta rule and forgets
by a gate (Qwen3-Next, Qwen3.5).

Symbols: d model width, h value heads, m key heads, k key width, v value width, c width
of the short convolution (`conv`). The paper writes d_k and d_v for k and v, S for the
state, alpha for the gate and beta for the writing strength.

Source: Yang, Kautz, Hatamizadeh 2024, Gated Delta Networks, arXiv 2412.06464.

Terms:
    delta-rule cost: parameters, FLOPs and state of a gated DeltaNet layer -> weights,
        step_flops, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import GatedDeltaNetSpec

PART = "state"


def conv_channels(mixer: GatedDeltaNetSpec) -> Number:
    """Channels of the short convolution: queries and keys 2 m k, values h v."""
    keys, values = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
    return 2 * keys + values


def weights(mixer: GatedDeltaNetSpec, width: Number) -> Number:
    """Matrix weights: d (2 m k + h v) for queries, keys and values, d h v for the
    output gate, 2 d h for alpha and beta, c (2 m k + h v) in the depthwise convolution,
    h v d out.
    """
    channels, values = conv_channels(mixer), mixer.value_heads * mixer.value_dim
    inputs = width * (channels + values + 2 * mixer.value_heads)
    return inputs + mixer.conv * channels + values * width


def vectors(mixer: GatedDeltaNetSpec, width: Number) -> Number:
    """The decay's rate and its bias by head, and one norm on the value width: 2 h + v.
    Nothing has a bias.
    """
    return 2 * mixer.value_heads + mixer.value_dim


def flops_per_pair(mixer: GatedDeltaNetSpec, *, absorbed: bool = False) -> Number:
    """None: the state stands for the past, and no pairs are looked at."""
    return 0


def step_flops(mixer: GatedDeltaNetSpec) -> Number:
    """7 h k v: per element of the state S, 1 to forget (alpha S), 2 to read what the
    key recalls (S k), 2 to write the correction (+ beta (v - S k) k^T), 2 to answer the
    query (S q).

    Differs from source: what is done on vectors alone (the difference v - S k, norms of
    queries and keys, gates) is left out, as softmax is. Chunked kernels do more
    arithmetic for the same result, to spend it in matrix products.
    """
    return 7 * mixer.value_heads * mixer.key_dim * mixer.value_dim


def token_elements(mixer: GatedDeltaNetSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: GatedDeltaNetSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators h k v, and the convolution's last inputs, c columns of its channels.

    Differs from source: a convolution of width c needs c - 1 past inputs;
    `transformers` holds c, and so does this count.
    """
    states = mixer.value_heads * mixer.key_dim * mixer.value_dim
    return states, conv_channels(mixer) * mixer.conv
