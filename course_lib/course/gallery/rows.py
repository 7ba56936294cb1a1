"""What a description of a model is made of: rows of facts with keys, in parts, layers
and stacks.

A `Row` is a cause: what a configuration decides. An `Amount` is a consequence: a number
that follows from the causes. Two models are compared by their rows, and never by their
amounts. Nothing here knows a drawing, and all of it is translated to JavaScript
(`calculators.translate`), so that a page describes a pasted config by the same code.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One fact: `key` names it within its part, `label` names it to a reader, `text`
    says it in words that stand by themselves.
    """

    key: str
    label: str
    text: str


@dataclass(frozen=True)
class Amount:
    """One number that follows from the rows. `unit` is "parameters", "bytes" or "bytes
    per token".
    """

    key: str
    label: str
    value: Any
    unit: str


@dataclass(frozen=True)
class Part:
    """A mixer, a feed-forward network, or an end of the model: its rows (the first
    names its kind), its amounts, and the record that it describes.

    `role` is the function it has: "attention", "state", "ffn" or "embedding".
    """

    key: str
    role: str
    rows: tuple[Row, ...]
    amounts: tuple[Amount, ...]
    shape: str
    record: Any


@dataclass(frozen=True)
class Sublayer:
    """A branch off the residual stream: the norm before its part, and the one after."""

    part: Part
    before: Row | None
    after: Row | None


@dataclass(frozen=True)
class Kind:
    """A kind of layer, under a letter; `indices` says which layers are of it."""

    letter: str
    layout: Row
    sublayers: tuple[Sublayer, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Stack:
    """A stack of layers from its embedding to its head: "model" where it is the only
    one, else "image tower", "encoder", "decoder" or "text tower".
    """

    key: str
    head: tuple[Row, ...]
    start: Part
    kinds: tuple[Kind, ...]
    order: tuple[str, ...]
    final: Row | None
    end: Part | None
    width: int


@dataclass(frozen=True)
class View:
    """A whole model: its stacks, and what they cost."""

    name: str
    stacks: tuple[Stack, ...]
    amounts: tuple[Amount, ...]


def number_text(number: Any) -> str:
    """A number as a row writes it: whole ones with thousands separated.

    >>> number_text(500000.0), number_text(8), number_text(0.25)
    ('500,000', '8', '0.25')
    """
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:g}"


def plural(count: int, noun: str) -> str:
    """A count and what it counts.

    >>> plural(1, "KV head"), plural(8, "KV head")
    ('1 KV head', '8 KV heads')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
