"""Images as input: patch embedding as a record.

Symbols: widths and image sides in pixels.

Terms:
    patch embedding: a picture cut into squares, each projected to a vector -> PatchSpec
"""

from dataclasses import dataclass

from course_lib.specs.frozen import Sized


@dataclass(frozen=True, kw_only=True)
class PatchSpec(Sized):
    """An image cut into (image / patch)^2 squares, each mapped to the width, and a
    learned class token.
    """

    image: int
    patch: int
    channels: int = 3
    bias: bool = True
    class_token: bool = True
