"""Lab 2, exercise 4: softmax over keys that arrive in blocks, and attention without the
score matrix.

Symbols: t queries, s keys of one block, k key width, v value width, m running maximum
[t], l running sum [t], acc running sum of weighted values [t v]. One head and no batch:
q [t k], k [n k], v [n v].
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor

from course_lib.course.labs.allocation import Live
from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import helped, strided
from course_lib.course.labs.values import same

HINTS = {
    "maximum": "The new maximum, one a query, is over all seen so far: the old m and "
    "this block's scores.",
    "start": "m starts at minus infinity. From 0, scores far below 0 underflow, l "
    "stays 0, and 0 / 0 is NaN.",
    "first_sum": "After one block l is the sum over its keys, s, of exp(score - m): "
    "one number a query.",
    "first_acc": "After one block acc is exp(score - m) @ values, divided by nothing.",
    "rescale_sum": "The old l was summed under the old maximum: multiply it by "
    "exp(m_old - m_new) first.",
    "rescale_acc": "acc was summed under the old maximum too: it needs the same "
    "factor as l.",
    "direction": "The factor is exp(m_old - m_new), at most 1. The other way round it "
    "grows without end.",
    "overflow": "Subtract the new maximum before exp: scores of a few hundred "
    "overflow without it.",
    "normalise_once": "Divide by l once, after the last block. Blocks normalised one "
    "by one do not add up.",
    "scale": "Scores are q . k over the root of the key width.",
    "last_block": "n need not be a multiple of the block: the last "
    "block is shorter, and counts.",
    "memory": "Work block by block: never hold numbers as many as the [t n] score "
    "matrix has, neither in one tensor nor in a list of blocks.",
    "folded": "tiled_attention calls fold for each block of `block` keys, the last one "
    "perhaps shorter, with the scores [t s] of that block.",
    "divided": "At the end y is acc / l, one number l a query.",
    "logsumexp": "The logarithm of the sum of exp(score) is m + log(l).",
    "state": "Return the new (m, l, acc), of the shapes of the old ones.",
}
CHECK = Checker("Exercise 4", HINTS)
State = tuple[Tensor, Tensor, Tensor]


def check_fold(fold, seed: int = 0) -> str:
    """Check `fold(state, scores, values) -> state` with state = (m, l, acc).

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    t, n, block = size["t"], size["n"], size["block"]
    for large, queries, keys, width in (
        (1.0, t, n, block),
        (400.0, t, n, block),
        (1.0, 1, 5, 1),
        (1.0, t, n, n),
    ):
        values = torch.randn(keys, size["v"], generator=rng).double()
        scores = large * torch.randn(queries, keys, generator=rng).double()
        _check_fold(fold, scores, values, width, large > 1)
    return "Exercise 4: a block is folded in, whatever its scores."


def check_tiled_attention(tiled_attention, seed: int = 0) -> str:
    """Check `tiled_attention(q, k, v, block) -> (y, logsumexp)`, with the library's
    fold beside it, or else the student's.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """

    def trial() -> None:
        rng, size = _sizes(seed)
        t, n, block = size["t"], size["n"], size["block"]
        values = torch.randn(n, size["v"], generator=rng).double()
        for spread, lies in ((1.0, Tensor.contiguous), (30.0, strided)):
            q = lies(spread * torch.randn(t, size["k"], generator=rng).double())
            k = lies(torch.randn(n, size["k"], generator=rng).double())
            for width in (block, 1, n, n + 3):
                _check_tiled(tiled_attention, q, k, lies(values), width)
        _check_tiled(tiled_attention, q[:1], k, values, block)
        low = torch.full_like(q, 30.0), torch.full_like(k, -30.0) + 0.1 * k
        _check_tiled(tiled_attention, *low, values, block, nan="start")  # far below 0
        _check_memory(tiled_attention, rng)

    helped(trial, tiled_attention, fold=RIGHT.fold)
    return (
        "Exercise 4: exact at every block size, and the score matrix was never there."
    )


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int]]:
    return random_sizes(seed, t=(3, 5), n=(11, 17), k=(4, 6), v=(3, 5), block=(4, 5))


def start(t: int, v: int) -> State:
    """The state before the first block: maximum minus infinity, sum 0, no values."""
    return (
        torch.full((t,), -torch.inf).double(),
        torch.zeros(t).double(),
        torch.zeros(t, v).double(),
    )


@dataclass(frozen=True)
class _Slip:
    """One step of the recurrence, right or with one slip."""

    max_of_block: bool = False
    sum_rescaled: bool = True
    acc_rescaled: bool = True
    direction: float = 1.0
    normalised: bool = False
    shifted: bool = True

    def fold(self, state: State, scores: Tensor, values: Tensor) -> State:
        m, total, acc = state
        top = scores.amax(-1)
        new = top if self.max_of_block else torch.maximum(m, top)
        factor = (
            torch.exp(self.direction * (m - new))
            if self.shifted
            else torch.ones_like(m)
        )
        weights = torch.exp(scores - new[:, None] if self.shifted else scores)
        if self.normalised:
            weights = weights / weights.sum(-1, keepdim=True)
        kept, held = (
            factor if self.sum_rescaled else 1.0,
            factor if self.acc_rescaled else torch.ones_like(m),
        )
        return (
            new,
            kept * total + weights.sum(-1),
            held[:, None] * acc + weights @ values,
        )


