"""From a mixer's record to the file that knows its costs; a record that no file prices
is refused by name.

A new mixer is one file beside these and one line in `MECHANISMS`.

Terms:
    cost of a mixer: which file prices a record, and a refusal where none does ->
        mechanism_of
    two FLOPs per weight, 2N rule: a token's matrix products cost twice the weights it
        meets -> mixer_weights
"""

from types import ModuleType

from course_lib.costs.arithmetic import Number
from course_lib.costs.mixers import (
    attention,
    delta_rule,
    indexer,
    joint,
    kimi_delta,
    latent,
    lightning,
    rg_lru,
    rnn,
    rwkv,
    short_conv,
    state_space,
)
from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    JointSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LightningSpec,
    Mixer,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_record

MECHANISMS = {
    AttentionSpec: attention,
    LatentAttentionSpec: latent,
    SSMSpec: state_space,
    RWKVSpec: rwkv,
    GatedDeltaNetSpec: delta_rule,
    KimiDeltaSpec: kimi_delta,
    LightningSpec: lightning,
    RGLRUSpec: rg_lru,
    ShortConvSpec: short_conv,
    RNNSpec: rnn,
    JointSpec: joint,
}


def mechanism_of(mixer: Mixer) -> ModuleType:
    """Return the module that prices a mixer.

    Raises:
        ValueError: naming the class of a record that has no costs.

    >>> mechanism_of(RWKVSpec(width=4)).__name__
    'course_lib.costs.mixers.rwkv'
    """
    return of_record("mixer", mixer, MECHANISMS)


def mixer_part(mixer: Mixer) -> str:
    """Part of the parameters that a mixer is counted under: "attention" or "state"."""
    return mechanism_of(mixer).PART


def mixer_weights(mixer: Mixer, width: Number) -> Number:
    """Matrix weights of a mixer at model width `width`: what a token is multiplied by,
    2 FLOPs each.
    """
    return mechanism_of(mixer).weights(mixer, width)


def mixer_vectors(mixer: Mixer, width: Number) -> Number:
    """Parameters of a mixer that are no matrix: biases, norms, decays, sinks."""
    return mechanism_of(mixer).vectors(mixer, width)


def mixer_params(mixer: Mixer, width: Number) -> Number:
    """All parameters of a mixer: matrices and vectors."""
    return mixer_weights(mixer, width) + mixer_vectors(mixer, width)


def attention_flops_per_pair(mixer: Mixer, *, absorbed: bool = False) -> Number:
    """FLOPs of one (query, key) pair in one layer: the score, and the weighted sum of
    values.

    *Equation*: 2 h (k + v); latent attention 2 h (n + p + v), absorbed 2 h (r + p + r).
    A mixer with a state looks at no pairs: 0.

    Args: `mixer` the spec; `absorbed` whether latent attention folds its up-projections
        into query and output.
    Returns: FLOPs.
    """
    return mechanism_of(mixer).flops_per_pair(mixer, absorbed=absorbed)


def selection_flops_per_pair(mixer: Mixer) -> Number:
    """FLOPs of one (query, key) pair that choosing the keys takes, before attention
    looks at the chosen ones: an indexer's; 0 where nothing is chosen.

    Raises: ValueError naming the class of a record that has no costs.
    """
    mechanism_of(mixer)
    if isinstance(mixer, LatentAttentionSpec):
        return indexer.flops_per_pair(mixer.indexer)
    return 0


def recurrence_flops(mixer: Mixer) -> Number:
    """FLOPs of one token's step through one layer's recurrent state; attention: 0."""
    return mechanism_of(mixer).step_flops(mixer)


def token_elements(mixer: Mixer, *, latent: bool = True) -> Number:
    """Elements one layer keeps for each cached token.

    *Equation*: g (k + v); latent attention r + p, or h (n + p + v) with `latent=False`.
    None for a recurrent layer, and none for attention without a causal mask.

    Args: `mixer` the spec; `latent` whether latent attention keeps its latent.
    Returns: elements per token and layer.
    """
    return mechanism_of(mixer).token_elements(mixer, latent=latent)


def state_elements(mixer: Mixer, width: Number) -> tuple[Number, Number]:
    """Elements one layer keeps for a sequence of any length: (accumulators, last
    inputs); attention: (0, 0).
    """
    return mechanism_of(mixer).state_elements(mixer, width)
