"""Symbols in the place of the numbers of mixers that keep a state."""

from collections.abc import Callable
from dataclasses import replace

import sympy

from course_lib.specs.records import (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    Mixer,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)


def state_symbols(
    namer: Callable[[str, int | None], sympy.Symbol | None],
    mixer: Mixer,
    width: int,
    symbol: sympy.Symbol,
) -> Mixer:
    """Return the mixer with a symbol for every number that a cost depends on.

    Args: `namer` gives the symbol of a name and value; `width` of the model, and the
        `symbol` that stands for it.
    Raises: ValueError naming the class of a record whose symbols are not known.
    """
    match mixer:
        case SSMSpec():
            return replace(
                mixer,
                d_inner=namer("d_inner", mixer.d_inner),
                state=namer("state", mixer.state),
                conv=namer("conv", mixer.conv),
                dt_rank=namer("step_rank", mixer.dt_rank),
                heads=namer("state_heads", mixer.heads),
                groups=namer("state_groups", mixer.groups),
                head_dim=None,
            )
        case RWKVSpec(width=inner):
            return replace(
                mixer, width=symbol if inner == width else namer("mix_width", inner)
            )
        case GatedDeltaNetSpec():
            return replace(
                mixer,
                key_heads=namer("state_groups", mixer.key_heads),
                value_heads=namer("state_heads", mixer.value_heads),
                key_dim=namer("state_keys", mixer.key_dim),
                value_dim=namer("state_values", mixer.value_dim),
                conv=namer("conv", mixer.conv),
            )
        case KimiDeltaSpec():
            return replace(
                mixer,
                heads=namer("state_heads", mixer.heads),
                head_dim=namer("state_keys", mixer.head_dim),
                conv=namer("conv", mixer.conv),
                decay_rank=namer("decay_rank", mixer.decay_rank),
                gate_rank=namer("gate_rank", mixer.gate_rank),
            )
        case LightningSpec():
            return replace(
                mixer,
                heads=namer("state_heads", mixer.heads),
                head_dim=namer("state_keys", mixer.head_dim),
            )
        case RGLRUSpec():
            return replace(
                mixer,
                width=namer("d_inner", mixer.width),
                blocks=namer("state_heads", mixer.blocks),
                conv=namer("conv", mixer.conv),
            )
        case ShortConvSpec():
            return replace(mixer, conv=namer("conv", mixer.conv))
        case RNNSpec():
            return replace(mixer, width=namer("d_inner", mixer.width))
    raise ValueError(f"mixer={type(mixer).__name__}: no symbols are known for it")
