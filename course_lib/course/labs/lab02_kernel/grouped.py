"""Lab 2, the kernel extra, stretch task: all heads at once, and fewer keys than heads.

Symbols: h query heads (i one of them) over g groups; Q [t h width], K and V
[s g width], Y [t h width].
Axis 1 of the grid is the head.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab02_kernel.launching import SUMS, Guarded, launch, like
from course_lib.course.labs.lab02_kernel.online import BLOCK
from course_lib.layers.attention.forms import attend

HINTS = {
    "row": "The rows of one head lie heads * WIDTH apart in Q and Y, groups * WIDTH "
    "apart in K and V.",
    "head": "Head i starts i * WIDTH numbers into its token's row.",
    "group": "Query head i reads group i // (heads // groups).",
    "stable": "Subtract the running maximum of the row, over all keys so far, before "
    "exp.",
    "edge_load": "Mask the loads: rows of Q below t, rows of K and V below s.",
    "edge": "Write the rows below t of your own head, and nothing else.",
}
CHECK = Checker("Stretch", HINTS)


def check(flash_heads, seed: int = 0) -> str:
    """Check the stretch task: `flash_heads(Q, K, V, Y, t, s, heads, groups, scale,
    ...)`, then as `flash`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(17, 22), s=(35, 40))
    for heads, groups in ((1, 1), (3, 3), (4, 2), (6, 1)):
        shapes = (
            (size["t"], heads, 16),
            (size["s"], groups, 16),
            (size["s"], groups, 16),
        )
        q, k, v = (torch.randn(shape, generator=rng).double() for shape in shapes)
        _check_heads(flash_heads, q, k, v)
    steep = torch.linspace(40.0, -40.0, 16).double()[:, None, None].expand(16, 1, 16)
    _check_heads(flash_heads, torch.full((16, 2, 16), 15.0).double(), steep, v[:16, :1])
    return "Stretch: every head in one launch, each over its own group."


def _check_heads(flash_heads, q: Tensor, k: Tensor, v: Tensor) -> None:
    (t, heads, width), (s, groups, _), inside = q.shape, k.shape, Guarded()
    what = f"{heads} heads over {groups} groups, {t} queries, {s} keys"
    y = inside.empty(t, heads, width)
    grid = -(-t // BLOCK), heads
    with CHECK.doing("crash", what), inside.watching():
        launch(
            *(
                flash_heads,
                grid,
                *map(inside.put, (q, k, v)),
                y,
                t,
                s,
                heads,
                groups,
                width**-0.5,
            ),
            **{"BLOCK_Q": BLOCK, "BLOCK_K": BLOCK, "WIDTH": width} | SUMS,
        )
    CHECK.true(
        inside.untouched(),
        "edge",
        what,
        "nothing written outside Y",
        "a number outside",
    )
    CHECK.true(inside.inputs_kept(), "unchanged", what, "Q, K and V kept", "changed")
    everything = torch.ones(1, t, s, dtype=torch.bool)

    def of_groups(which: Tensor, queries: Tensor = q) -> Tensor:
        return attend(queries[None], k[None, :, which], v[None, :, which], everything)[
            0
        ][0]

    own = torch.arange(heads) // (heads // groups)
    turned = of_groups(
        own, q.view(heads, t, width).transpose(0, 1)
    )  # as if Q were [h t width]
    mistakes = {
        "group": of_groups(torch.arange(heads) % groups),
        "row": turned.transpose(0, 1).reshape(y.shape),
    }
    right = of_groups(own)
    named = (
        hint
        for hint, wrong in mistakes.items()
        if not like(right, wrong) and like(y, wrong)
    )
    if y.isnan().any() and q.abs().max() > 10:
        CHECK.fail("stable", what, "finite numbers", "inf or NaN")
    default = "head" if y[:, 1:].isnan().any() and not y[:, 0].isnan().any() else "row"
    CHECK.close(y, right, next(named, default), what)
    read = "nothing read outside Q, K and V"
    CHECK.true(not inside.read_outside, "edge_load", what, read, "a read outside")
