"""Lab 2, exercise 4: softmax over keys that arrive in blocks, and attention without the
score matrix.

Symbols: t queries, s keys of one block, k key width, v value width, m running maximum
[t], l running sum [t], acc running sum of weighted values [t v]. One head and no batch:
q [t k], k [n k], v [n v].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.course.labs.allocation import LargestNew
from course_lib.course.labs.checking import Checker, random_sizes

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
    "memory": "Work block by block: no tensor as large as the [t "
    "n] score matrix may be made.",
    "logsumexp": "The logarithm of the sum of exp(score) is m + log(l).",
    "state": "Return the new (m, l, acc), of the shapes of the old ones.",
}
CHECK = Checker("Exercise 4", HINTS)
State = tuple[Tensor, Tensor, Tensor]


def check(fold, tiled_attention, seed: int = 0) -> str:
    """Check exercise 4: `fold(state, scores, values) -> state` with state = (m, l,
    acc), and `tiled_attention(q, k, v, block) -> (y, logsumexp)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, t=(3, 5), n=(11, 17), k=(4, 6), v=(3, 5), block=(4, 5)
    )
    t, n, block = size["t"], size["n"], size["block"]
    values = torch.randn(n, size["v"], generator=rng).double()
    for large in (False, True):
        scores = (400.0 if large else 1.0) * torch.randn(t, n, generator=rng).double()
        _check_fold(fold, scores, values, block, large)
    for spread in (1.0, 30.0):
        q = spread * torch.randn(t, size["k"], generator=rng).double()
        k = torch.randn(n, size["k"], generator=rng).double()
        for width in (block, 1, n, n + 3):
            _check_tiled(tiled_attention, q, k, values, width)
    low = (
        torch.full_like(q, 30.0),
        torch.full_like(k, -30.0) + 0.1 * k,
    )  # every score far below 0
    _check_tiled(tiled_attention, *low, values, block, nan="start")
    _check_memory(tiled_attention, rng)
    return (
        "Exercise 4: exact at every block size, and the score matrix was never there."
    )


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
        with CHECK.doing("state", what):
            got = fold(tuple(x.clone() for x in state), s.clone(), v.clone())
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
    with CHECK.doing("last_block", what):
        got = tiled_attention(q, k, v, block)
    CHECK.true(
        isinstance(got, tuple) and len(got) == 2,
        "logsumexp",
        what,
        "(y, logsumexp)",
        f"{type(got).__name__}",
    )
    scores = q @ k.T / q.shape[-1] ** 0.5
    full = len(k) // block * block
    mistakes = {
        "scale": (q @ k.T).softmax(-1) @ v,
        "normalise_once": _unnormalised(scores, v, block),
    }
    if 0 < full < len(k):
        mistakes["last_block"] = scores[:, :full].softmax(-1) @ v[:full]
    default = (
        nan if isinstance(got[0], Tensor) and got[0].isnan().any() else "last_block"
    )
    CHECK.close(got[0], scores.softmax(-1) @ v, default, what, mistakes)
    CHECK.close(got[1], scores.logsumexp(-1), "logsumexp", f"logsumexp, {what}")


def _unnormalised(scores: Tensor, v: Tensor, block: int) -> Tensor:
    """The running sum of values that was never divided by l."""
    state = start(scores.shape[0], v.shape[1])
    for s, part in zip(scores.split(block, 1), v.split(block), strict=True):
        state = RIGHT.fold(state, s, part)
    return state[2]


def _check_memory(tiled_attention, rng: torch.Generator) -> None:
    q, k, v = (torch.randn(n, 8, generator=rng).double() for n in (256, 512, 512))
    limit = 256 * 512 * 8
    with LargestNew((q, k, v)) as seen:
        tiled_attention(q, k, v, 32)
    CHECK.true(
        seen.nbytes < limit / 4,
        "memory",
        "largest new tensor for 256 queries and 512 keys in blocks of 32",
        f"less than {limit // 4} bytes (the score matrix has {limit})",
        f"{seen.nbytes} bytes",
    )
