"""Lab 2, the kernel extra, exercise 3: the causal mask, and the tiles that nobody
needs.

Symbols: as in exercise 2. With s >= t, query i stands at position s - t + i: the last
one sees every key. Tiles that lie wholly in the future of a program's queries are not
visited: half of the work of a prefill.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab02_kernel.launching import SUMS, Guarded, launch, like
from course_lib.course.labs.lab02_kernel.online import BLOCK

HINTS = {
    "mask": "A key later than the query's position gets a "
    "score of -inf, inside the tile.",
    "diagonal": "A query sees itself and nothing after it: columns <= position.",
    "rows": "`rows` counts the queries of all of Q: program_id * BLOCK_Q + "
    "tl.arange(0, BLOCK_Q).",
    "mask_late": "Hidden keys are out of both sums: put their z to -inf before m, p "
    "and l are made.",
    "logsumexp": "LSE is m + log(l) over the keys that a query sees, stored for the "
    "rows below t.",
    "offset": "Query i stands at position s - t + i: after a cache "
    "the first query is not at 0.",
    "last_tile": "The last key that this program needs is the one its LAST query sees.",
    "skip": "Tiles past the last visible key were read: end the loop at the last key "
    "this block may see.",
    "scale": "Multiply by the `scale` that is given: it need not be 1 over the root of "
    "the width.",
    "blocks": "Queries come BLOCK_Q at a time, keys BLOCK_K at a time: the two need "
    "not be equal.",
    "edge": "Past the last key nothing counts, and nothing is "
    "read or written, as in exercise 2.",
}
CHECK = Checker("Exercise 3", HINTS)


def check(flash_causal, seed: int = 0) -> str:
    """Check exercise 3: `flash_causal`, with the arguments of `flash`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(33, 45), chunk=(17, 24), s=(55, 62))
    chunk, held = size["chunk"], size["s"]
    for t, s in ((32, 32), (size["t"], size["t"]), (chunk, held), (1, held), (32, 49)):
        q, k, v = (torch.randn(rows, 16, generator=rng).double() for rows in (t, s, s))
        _check_causal(flash_causal, q, k, v)
    q, k, v = (torch.randn(n, 16, generator=rng).double() for n in (37, 53, 53))
    for blocks in ((16, 32), (32, 16)):
        _check_other(flash_causal, q, k, v, blocks)
    _check_skip(
        flash_causal, *(torch.randn(64, 16, generator=rng).double() for _ in range(3))
    )
    return "Exercise 3: causal, after a cache too, and no tile of the future was read."


