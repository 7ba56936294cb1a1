"""Token embedding and what stands around it: positions, segments, the transform before
a masked head.

Symbols: d model width, |V| tokens in the vocabulary.
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized
from course_lib.specs.records.norm import NormSpec


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec(Sized):
    """The way in. In an encoder-decoder each stack has its own positions and `norm`,
    and one word table.

    `tied`: the head is the word table. `learned_positions` counts rows,
    `position_offset` the first of them that no position reads. `sinusoidal`: the layout
    of positions that are not learned. `scale` multiplies the words. `head_shift`: a
    number a word is added to the logits that is no parameter (BART, Marian).
    """

    tied: bool = False
    learned_positions: int = 0
    position_offset: int = 0
    sinusoidal: Literal["interleaved", "halves"] | None = None
    token_types: int = 0
    norm: NormSpec | None = None
    scale: float = 1.0
    head_bias: bool = False
    head_shift: bool = False


PLAIN = EmbeddingSpec()  # a table of words and nothing else; the head has its own


@dataclass(frozen=True, kw_only=True)
class TransformSpec(Sized):
    """What a masked model or a classifier does to a vector before its last map:
    norm(activation(W x)), with or without the norm.
    """

    activation: str
    norm: NormSpec | None
    bias: bool = True
