"""Lab 2, the kernel extra, exercise 1: one program makes one tile of the score matrix.

Symbols: t queries, s keys, k key width; Q [t k], K [s k], S [t s]. Program (i, j) makes
the rows of its BLOCK_Q queries and the columns of its BLOCK_K keys.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab02_kernel.launching import Guarded, launch, like

HINTS = {
    "program": "Axis 0 of the grid counts blocks of queries, axis 1 blocks of keys.",
    "offset": "Row r of a contiguous [rows width] matrix starts r * width numbers "
    "after the first.",
    "columns": "A row of S has s numbers: the rows of S lie s apart.",
    "width": "tl.arange needs a power of two. Where `at >= width` there is no number "
    "of this row: load 0.",
    "edge": "The last tile sticks out: store only where the row is below t and the "
    "column below s.",
    "edge_load": "Mask the loads too, rows of Q by t, of K by s: on a GPU a read past "
    "the end may fault.",
    "scale": "The product times `scale`, once.",
    "turned": "Row i of S belongs to query i: its numbers lie at S + i * s.",
    "product": "A number of S is a row of Q times a row of K: tl.dot(q, tl.trans(k)).",
    "blocks": "A tile has BLOCK_Q rows and BLOCK_K columns: the two need not be equal.",
    "shapes": "Rows as [BLOCK_Q, 1] and columns as [1, BLOCK_K] broadcast to the tile.",
}
CHECK = Checker("Exercise 1", HINTS)


def check(score_tile, seed: int = 0) -> str:
    """Check exercise 1: `score_tile(Q, K, S, t, s, width, scale, BLOCK_Q, BLOCK_K,
    WIDTH)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(17, 24), s=(33, 40), odd=(9, 13))
    for t, s, width in (
        (16, 32, 16),
        (size["t"], size["s"], 16),
        (size["t"], size["s"], size["odd"]),
    ):
        q, k = (torch.randn(rows, width, generator=rng).double() for rows in (t, s))
        _check_tile(score_tile, q, k)
    for blocks in ((16, 32), (32, 16)):
        q, k = (torch.randn(n, 16, generator=rng).double() for n in (37, 41))
        _check_tile(score_tile, q, k, blocks, scale=-0.7)
    return "Exercise 1: every tile in its place, and nothing written past an edge."


def _check_tile(
    score_tile,
    q: Tensor,
    k: Tensor,
    blocks: tuple[int, int] = (16, 16),
    scale: float = 0.3,
) -> None:
    (t, width), s, inside = q.shape, len(k), Guarded()
    block_q, block_k = blocks
    what = (
        f"scores of {t} queries and {s} keys of width {width}, tiles of {block_q} x "
        f"{block_k}"
    )
    out = inside.empty(t, s)
    crash = "shapes" if block_q == block_k else "blocks"
    with CHECK.doing(crash, what), inside.watching():
        launch(
            *(
                score_tile,
                (-(-t // block_q), -(-s // block_k)),
                inside.put(q),
                inside.put(k),
                out,
            ),
            *(t, s, width, scale),
            BLOCK_Q=block_q,
            BLOCK_K=block_k,
            WIDTH=16,
        )
    CHECK.true(
        inside.untouched(),
        "edge",
        what,
        "nothing written outside S",
        "a number written outside S",
    )
    CHECK.true(inside.inputs_kept(), "unchanged", what, "Q and K kept", "changed")
    expected = q @ k.T * scale
    apart = [_rows_apart(x, 16) for x in (q, k)]
    mistakes = {
        "offset": apart[0] @ apart[1].T * scale,
        "columns": _stored(expected, row=t),
        "edge": _stored(expected, row=s, columns_masked=False),
        "scale": q @ k.T,
        "turned": expected.T.contiguous().view(t, s),
    }
    if like(out, expected * scale):
        mistakes["scale"] = expected * scale
    named = (
        hint for hint, y in mistakes.items() if not like(expected, y) and like(out, y)
    )
    default = "width" if width < 16 else "program" if out.isnan().any() else "product"
    default = default if block_q == block_k else "blocks"
    CHECK.close(out, expected, next(named, default), what)
    CHECK.true(
        not inside.read_outside,
        "edge_load",
        what,
        "nothing read outside Q and K",
        "a read outside",
    )


def _rows_apart(x: Tensor, apart: int) -> Tensor:
    """What is read of x if its rows are taken to lie `apart` numbers apart; NaN behind
    the end.
    """
    rows, width = x.shape
    flat = torch.cat((x.flatten(), torch.full((rows * apart,), torch.nan).double()))
    return flat[: rows * apart].view(rows, apart)[:, :width]


def _stored(scores: Tensor, *, row: int, columns_masked: bool = True) -> Tensor:
    """What lies in S after tile after tile of `scores` was stored with rows of `row`
    numbers.
    """
    t, s = scores.shape
    flat = torch.full((t * max(row, s) + 16,), torch.nan, dtype=scores.dtype)
    for first in range(0, t, 16):
        for start in range(0, s, 16):
            rows, columns = (
                torch.arange(first, min(first + 16, t)),
                torch.arange(start, start + 16),
            )
            seen = columns[columns < s] if columns_masked else columns
            tile = torch.zeros(len(rows), len(seen), dtype=scores.dtype)
            inside = seen < s
            tile[:, inside] = scores[rows][:, seen[inside]]
            flat[rows[:, None] * row + seen] = tile
    return flat[: t * s].view(t, s)
