"""Normalisation: RMSNorm and LayerNorm as a layer's record.

Symbols: d the width that is normalised.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """A normalisation. `offset` 1.0 is Gemma's gain (1 + w); `bias` is LayerNorm's
    shift. Without `gain` nothing is learned (OLMo 1).
    """

    kind: Literal["rmsnorm", "layernorm"]
    eps: float
    bias: bool = False
    offset: float = 0.0
    gain: bool = True
