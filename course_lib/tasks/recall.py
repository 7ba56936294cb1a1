"""Recall tasks (induction, associative recall): the next token is one that stood after
this token before.

    induction            7 2 9 4 | 7 2 9 4        a text, then the same text again
    ... varying periods  7 2 9 | 7 2 9 | 7 2      each row after its own number
    associative recall   a 5 c 3 b 8 | c 3 a 5    keys with values, then some keys again

The answer follows from the text alone and from nothing that training taught, so these
tasks measure whether a model can look back: attention can; a state of fixed size holds
only so many pairs.

Symbols: b rows, t tokens. A mask marks the targets: `mask[b, t]` says that `tokens[b,
t]` follows from the tokens before it, and `answers` computes it.

Source: induction, Olsson et al. 2022, arXiv:2209.11895; recall with many queries, Arora
et al. 2023 (Zoology), arXiv:2312.04927.

Terms:
    induction heads, induction head, induction: after `a b ... a` comes b: a model looks
        back for the last a -> induction
    associative recall, MQAR: keys with values in the context, then some of the keys
        again -> associative_recall
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from course_lib.tasks.sequences import ONE_IN, PARTS

UNKNOWN = -1  # the answer where the text gives none


class Recall(NamedTuple):
    """Rows of tokens and which of them can be known.

    Attributes:
        tokens: int64 [b t].
        mask: bool [b t], True where the token is determined by those before it.
    """

    tokens: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]


def induction(
    batch: int,
    length: int,
    vocab: int,
    generator: torch.Generator,
    *,
    part: str = "train",
    periods: tuple[int, int] | None = None,
) -> Recall:
    """Draw rows that say some different tokens and then say them again in the same
    order.

    With one period for all rows the answer always stands `length - 1` places back: one
    layer of attention finds it by that distance alone, whatever the tokens are. Periods
    that vary from row to row take this away; then it takes two layers, one that marks
    what followed each token and one that looks the token up.

    Args:
        batch: b.
        length: half of a row; t is twice that.
        vocab: tokens are drawn from 0 to vocab - 1, without repetition in a period, so
            that one look back is enough and the answer is unique.
        generator: a CPU generator; the only source of chance.
        part: "train" or "valid"; rows never fall into both.
        periods: (shortest, longest): each row repeats after a number of tokens of its
            own, all numbers from shortest to longest equally likely, as often as t
            holds. None repeats every row after `length` tokens, once.

    Returns:
        tokens [b, 2 length]; the mask is True after the first token that was said
        before.

    Raises:
        ValueError: `batch` is below 1; not 2 <= shortest <= longest <= vocab with
        longest < 2 length (so for `length` where no periods are given); or `part` is
        unknown.

    >>> rows = induction(1, 4, 10, torch.Generator().manual_seed(0))
    >>> rows.tokens.tolist(), rows.mask.int().tolist()
    ([[2, 3, 4, 8, 2, 3, 4, 8]], [[0, 0, 0, 0, 0, 1, 1, 1]])
    >>> draw = torch.Generator().manual_seed(0)
    >>> induction(2, 4, 10, draw, periods=(2, 6)).tokens.tolist()
    [[0, 1, 2, 8, 9, 6, 0, 1], [0, 6, 1, 7, 2, 3, 0, 6]]
    """
    shortest, longest = periods or (length, length)
    if batch < 1 or not 2 <= shortest <= longest <= min(vocab, 2 * length - 1):
        raise ValueError(
            f"batch={batch}, length={length}, vocab={vocab}, periods={periods}: "
            "allowed are batch >= 1, 2 <= shortest <= longest <= vocab, "
            "longest < 2 length"
        )
    place = torch.arange(2 * length)

    def rows(count: int) -> Tensor:
        period = torch.full((count, 1), length)
        if periods:
            period = torch.randint(
                shortest, longest + 1, (count, 1), generator=generator
            )
        said = _different(count, longest, vocab, generator)
        return said.gather(1, place % period)

    tokens = _of_part(rows, batch, part)
    period = 1 + (tokens[:, 1:] == tokens[:, :1]).int().argmax(1, keepdim=True)
    return Recall(tokens, place > period)


def associative_recall(
    batch: int,
    pairs: int,
    queries: int,
    vocab: int,
    generator: torch.Generator,
    *,
    part: str = "train",
) -> Recall:
    """Draw rows of key-value pairs, and then some of the keys again, each followed by
    its value.

    Args:
        batch: b.
        pairs: key-value pairs a row.
        queries: how many of the keys are asked for, in a random order, at most `pairs`.
        vocab: keys are below vocab // 2, different in a row; values are the rest, and
            may repeat.
        generator, part: as for `induction`.

    Returns:
        tokens [b, 2 pairs + 2 queries]; the mask is True at the values of the queries.

    Raises:
        ValueError: not batch >= 1 and 1 <= queries <= pairs <= vocab // 2, or `part` is
        unknown.

    *Differs from source*: queries stand one after another; Zoology spreads them with
        gaps of random length.

    >>> rows = associative_recall(1, 3, 2, 8, torch.Generator().manual_seed(0))
    >>> rows.tokens.tolist(), rows.mask.int().tolist()
    ([[2, 7, 3, 7, 0, 7, 3, 7, 0, 7]], [[0, 0, 0, 0, 0, 0, 0, 1, 0, 1]])
    """
    if batch < 1 or not 1 <= queries <= pairs <= vocab // 2:
        raise ValueError(
            f"batch={batch}, pairs={pairs}, queries={queries}, vocab={vocab}: "
            "allowed are batch >= 1 and 1 <= queries <= pairs <= vocab // 2"
        )
    keys_end = vocab // 2

    def rows(count: int) -> Tensor:
        keys = _different(count, pairs, keys_end, generator)
        values = torch.randint(keys_end, vocab, (count, pairs), generator=generator)
        asked = _different(count, queries, pairs, generator)
        stored = torch.stack([keys, values], dim=2).flatten(1)
        queried = torch.stack(
            [keys.gather(1, asked), values.gather(1, asked)], dim=2
        ).flatten(1)
        return torch.cat([stored, queried], dim=1)

    place = torch.arange(2 * pairs + 2 * queries)
    mask = (place > 2 * pairs) & (place % 2 == 1)
    return Recall(_of_part(rows, batch, part), mask.expand(batch, -1))


def answers(tokens: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Say for each position what followed the last earlier occurrence of the token
    before it.

    Returns:
        int64 [b t]; -1 where the token before has not been seen earlier. Equal to
        `tokens` wherever the mask of a task is True.

    *Cost*: O(t^2) comparisons a row.

    >>> answers(torch.tensor([[7, 2, 9, 7, 2, 7]])).tolist()
    [[-1, -1, -1, -1, 2, 9]]
    """
    before = tokens[:, :-1]
    steps = torch.arange(before.shape[1], device=tokens.device)
    same = (before[:, :, None] == before[:, None, :]) & (
        steps[None, :] < steps[:, None]
    )
    last = torch.where(same, steps, UNKNOWN).amax(dim=2) if before.shape[1] else before
    found = tokens.gather(1, last + 1).masked_fill(last == UNKNOWN, UNKNOWN)
    return torch.cat([torch.full_like(tokens[:, :1], UNKNOWN), found], dim=1)