RIGHT = _Slip()
SLIPS = {
    "maximum": _Slip(max_of_block=True),
    "rescale_sum": _Slip(sum_rescaled=False),
    "rescale_acc": _Slip(acc_rescaled=False),
    "direction": _Slip(direction=-1.0),
    "normalise_once": _Slip(normalised=True),
    "overflow": _Slip(shifted=False),
}
LETTERS = (
    ("m", "maximum", "maximum"),
    ("l", "first_sum", "rescale_sum"),
    ("acc", "first_acc", "rescale_acc"),
)


def _check_fold(fold, scores: Tensor, values: Tensor, block: int, large: bool) -> None:
    """Feed blocks whose scores grow in one row and fall in the next, and compare after
    every block.
    """
    scores = scores.sort(dim=-1).values
    scores[1::2] = scores[1::2].flip(-1)
    state = start(scores.shape[0], values.shape[1])
    for number, (s, v) in enumerate(
        zip(scores.split(block, 1), values.split(block), strict=True), start=1
    ):
        what = f"state after block {number}, {'large' if large else 'small'} scores"
        got = CHECK.call(fold, state, s, v, what=what)
        CHECK.true(
            isinstance(got, tuple) and len(got) == 3,
            "state",
            what,
            "(m, l, acc)",
            f"{type(got).__name__}",
        )
        right, wrong = (
            RIGHT.fold(state, s, v),
            {h: slip.fold(state, s, v) for h, slip in SLIPS.items()},
        )
        if any(isinstance(x, Tensor) and not x.isfinite().all() for x in got):
            CHECK.fail(
                "overflow" if large else "direction",
                what,
                "finite numbers",
                "inf or NaN",
            )
        for place, (letter, first, later) in enumerate(LETTERS):
            changed = {
                h: s[place]
                for h, s in wrong.items()
                if not torch.equal(s[place], right[place])
            }
            default = first if number == 1 else later
            CHECK.close(
                got[place],
                right[place],
                default,
                f"{letter}, {what}",
                changed,
                shape="state",
            )
        state = right


def _check_tiled(
    tiled_attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    block: int,
    nan: str = "last_block",
) -> None:
    what = (
        f"tiled_attention of {len(q)} queries over {len(k)} keys in blocks of {block}"
    )
    with _folds(tiled_attention) as widths:
        got = CHECK.call(tiled_attention, q, k, v, block, what=what)
    pair = isinstance(got, tuple) and len(got) == 2
    CHECK.true(pair, "logsumexp", what, "(y, logsumexp)", type(got).__name__)
    scores = q @ k.T / q.shape[-1] ** 0.5
    full = len(k) // block * block
    mistakes = {
        "scale": (q @ k.T).softmax(-1) @ v,
        "normalise_once": _unnormalised(scores, v, block),
    }
    if 0 < full < len(k):
        mistakes["last_block"] = scores[:, :full].softmax(-1) @ v[:full]
    for divisor in (v.shape[1] ** 0.5, q.shape[1], q.shape[1] ** -0.5):
        wrong = (q @ k.T / divisor).softmax(-1) @ v
        if isinstance(got[0], Tensor) and same(got[0], wrong):
            mistakes = {"scale": wrong}
    bad = isinstance(got[0], Tensor) and got[0].isnan().any()
    right = scores.softmax(-1) @ v
    others = {hint: y for hint, y in mistakes.items() if not same(y, right)}
    CHECK.close(got[0], right, nan if bad else "divided", what, others)
    CHECK.close(got[1], scores.logsumexp(-1), "logsumexp", f"logsumexp, {what}")
    blocks = [min(block, len(k) - at) for at in range(0, len(k), block)]
    CHECK.equal(widths, blocks, "folded", f"keys that fold was given, in {what}")


@contextmanager
def _folds(tiled_attention) -> Iterator[list[int]]:
    """The number of keys of every block that the answer gives to fold."""
    names, widths = getattr(tiled_attention, "__globals__", {}), []
    fold = names.get("fold")

    def counted(state, scores, values):
        widths.append(scores.shape[1])
        return fold(state, scores, values)

    with patch.dict(names, {"fold": counted} if fold else {}):
        yield widths


def _unnormalised(scores: Tensor, v: Tensor, block: int) -> Tensor:
    """The running sum of values that was never divided by l."""
    state = start(scores.shape[0], v.shape[1])
    for s, part in zip(scores.split(block, 1), v.split(block), strict=True):
        state = RIGHT.fold(state, s, part)
    return state[2]


def _check_memory(tiled_attention, rng: torch.Generator) -> None:
    q, k, v = (torch.randn(n, 8, generator=rng).double() for n in (256, 512, 512))
    limit = 256 * 512 * 8
    with (
        CHECK.doing("crash", "tiled_attention of 256 queries"),
        Live((q, k, v)) as seen,
    ):
        tiled_attention(q, k, v, 32)
    told = "bytes held at one time for 256 queries and 512 keys in blocks of 32"
    bound = f"less than {limit * 3 // 4} (the score matrix has {limit})"
    CHECK.true(seen.most < limit * 3 / 4, "memory", told, bound, seen.most)
