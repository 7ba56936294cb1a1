"""Side parts of a block or of a model: what stands beside mixer and feed-forward part
and has few parameters, as one record for all kinds.

Symbols: counts of parameters and elements, in numbers.

Terms:
    side part, per-layer embedding, layer scale: what a block has beside its mixer and
        its feed-forward part: gates, scales, projections of a per-layer embedding ->
        SideSpec
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized


@dataclass(frozen=True, kw_only=True)
class SideSpec(Sized):
    """A side part. `words` say what it is, for a reader; nothing is built from it but
    a fixed `factor` on a `place` (`models.fixed_factors.PLACES`).

    `weights` are matrix weights that a token meets (2 FLOPs each), `rows` parameters
    that are looked up, `vectors` all others; a part that has none of them is a fact
    that costs nothing (a factor on the residual). `inputs`: elements of earlier tokens
    that it keeps for a sequence. `of` says beside what it stands.
    """

    words: str
    of: Literal["mixer", "ffn", "block", "model"] = "block"
    weights: int = 0
    vectors: int = 0
    rows: int = 0
    inputs: int = 0
    place: str = ""
    factor: float = 1.0
