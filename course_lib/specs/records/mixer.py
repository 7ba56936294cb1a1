"""What may mix the tokens of a row: the union of the mixers' records, and what each of
them lets a token see.

`Mixer` is closed: a function over it ends in a refusal that names the record, and
`tests/repo/test_unions.py` walks every member through every such function.

Symbols: w window, in tokens.
"""

from course_lib.specs.records.attention import AttentionSpec, LatentAttentionSpec
from course_lib.specs.records.joint import JointSpec
from course_lib.specs.records.recurrent import (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)

Mixer = (
    AttentionSpec
    | LatentAttentionSpec
    | SSMSpec
    | RWKVSpec
    | GatedDeltaNetSpec
    | KimiDeltaSpec
    | LightningSpec
    | RGLRUSpec
    | ShortConvSpec
    | RNNSpec
    | JointSpec
)

WHOLE_PAST = (
    LatentAttentionSpec,
    SSMSpec,
    RWKVSpec,
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    RGLRUSpec,
    ShortConvSpec,
    RNNSpec,
)
"""Mixers that have no window and no form without a causal mask: a token sees all that
came before it, through a cache or through a state.
"""


def window_of(mixer: Mixer) -> int | None:
    """Return the sliding window w of a mixer in tokens, None where it has none.

    Raises:
        ValueError: naming the class of a record that is no mixer.

    >>> window_of(RWKVSpec(width=4)) is None
    True
    """
    if isinstance(mixer, AttentionSpec):
        return mixer.window
    if isinstance(mixer, JointSpec):
        return mixer.attention.window
    if isinstance(mixer, WHOLE_PAST):
        return None
    raise ValueError(f"mixer={type(mixer).__name__}: no window is known")


def reach_of(mixer: Mixer) -> int | None:
    """Return the most keys that a query attends to, None where it attends to all: the
    window, or what an indexer picks.

    Raises:
        ValueError: naming the class of a record that is no mixer.

    >>> reach_of(RWKVSpec(width=4)) is None
    True
    """
    if isinstance(mixer, LatentAttentionSpec) and mixer.indexer is not None:
        return mixer.indexer.top_k
    return window_of(mixer)


def is_causal(mixer: Mixer) -> bool:
    """Return whether a token is kept from seeing later ones.

    Raises:
        ValueError: naming the class of a record that is no mixer.

    >>> is_causal(RWKVSpec(width=4))
    True
    """
    if isinstance(mixer, AttentionSpec):
        return mixer.causal
    if isinstance(mixer, JointSpec):
        return mixer.attention.causal
    if isinstance(mixer, WHOLE_PAST):
        return True
    raise ValueError(f"mixer={type(mixer).__name__}: no mask is known")
