"""What a card is: six kinds, one frozen record each. Text is Markdown with $math$."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """What all kinds have.

    `topics` are ids of the chapter's list in book/curriculum.yml; `section` is the
    label on the chapter's page that teaches what is asked.
    """

    chapter: str
    id: str
    topics: tuple[str, ...]
    section: str
    question: str

    @property
    def kind(self) -> str:
        """Return the kind as the files write it."""
        return type(self).__name__.lower()

    @property
    def where(self) -> str:
        """Return the file and the card, for a message."""
        return f"book/cards/{self.chapter}.yml: {self.id}"


@dataclass(frozen=True)
class Recall(Card):
    """An answer to be remembered; the reader judges how well."""

    answer: str


@dataclass(frozen=True)
class Option:
    """One option of a choice. A wrong one names its misconception and the section that
    clears it.
    """

    text: str
    because: str
    correct: bool = False
    misconception: str = ""
    section: str = ""


@dataclass(frozen=True)
class Choice(Card):
    """Options of which exactly one is right."""

    options: tuple[Option, ...]

    @property
    def answer(self) -> Option:
        """Return the right option."""
        return next(option for option in self.options if option.correct)


@dataclass(frozen=True)
class Computed(Card):
    """A number that a function of the library returns, for values of the parameters.

    `question` and `explanation` are `str.format` templates of the parameters (the
    explanation has `{answer}` too). In `arguments`, "{name}" alone stands for a
    parameter's value, `spec` and `hardware` name a published model and a device, and a
    mapping {call: ..., arguments: ...} is a call inside the call.
    """

    parameters: Mapping[str, tuple]
    call: str
    arguments: Mapping[str, object]
    unit: str
    tolerance: float
    explanation: str


@dataclass(frozen=True)
class Order(Card):
    """Items that stand here in the right order."""

    items: tuple[str, ...]
    explanation: str


@dataclass(frozen=True)
class Match(Card):
    """Pairs (left, right) that belong together."""

    pairs: tuple[tuple[str, str], ...]
    explanation: str


@dataclass(frozen=True)
class Predict(Card):
    """A number that a notebook measured and recorded, "chapter/notebook:name".

    `question` and `explanation` are `str.format` templates of all that the notebook
    recorded, by name, and of `{answer}`.
    """

    value: str
    tolerance: float
    explanation: str


KINDS = {
    kind.__name__.lower(): kind
    for kind in (Recall, Choice, Computed, Order, Match, Predict)
}
