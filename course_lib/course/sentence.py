"""The sentence that runs through the course, as SmolLM2-135M sees it: its tokens, and
what the model holds likely next.

The figures were recorded by `tools/record_sentence.py` (a book is built without the
model), and a parity test recomputes them.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

MODEL = "smollm2-135m"
TEXT = "The capital of Greece is"


@dataclass(frozen=True)
class Sentence:
    """A text and what SmolLM2 makes of it.

    Attributes:
        pieces: the text of each token; a leading space belongs to it.
        ids: the tokens' numbers.
        likely: the five likeliest next tokens with their probabilities.
        continued: the tokens that the model adds when it takes the likeliest each time.
    """

    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    likely: tuple[tuple[str, float], ...]
    continued: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The pieces and those that the model adds, without their spaces."""
        return tuple(piece.strip() for piece in self.pieces + self.continued)


@cache
def recorded() -> Sentence:
    """The sentence as it was recorded.

    >>> recorded().words
    ('The', 'capital', 'of', 'Greece', 'is', 'Athens', '.')
    """
    text = files(__package__).joinpath("sentence.json").read_text(encoding="utf-8")
    found = json.loads(text)
    return Sentence(
        tuple(found["pieces"]),
        tuple(found["ids"]),
        tuple((piece, share) for piece, share in found["likely"]),
        tuple(found["continued"]),
    )
