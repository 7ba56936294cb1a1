"""Costs of lightning attention: linear attention with a fixed decay a head (MiniMax).

Symbols: d model width, h heads, k head width.

Source: MiniMax 2025, MiniMax-01, arXiv 2501.08313.

Terms:
    lightning attention cost: parameters, FLOPs and state of such a layer -> weights,
        step_flops, state_elements
"""

from course_lib.costs.arithmetic import Number
from course_lib.specs.records import LightningSpec

PART = "state"


def weights(mixer: LightningSpec, width: Number) -> Number:
    """Matrix weights of queries, keys, values, gate and output: 5 d h k."""
    return 5 * width * mixer.heads * mixer.head_dim


def vectors(mixer: LightningSpec, width: Number) -> Number:
    """One norm over all heads, h k. Decays are fixed numbers."""
    return mixer.heads * mixer.head_dim


def flops_per_pair(mixer: LightningSpec, *, absorbed: bool = False) -> Number:
    """None: the state stands for the past, and no pairs are looked at."""
    return 0


def step_flops(mixer: LightningSpec) -> Number:
    """5 h k^2: per element of the state, 1 to forget, 2 to write k v^T, 2 to answer."""
    return 5 * mixer.heads * mixer.head_dim * mixer.head_dim


def token_elements(mixer: LightningSpec, *, latent: bool = True) -> Number:
    """None: the state does not grow with the tokens."""
    return 0


def state_elements(mixer: LightningSpec, width: Number) -> tuple[Number, Number]:
    """Accumulators h k^2; there is no convolution.

    Differs from source: `transformers` holds the state in the model's own precision,
    where accumulators are counted in float32.
    """
    return mixer.heads * mixer.head_dim * mixer.head_dim, 0