def in_valid(tokens: Int[Tensor, "b t"]) -> Bool[Tensor, " b"]:
    """Say of each row whether it belongs to "valid": about one in ten, by a hash of its
    tokens.

    The hash is a polynomial of the tokens modulo 2^64, mixed so that its low bits
    depend on all of them.
    """
    code = torch.zeros_like(tokens[:, 0])
    for column in tokens.T:
        code = code * 6364136223846793005 + column + 1442695040888963407
    code = code ^ ((code >> 32) & 0xFFFFFFFF)
    return ((code & 0x7FFFFFFF) % ONE_IN) == 0


def _different(
    batch: int, length: int, below: int, generator: torch.Generator
) -> Tensor:
    """Rows of `length` different numbers under `below`, in a random order."""
    return torch.rand(batch, below, generator=generator).argsort(dim=1)[:, :length]


def _of_part(rows: Callable[[int], Tensor], batch: int, part: str) -> Tensor:
    """Draw rows until `batch` of them belong to the part."""
    if part not in PARTS:
        raise ValueError(f"part={part!r}: allowed are {PARTS}")
    kept: list[Tensor] = []
    for _ in range(100):
        drawn = rows(batch * ONE_IN if part == "valid" else batch)
        kept.append(drawn[in_valid(drawn) == (part == "valid")])
        if sum(map(len, kept)) >= batch:
            return torch.cat(kept)[:batch]
    raise ValueError(
        f"part={part!r}: hardly a row of this size falls "
        "there; use a larger vocab or length"
    )
