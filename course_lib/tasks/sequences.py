"""Sequence-to-sequence tasks whose right answer is computed, so that accuracy is exact
and data never ends.

A task draws a source text and knows its target. Which side of the split a source
belongs to is decided by its own hash, one in ten for `valid`, so no source is ever in
both, whatever the seed or the number drawn.

    reversal          mode -> edom          target position t reads position n - 1 - t
    sorting           mode -> demo          every target position reads the whole source
    transliteration   ναύπλιο -> náfplio    nearly in step; its neighbours decide

Terms:
    sequence-to-sequence task, reversal, sorting: toy tasks whose right answer is
        computed, so that accuracy is exact -> reversal, sorting, SequenceTask
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase
from typing import NamedTuple

from course_lib.tasks.greek import romanise, sample_word

PARTS = ("train", "valid")
ONE_IN = 10  # one source in ten is valid
_TRIES = 1000  # draws for one pair before a task is held to have none for this part


class Pair(NamedTuple):
    """A source text and the text that belongs to it."""

    source: str
    target: str


@dataclass(frozen=True)
class SequenceTask:
    """A way to draw sources and the exact answer to each.

    Attributes:
        name: for tables and figures.
        sample: a source from a random stream.
        answer: source -> target.
    """

    name: str
    sample: Callable[[random.Random], str]
    answer: Callable[[str], str]


def reversal(
    *, shortest: int = 4, longest: int = 12, alphabet: str = ascii_lowercase
) -> SequenceTask:
    """Write the letters from last to first. Every length from `shortest` to `longest`
    is as likely.

    Raises:
        ValueError: the lengths are not 1 <= shortest <= longest, or the alphabet is
        empty.

    >>> reversal().answer("mode")
    'edom'
    """
    return SequenceTask(
        "reversal", _words(shortest, longest, alphabet), lambda source: source[::-1]
    )


def sorting(
    *, shortest: int = 4, longest: int = 12, alphabet: str = ascii_lowercase
) -> SequenceTask:
    """Write the letters in the order of the code points. Arguments and errors as for
    `reversal`.

    >>> sorting().answer("mode")
    'demo'
    """
    return SequenceTask(
        "sorting",
        _words(shortest, longest, alphabet),
        lambda source: "".join(sorted(source)),
    )


def transliteration(*, most_syllables: int = 4) -> SequenceTask:
    """Write a drawn Greek-looking word in Latin letters by ELOT 743 (`tasks.greek`).

    The words are made up; `greek.PLACES` has real names to test on.

    Raises:
        ValueError: `most_syllables` is below 1.

    >>> transliteration().answer("ναύπλιο")
    'náfplio'
    """
    if most_syllables < 1:
        raise ValueError(
            f"most_syllables={most_syllables}: allowed are whole numbers from 1"
        )
    return SequenceTask(
        "transliteration",
        lambda rng: sample_word(rng, rng.randint(1, most_syllables)),
        romanise,
    )


def part_of(source: str, *, one_in: int = ONE_IN) -> str:
    """Return the part, "train" or "valid", that a source belongs to: one in `one_in` is
    valid, by its hash.

    >>> [part_of(word) for word in ("mode", "text", "mask", "beam")]
    ['train', 'valid', 'train', 'valid']
    """
    digest = hashlib.blake2b(source.encode(), digest_size=8).digest()
    return "valid" if int.from_bytes(digest, "big") % one_in == 0 else "train"


def sample_pairs(
    task: SequenceTask, count: int, *, part: str = "train", seed: int = 0
) -> list[Pair]:
    """Draw `count` pairs of one part. A source may come more than once, as often as the
    task draws it.

    Args:
        task: what to draw.
        count: how many, at least 1.
        part: "train" or "valid"; the two never share a source.
        seed: of the random stream.

    Raises:
        ValueError: `count` is below 1, `part` is unknown, or the task has no source for
        this part.

    *Cost*: about ten draws a pair for "valid".

    >>> sample_pairs(reversal(), 2)
    [Pair(source='azuzsgp', target='pgszuza'),
     Pair(source='lnjlzbvwkh', target='hkwvbzljnl')]
    """
    if count < 1:
        raise ValueError(f"count={count}: allowed are whole numbers from 1")
    if part not in PARTS:
        raise ValueError(f"part={part!r}: allowed are {PARTS}")
    rng = random.Random(f"{seed}/{part}")
    sources = [_sample(task, part, rng) for _ in range(count)]
    return [Pair(source, task.answer(source)) for source in sources]


def _sample(task: SequenceTask, part: str, rng: random.Random) -> str:
    for _ in range(_TRIES):
        source = task.sample(rng)
        if part_of(source) == part:
            return source
    raise ValueError(
        f"task={task.name!r}: {_TRIES} draws gave no source of "
        f"part {part!r}; widen the task"
    )


def _words(
    shortest: int, longest: int, alphabet: str
) -> Callable[[random.Random], str]:
    if not 1 <= shortest <= longest:
        raise ValueError(
            f"shortest={shortest}, longest={longest}: allowed "
            "are 1 <= shortest <= longest"
        )
    if not alphabet:
        raise ValueError("alphabet='': allowed is one letter or more")
    return lambda rng: "".join(rng.choices(alphabet, k=rng.randint(shortest, longest)))
