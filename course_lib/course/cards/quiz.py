"""A quiz fixed by a seed: the same cards, variants and orders for everybody who has the
seed.

The generator is mulberry32, seeded by the FNV-1a hash of a text. Both are a few lines
of 32-bit arithmetic, so that the page's JavaScript draws the same; a test through node
holds the two equal.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from course_lib.course.cards.schema import Card

T = TypeVar("T")
MASK = 0xFFFFFFFF


def fnv1a(text: str) -> int:
    """Return the 32-bit FNV-1a hash of a text's UTF-8 bytes.

    Source: Fowler, Noll and Vo; offset basis and prime are theirs.

    >>> hex(fnv1a("a"))
    '0xe40c292c'
    """
    found = 0x811C9DC5
    for byte in text.encode("utf-8"):
        found = (found ^ byte) * 0x01000193 & MASK
    return found


def generator(seed: str) -> Callable[[int], int]:
    """Return a function that draws whole numbers below its argument; equal seeds draw
    equal numbers.

    One draw is floor(u * below / 2**32) of a 32-bit u, what JavaScript's floor(below *
    u / 2**32) gives too.
    Source: Tommy Ettinger, mulberry32, public domain.
    """
    state = fnv1a(seed)

    def draw(below: int) -> int:
        nonlocal state
        state = (state + 0x6D2B79F5) & MASK
        mixed = ((state ^ state >> 15) * (state | 1)) & MASK
        mixed ^= (mixed + ((mixed ^ mixed >> 7) * (mixed | 61) & MASK)) & MASK
        return ((mixed ^ mixed >> 14) * below) >> 32

    return draw


def shuffled(items: Sequence[T], seed: str) -> list[T]:
    """Return the items in an order fixed by the seed (Fisher-Yates from the end).

    >>> shuffled("abc", "seed") == shuffled("abc", "seed")
    True
    """
    draw, found = generator(seed), list(items)
    for last in range(len(found) - 1, 0, -1):
        other = draw(last + 1)
        found[last], found[other] = found[other], found[last]
    return found


def pick(cards: Sequence[Card], n: int, seed: str) -> tuple[Card, ...]:
    """Return `n` different cards, fixed by the seed and not by the order in which the
    cards are given.

    Raises: ValueError if `n` is not between 1 and the number of cards.
    """
    if not 1 <= n <= len(cards):
        raise ValueError(
            f"n={n}: allowed is 1 to {len(cards)}, the number of cards to pick from"
        )
    return tuple(shuffled(sorted(cards, key=lambda card: card.id), seed)[:n])


def choose(count: int, seed: str) -> int:
    """Return which of `count` variants is shown: "seed:id" decides in a quiz,
    "id:reviews" in a review.
    """
    return generator(seed)(count)


def shown_order(count: int, seed: str) -> list[int]:
    """Return the order in which options, items or right sides are shown: never the
    order of the file.

    So the place of an answer in the file says nothing, and the items of an order card
    do not stand right.
    """
    found = shuffled(range(count), seed)
    return found if found != sorted(found) else found[1:] + found[:1]
