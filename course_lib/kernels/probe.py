"""A probe of attention back ends: what each can mask, how far it is from the plain form
in float64, and whether it has gradients. Everything is found by running it.

Symbols: b batch, t tokens, h heads, g KV groups, k key width.

Terms:
    probe of a back end: agreement, gradients and refusals, found by running -> probe
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.kernels.back_ends import Request, attention

REFUSALS = (ValueError, RuntimeError, ImportError)
"""What a back end may raise to say that it cannot, or is not there."""


@dataclass(frozen=True)
class Probe:
    """What came of a run: the largest distance from the plain form in float64, of the
    output and of the gradients; or, where there is none, what the back end said.
    """

    gap: float | None = None
    gradient_gap: float | None = None
    problem: str = ""
    gradient_problem: str = ""


def probe(
    back_end: str,
    request: Request,
    shape: tuple[int, int, int, int, int] = (2, 24, 4, 2, 16),
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Probe:
    """Run a back end forward, then forward and backward, and compare.

    Args:
        shape: b, t, h, g, k.
        dtype: of its inputs; the plain form beside it has the same numbers in float64.
    """
    b, t, h, g, k = shape
    chance = torch.Generator().manual_seed(0)
    drawn = [torch.randn(b, t, n, k, generator=chance) for n in (h, g, g)]
    drawn = [x.to(device, dtype) for x in drawn]
    wanted, slopes = _with_gradients("plain", [x.double() for x in drawn], request)
    try:
        found = attention(*drawn, request, back_end=back_end)
    except REFUSALS as refused:
        return Probe(problem=_first_line(refused), gradient_problem="no output")
    gap = _gap([found], [wanted])
    try:
        _, own = _with_gradients(back_end, drawn, request)
    except REFUSALS as refused:
        return Probe(gap=gap, gradient_problem=_first_line(refused))
    return Probe(gap=gap, gradient_gap=_gap(own, slopes))


def _with_gradients(
    back_end: str, drawn: list[Tensor], request: Request
) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of a sum over it for queries, keys, values and
    sinks.
    """
    leaves = [x.clone().requires_grad_() for x in drawn]
    if request.sinks is not None:
        sinks = request.sinks.to(drawn[0]).clone().requires_grad_()
        request = replace(request, sinks=sinks)
    y = attention(*leaves, request, back_end=back_end)
    pull = torch.cos(torch.arange(y.numel(), device=y.device)).view_as(y).to(y)
    sources = leaves + ([] if request.sinks is None else [request.sinks])
    return y.detach(), list(torch.autograd.grad((y * pull).sum(), sources))


def _gap(found: list[Tensor], wanted: list[Tensor]) -> float:
    pairs = zip(found, wanted, strict=True)
    return max((one.double() - two).abs().max().item() for one, two in pairs)


def _first_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]
