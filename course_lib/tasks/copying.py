"""Copying and selective copying: letters among noise, to be written out in their order
at the end of the row.

    fixed places    b d a 9 9 8 9 8 | ? ? ? -> b d a    always so many places back
    selective       9 b 8 9 d 8 9 a | ? ? ? -> b d a    wherever the letters stand

The first is solved by a delay that is the same for all rows. In the second the distance
from a letter to its copy is another one in each row: a layer has to let its memory move
at a letter and stand still at noise.

Symbols: b rows, t tokens, which are letters from 0 to a - 1, noise from a to a + z - 1,
and the question a + z.

Source: Gu and Dao 2023, section 3.1, arXiv:2312.00752.

Terms:
    selective copying, copying task: letters among noise are written out in their order
        at the end -> copying
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Copying(NamedTuple):
    """Rows of tokens, and what is to be written.

    Attributes:
        inputs: int64 [b t].
        targets: int64 [b t]; they count where `mask` is True, at the questions.
        mask: bool [b t].
    """

    inputs: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]


def copying(
    batch: int,
    length: int,
    letters: int,
    generator: torch.Generator,
    *,
    selective: bool,
    alphabet: int = 8,
    noise: int = 8,
) -> Copying:
    """Draw rows of `length` tokens with `letters` letters among them, then as many
    questions.

    Args:
        batch: b.
        length: tokens before the questions.
        letters: how many stand in a row, at most `length`.
        generator: a CPU generator; the only source of chance.
        selective: whether letters stand at places drawn for each row; else they are the
            first tokens.
        alphabet, noise: a and z, how many different ones there are.

    Returns:
        rows of length + letters tokens over a vocabulary of alphabet + noise + 1.

    Raises:
        ValueError: a number is below 1, or there are more letters than places.

    >>> draw = torch.Generator().manual_seed(0)
    >>> rows = copying(1, 6, 2, draw, selective=True)
    >>> rows.inputs.tolist(), rows.targets[rows.mask].tolist()
    ([[4, 7, 13, 10, 12, 15, 16, 16]], [4, 7])
    """
    sizes = batch, length, letters, alphabet, noise
    if min(sizes) < 1 or letters > length:
        raise ValueError(
            f"batch={batch}, length={length}, letters={letters}, alphabet={alphabet}, "
            f"noise={noise}: allowed are numbers from 1, letters <= length"
        )
    said = torch.randint(alphabet, (batch, letters), generator=generator)
    places = torch.arange(letters).expand(batch, letters)
    if selective:
        order = torch.rand(batch, length, generator=generator).argsort(1)
        places = order[:, :letters].sort(1).values
    filler = torch.randint(noise, (batch, length + letters), generator=generator)
    inputs = (alphabet + filler).scatter(1, places, said)
    inputs[:, length:] = alphabet + noise
    asked = torch.arange(length + letters) >= length
    targets = torch.zeros_like(inputs)
    targets[:, length:] = said
    return Copying(inputs, targets, asked.expand(batch, -1))
