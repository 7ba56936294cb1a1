"""Lab 5: how the checks ask: values with the slip that explains them, float32, the
gradients, two sequences at once in pieces, and work that grows with the length.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.allocation import Written
from course_lib.course.labs.checking import Checker
from course_lib.course.labs.values import same

Truth = Callable[[str], Any]


def numbers(rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def shares(rng: torch.Generator, *shape: int) -> Tensor:
    """Numbers between 0.05 and 0.95, float64."""
    return 0.05 + 0.9 * torch.rand(shape, generator=rng, dtype=torch.float64)


def slip_of(
    truth: Truth, slips: Sequence[str], got: Any, place: int | None = None
) -> dict[str, Tensor]:
    """The first slip that gives just what came, with its result; nothing where what
    came is right. `place` picks one of several results.
    """

    def of(slip: str) -> Tensor:
        found = truth(slip)
        return found if place is None else found[place]

    if same(got, right := of("")):
        return {}
    for slip in slips:
        wrong = of(slip)
        if same(got, wrong) and not same(wrong, right):
            return {slip: wrong}
    return {}


def results(check: Checker, got: Any, count: int, hint: str, told: str) -> Sequence:
    """Fail unless `got` is a tuple of `count` results."""
    formed = isinstance(got, tuple | list) and len(got) == count
    seen = (
        f"{len(got)} of them" if isinstance(got, tuple | list) else type(got).__name__
    )
    check.true(formed, hint, told, f"{count} results", seen)
    return got


def low(check: Checker, function: Callable, given: Sequence, told: str) -> None:
    """Fail unless float32 goes in and float32 comes out."""
    lower = [_float(one) for one in given]
    got = check.call(function, *lower, what=f"{told}, in float32", crash="dtype")
    for one in got if isinstance(got, tuple | list) else [got]:
        if isinstance(one, Tensor):
            what = f"{told}, in float32"
            kept = one.dtype == torch.float32
            check.true(kept, "dtype", what, "torch.float32", one.dtype)


def _float(one: Any) -> Any:
    if isinstance(one, Mapping):
        return {name: _float(part) for name, part in one.items()}
    if isinstance(one, tuple | list):
        return type(one)(_float(part) for part in one)
    return one.float() if isinstance(one, Tensor) and one.is_floating_point() else one


def gradients(
    check: Checker,
    answer: Callable,
    truth: Callable,
    given: Sequence[Tensor],
    told: str,
) -> None:
    """Compare the gradients of all given tensors; each function returns one tensor."""
    grads = []
    for function in (truth, answer):
        leaves = [one.clone().requires_grad_() for one in given]
        with check.doing("gradient", f"the gradient of {told}"):
            y = function(*leaves)
            found = (y * torch.linspace(1.0, 2.0, y.numel()).double().view_as(y)).sum()
            what = f"the output of {told}"
            check.true(found.requires_grad, "gradient", what, "a gradient", "none")
            grads.append(torch.autograd.grad(found, leaves, allow_unused=True))
    for pair, leaf in zip(zip(*grads, strict=True), given, strict=True):
        right, got = (torch.zeros_like(leaf) if one is None else one for one in pair)
        check.close(got, right, "gradient", f"a gradient of {told}")


def in_pieces(
    check: Checker,
    step: Callable[[Any, Any], tuple],
    rows: Sequence[Tensor],
    wholes: Sequence[Tensor],
    sizes: Sequence[int],
    told: str,
) -> None:
    """Feed several sequences in turn, piece by piece: each must give what it gives in
    one.

    Args:
        step: maps (piece, what the step before returned) to (output, what to keep);
            a piece is what `rows[i][:, first:last]` holds, handed over as positions.
        rows: sequences [b t ...], of which only the length and the slices are used.
        wholes: outputs of the whole sequences.
        sizes: tokens of each piece.
    """
    kept: list[Any] = [None] * len(rows)
    found: list[list[Tensor]] = [[] for _ in rows]
    first = 0
    for size in sizes:
        for number, row in enumerate(rows):
            piece = row[:, first : first + size]
            y, kept[number] = step(piece, kept[number])
            found[number].append(y)
        first += size
    for number, whole in enumerate(wholes):
        what = f"{told}, sequence {number + 1} of 2, in pieces of {list(sizes)}"
        check.close(torch.cat(found[number], 1), whole, "pieces", what)


def written(run: Callable[[], Any]) -> tuple[int, int, Any]:
    """Bytes that the operations of `run` write, how many operations, and its result."""
    with Written() as seen:
        found = run()
    return seen.nbytes, seen.calls, found