def _run(
    flash_causal,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    what: str,
    blocks: tuple[int, int] = (16, 16),
    scale: float = 0.25,
) -> tuple[Tensor, Tensor]:
    (t, width), s, inside = q.shape, len(k), Guarded()
    y, lse = inside.empty(t, width), inside.empty(t)
    with CHECK.doing("crash", what), inside.watching():
        launch(
            *(
                flash_causal,
                (-(-t // blocks[0]),),
                *map(inside.put, (q, k, v)),
                y,
                lse,
                t,
                s,
            ),
            scale,
            **{"BLOCK_Q": blocks[0], "BLOCK_K": blocks[1], "WIDTH": width} | SUMS,
        )
    CHECK.true(
        inside.untouched(),
        "edge",
        what,
        "nothing written outside Y and LSE",
        "a number outside",
    )
    CHECK.true(inside.inputs_kept(), "unchanged", what, "Q, K and V kept", "changed")
    CHECK.true(
        not inside.read_outside,
        "edge",
        what,
        "nothing read outside Q, K and V",
        "a read outside",
    )
    return y, lse


def _check_other(
    flash_causal, q: Tensor, k: Tensor, v: Tensor, blocks: tuple[int, int]
) -> None:
    """Unequal blocks, large scores, and another scale than the root's."""
    what = (
        f"causal attention, scale -3, blocks of {blocks[0]} queries, {blocks[1]} keys"
    )
    got, lse = _run(flash_causal, q, k, v, what, blocks, scale=-3.0)
    scores = -3.0 * q @ k.T
    later = torch.arange(len(k)) > torch.arange(len(q))[:, None] + len(k) - len(q)
    scores = scores.masked_fill(later, -torch.inf)
    own = (scores / -12.0).softmax(-1) @ v
    mistakes = {"scale": own, "blocks": got} if like(got, own) else {}
    CHECK.close(got, scores.softmax(-1) @ v, "blocks", what, mistakes)
    CHECK.close(lse, scores.logsumexp(-1), "logsumexp", f"LSE, {what}")


def _scores(q: Tensor, k: Tensor, shift: int, reach: Tensor | None = None) -> Tensor:
    """Scores of queries i that see the keys up to i + shift and up to `reach[i]`; -inf
    elsewhere.
    """
    scores, keys = q @ k.T * q.shape[-1] ** -0.5, torch.arange(len(k))
    last = torch.arange(len(q)) + shift
    last = last if reach is None else torch.minimum(last, reach)
    return scores.masked_fill(keys > last[:, None], -torch.inf)


def _last_read(t: int, shift: int) -> Tensor:
    """The last key that each query's program reads, in whole tiles."""
    past = torch.arange(t) // BLOCK * BLOCK + BLOCK + shift
    return -(-past // BLOCK) * BLOCK - 1


def _masked(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    shift: int,
    reach: Tensor | None = None,
    late: bool = False,
) -> Tensor:
    """Attention over these scores; `late` leaves hidden keys in the sum that it divides
    by.
    """
    scores = _scores(q, k, shift, reach)
    if not late:
        return scores.softmax(-1) @ v
    read = _scores(q, k, len(k), _last_read(len(q), shift))
    return (scores - read.logsumexp(-1, keepdim=True)).exp() @ v


def _check_causal(flash_causal, q: Tensor, k: Tensor, v: Tensor) -> None:
    t, s = len(q), len(k)
    what = f"causal attention of {t} queries over {s} keys, blocks of {BLOCK}"
    got, lse = _run(flash_causal, q, k, v, what)
    right, block = _masked(q, k, v, s - t), torch.arange(t) // BLOCK * BLOCK
    mistakes = [
        ("mask", _masked(q, k, v, s)),
        ("diagonal", _masked(q, k, v, s - t - 1)),
    ]
    mistakes += [
        ("diagonal", _masked(q, k, v, s - t + 1, _last_read(t, s - t))),
        ("offset", _masked(q, k, v, 0)),
    ]
    mistakes += [("rows", _masked(q, k, v, s - t, torch.arange(t) % BLOCK + s - t))]
    mistakes += [("mask_late", _masked(q, k, v, s - t, late=True))]
    for end in (
        block + s - t,
        block + s - t + 1,
        block + BLOCK,
    ):  # the loop's end, short of what is needed
        reach = (end + BLOCK - 1) // BLOCK * BLOCK - 1  # whole tiles are read
        mistakes += [("last_tile", _masked(q, k, v, s - t, reach))]
    named = (hint for hint, y in mistakes if not like(right, y) and like(got, y))
    CHECK.close(
        got, right, next(named, "last_tile" if got.isnan().any() else "mask"), what
    )
    CHECK.close(lse, _scores(q, k, s - t).logsumexp(-1), "logsumexp", f"LSE, {what}")


def _check_skip(flash_causal, q: Tensor, k: Tensor, v: Tensor) -> None:
    """NaN in the last tile of values: only the last block of queries may meet it."""
    poisoned, right = v.clone(), _masked(q, k, v, 0)
    poisoned[-BLOCK:] = torch.nan
    what = f"64 queries over 64 keys, NaN in the values of the last {BLOCK} keys"
    got = _run(flash_causal, q, k, poisoned, what)[0][:-BLOCK]
    CHECK.close(got, right[:-BLOCK], "skip", what)
