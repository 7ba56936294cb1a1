"""Facts to look up: a text breaks off at keys whose values stand in passages, some of
which are known by heart.

Symbols: b rows, u chunks of m tokens, n passages for each chunk.

    chunk     . . . K        two or three fillers, then a key
    passage   K v            a key and its value
    text      . . . K v . . K' v' . . K'' ...    the value opens the next chunk

Half of the keys have the same value in every row, so that a model can know them; the
values of the others are drawn for each row. A row has two sets of passages for each
chunk: one with the passage of the chunk's key, one without. A retriever that finds in
the share r shows the first in that share.

Terms:
    known and new facts: what training can teach, and what only a passage says ->
        facts_to_look_up
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor


class LookedUp(NamedTuple):
    """Rows with passages.

    Attributes:
        tokens: the text, and the value that would come after it.
        right, wrong: the passages of each chunk, with and without that of its key.
        known: whether the key of a chunk has the same value in every row.
    """

    tokens: Int[Tensor, "b t_and_1"]
    right: Int[Tensor, "b u n r"]
    wrong: Int[Tensor, "b u n r"]
    known: Bool[Tensor, "b u"]


def vocabulary(keys: int = 12, values: int = 8, fillers: int = 4) -> int:
    """Tokens in all: keys first, then values, then fillers."""
    return keys + values + fillers


def facts_to_look_up(
    rows: int,
    generator: Generator,
    *,
    chunks: int = 4,
    chunk: int = 4,
    passages: int = 2,
    keys: int = 12,
    values: int = 8,
    fillers: int = 4,
) -> LookedUp:
    """Draw rows of `chunks` chunks with different keys.

    Raises:
        ValueError: `chunk` is below 2, `passages` below 1, or there are fewer than
            chunks + passages keys.

    >>> drawn = facts_to_look_up(2, torch.Generator().manual_seed(0))
    >>> drawn.tokens.shape, drawn.right.shape
    (torch.Size([2, 17]), torch.Size([2, 4, 2, 2]))
    """
    if chunk < 2 or passages < 1 or keys < chunks + passages:
        raise ValueError(
            f"chunk={chunk}, passages={passages}, keys={keys}: allowed are chunk >= 2, "
            f"passages >= 1 and keys >= {chunks + passages}"
        )
    draw = {"generator": generator}
    by_heart = torch.arange(keys) < keys // 2
    value = torch.randint(values, (rows, keys), **draw)
    value = torch.where(by_heart, torch.arange(keys) % values, value) + keys
    order = torch.rand(rows, keys, **draw).argsort(1)
    asked, others = order[:, :chunks], order[:, chunks:]

    # 1. passages: of keys that the text does not have, and the right one in one place
    picked = torch.rand(rows, chunks, keys - chunks, **draw).argsort(2)
    picked = others[:, None].expand(-1, chunks, -1).gather(2, picked[..., :passages])
    place = torch.randint(passages, (rows, chunks, 1), **draw)
    found = torch.where(torch.arange(passages) == place, asked[..., None], picked)
    right, wrong = (_passage(which, value) for which in (found, picked))

    # 2. the text: fillers, a key at the end of each chunk, its value after it
    free = torch.randint(fillers, (rows, chunks * chunk + 1), **draw)
    tokens = free + keys + values
    ends = torch.arange(1, chunks + 1) * chunk
    tokens[:, ends - 1], tokens[:, ends] = asked, value.gather(1, asked)
    return LookedUp(tokens, right, wrong, by_heart[asked])


def _passage(which: Tensor, value: Tensor) -> Int[Tensor, "b u n 2"]:
    """A key and its value."""
    return torch.stack([which, value.gather(1, which.flatten(1)).view_as(which)], -1)
