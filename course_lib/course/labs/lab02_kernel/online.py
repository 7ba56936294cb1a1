"""Lab 2, the kernel extra, exercise 2: attention in one kernel, its sums kept on the
chip.

Symbols: t queries, s keys, one width for keys and values; Q [t width], K and V [s
width], Y [t width], LSE [t]. One program takes BLOCK_Q queries and walks over all keys,
BLOCK_K at a time.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab02 import online as blocks
from course_lib.course.labs.lab02_kernel.launching import SUMS, Guarded, launch

HINTS = blocks.HINTS | {
    "edge_keys": "Past the last key `other=0.0` gives a score of 0, and exp(0 - m) "
    "counts. Make it -inf.",
    "edge_values": "A weight of 0 times what lies behind V is NaN if that is NaN: "
    "load V under a mask too.",
    "edge_load": "Mask the loads of Q and K too: on a GPU a "
    "read past the end may fault.",
    "scale": "The scores are the product times `scale`.",
    "given_scale": "Multiply by the `scale` that is given: it need not be 1 over the "
    "root of the width.",
    "not_finite": "The factor is exp(m_old - m_new) and p is exp(z - m_new): the "
    "other way round gives inf.",
    "one_block": "One block is a plain softmax: maximum and sum of each row (axis 1), "
    "p v, all in SUM.",
    "carried": "One block is right and three are not: look at what is carried from "
    "block to block.",
    "edge": "Store only the rows below t.",
    "every_block": "The loop goes over all keys: range(0, s, BLOCK_K).",
    "blocks": "Queries come BLOCK_Q at a time, keys BLOCK_K at a time: the two need "
    "not be equal.",
    "shapes": "m and l are [BLOCK_Q], acc is [BLOCK_Q, WIDTH]: give m an axis where "
    "it meets a tile.",
}
CHECK = Checker("Exercise 2", HINTS)
BLOCK = 16


def check(flash, seed: int = 0) -> str:
    """Check exercise 2: `flash(Q, K, V, Y, LSE, t, s, scale, BLOCK_Q, BLOCK_K, WIDTH,
    SUM)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(17, 24), s=(35, 45))
    for t, s in ((16, 16), (16, 48), (size["t"], size["s"])):
        q, k, v = (torch.randn(rows, 16, generator=rng).double() for rows in (t, s, s))
        _check_flash(flash, q, k, v)
    _check_flash(
        flash,
        torch.full((16, 16), 15.0).double(),
        k[:16] * 0 + 15.0,
        v[:16],
        "overflow",
    )
    falling = (
        torch.linspace(15.0, -15.0, 48).double()[:, None].expand(48, 16)
    )  # scores of 900 down to -900
    _check_flash(
        flash,
        torch.full((16, 16), 15.0).double(),
        falling,
        torch.cat((v, v))[:48],
        "maximum",
    )
    steep = torch.linspace(40.0, -40.0, 16).double()[:, None].expand(16, 16)
    _check_flash(flash, torch.full((16, 16), 15.0).double(), steep, v[:16], "maximum")
    rows = (
        torch.linspace(-15.0, 15.0, 16).double()[:, None].expand(16, 16)
    )  # each query its own maximum
    _check_flash(
        flash, rows, falling[:32].abs() + 1.0, torch.cat((v, v))[:32], "maximum"
    )
    _check_flash(
        flash, -rows.abs() - 14.0, 15.0 + falling[:16] / 100, v[:16], "start"
    )  # every score far below 0
    q, k, v = (torch.randn(n, 16, generator=rng).double() for n in (21, 37, 37))
    for block_q, block_k in ((16, 32), (32, 16)):
        _check_flash(flash, q, k, v, blocks=(block_q, block_k))
    _check_flash(flash, q[:1], k, v, scale=0.4)
    return "Exercise 2: attention in one kernel, exact, and no score left the chip."


def _check_flash(
    flash,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    large: str | None = None,
    blocks: tuple[int, int] = (16, 16),
    scale: float = 0.25,
) -> None:
    """Compare with softmax; where scores are `large`, NaN has that hint."""
    (t, width), s, inside = q.shape, len(k), Guarded()
    block_q, block_k = blocks
    what = (
        f"attention of {t} queries over {s} keys, scale {scale}, blocks of {block_q} "
        f"queries and {block_k} keys"
    )
    y, lse = inside.empty(t, width), inside.empty(t)
    crash = "shapes" if block_q == block_k else "blocks"
    with CHECK.doing(crash, what), inside.watching():
        launch(
            *(
                flash,
                (-(-t // block_q),),
                *map(inside.put, (q, k, v)),
                y,
                lse,
                t,
                s,
                scale,
            ),
            **{"BLOCK_Q": block_q, "BLOCK_K": block_k, "WIDTH": width} | SUMS,
        )
    CHECK.true(
        inside.untouched(),
        "edge",
        what,
        "nothing written outside Y and LSE",
        "a number outside",
    )
    CHECK.true(inside.inputs_kept(), "unchanged", what, "Q, K and V kept", "changed")
    scores = q @ k.T * scale
    expected, want_lse = scores.softmax(-1) @ v, scores.logsumexp(-1)
    default = "one_block" if s <= BLOCK else "carried"
    default = default if block_q == block_k else "blocks"
    if y.isnan().any():
        default = large or ("edge_values" if s % BLOCK else "not_finite")
    CHECK.close(
        y, expected, default, what, mistakes_of(scores, v, s, q @ k.T, expected)
    )
    unshifted = {} if large else {"overflow": scores.amax(-1) + want_lse}
    CHECK.close(lse, want_lse, large or "logsumexp", f"LSE, {what}", unshifted)
    CHECK.true(
        not inside.read_outside,
        "edge_load",
        what,
        "nothing read outside Q, K and V",
        "a read outside",
    )


def mistakes_of(
    scores: Tensor, v: Tensor, s: int, unscaled: Tensor, right: Tensor
) -> dict[str, Tensor]:
    """Map a hint to the output that its mistake gives."""
    found = {
        hint: _folded(slip, scores, v)
        for hint, slip in blocks.SLIPS.items()
        if hint != "overflow"
    }
    found["normalise_once"] = _folded(blocks.RIGHT, scores, v, divided=False)
    found["scale"] = unscaled.softmax(-1) @ v
    own = (unscaled * v.shape[1] ** -0.5).softmax(-1) @ v  # 1 / sqrt(width) instead
    found["given_scale"] = own
    missing = -s % BLOCK
    counted = (
        torch.nn.functional.pad(scores, (0, missing)),
        torch.nn.functional.pad(v, (0, 0, 0, missing)),
    )
    found["edge_keys"] = counted[0].softmax(-1) @ counted[1]
    full = s // BLOCK * BLOCK
    if full:
        found["last_block"] = scores[:, :full].softmax(-1) @ v[:full]
    found["every_block"] = scores[:, :BLOCK].softmax(-1) @ v[:BLOCK]
    return {hint: y for hint, y in found.items() if not torch.allclose(y, right)}


def _folded(slip, scores: Tensor, v: Tensor, divided: bool = True) -> Tensor:
    state = blocks.start(len(scores), v.shape[1])
    for part, values in zip(scores.split(BLOCK, 1), v.split(BLOCK), strict=True):
        state = slip.fold(state, part, values)
    return state[2] / state[1][:, None] if divided else state[2]
