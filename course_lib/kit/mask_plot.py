"""Masks to look at: one line of text for each query, one mark for each key.

Symbols: t queries, s keys. A mark says that the query of that line reads that key.
"""

from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor

READS, NOT = "■", "·"


def mask_plot(
    mask: Bool[Tensor, "t s"],
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
) -> str:
    """Draw the mask of one row as text.

    Args:
        mask: True where a query sees a key: one row of what `MaskMod.mask` returns.
        queries: a name for each query; its number when left out.
        keys: a name for each key, written above its column; no such line when left out.

    Returns:
        one line a query, after a line of the keys' names if there are any.

    Raises:
        ValueError: there are more or fewer names than queries or keys.

    >>> import torch
    >>> from course_lib.layers.masks import prefix
    >>> words = ["the", "cat", "sat", "down"]
    >>> positions = torch.arange(4)[None]
    >>> print(mask_plot(prefix(2).mask(positions, positions)[0], words, words))
          the  cat  sat down
     the  ■    ■    ·    ·
     cat  ■    ■    ·    ·
     sat  ■    ■    ■    ·
    down  ■    ■    ■    ■
    """
    rows = list(map(str, range(mask.shape[0]))) if queries is None else list(queries)
    columns = [] if keys is None else list(keys)
    for name, got, want in (
        ("queries", rows, mask.shape[0]),
        ("keys", columns or None, mask.shape[1]),
    ):
        if got is not None and len(got) != want:
            raise ValueError(
                f"{name} has {len(got)} names: allowed is one for each of {want}"
            )
    margin, width = max(map(len, rows), default=0), max(map(len, columns), default=1)
    header = (
        [" ".join([" " * margin, *(name.rjust(width) for name in columns)])]
        if columns
        else []
    )
    lines = [
        " ".join(
            [
                name.rjust(margin),
                *((READS if seen else NOT).center(width) for seen in row),
            ]
        ).rstrip()
        for name, row in zip(rows, mask.tolist(), strict=True)
    ]
    return "\n".join(header + lines)
