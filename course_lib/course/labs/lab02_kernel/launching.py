"""Run a student's kernel on the CPU, in memory with a guard around it.

A kernel that writes past its rows would change what belongs to somebody else; one that
reads there gets what happens to lie there. Here NaN lies there, before and behind, so
both can be seen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.errors import InterpreterError
from triton.runtime.interpreter import InterpretedFunction, interpreter_builder

from course_lib.course.labs.lending import unchanged

GUARD = (
    4096  # numbers before and behind, more than the tiles of the checks can overshoot
)


class Guarded:
    """Tensors that lie between guards of NaN, as float64.

    >>> inside = Guarded()
    >>> x = inside.put(torch.ones(2, 3))
    >>> x.sum().item(), inside.untouched()
    (6.0, True)
    """

    def __init__(self) -> None:
        self._buffers: list[tuple[Tensor, int]] = []
        self._given: list[tuple[Tensor, Tensor]] = []
        self.read_outside = False

    def put(self, x: Tensor) -> Tensor:
        """Return a contiguous copy of x that has guards around it."""
        buffer = torch.full((x.numel() + 2 * GUARD,), torch.nan, dtype=torch.float64)
        self._buffers.append((buffer, x.numel()))
        inner = buffer[GUARD : GUARD + x.numel()].view(x.shape)
        self._given.append((inner, x.double()))
        return inner.copy_(x)

    def empty(self, *shape: int) -> Tensor:
        """Return a tensor of NaN for a kernel to write to."""
        return self.put(torch.full(shape, torch.nan))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note in `read_outside` whether a kernel loads from an address that is in none
        of the tensors.
        """
        load = interpreter_builder.create_masked_load

        def watched(pointers, mask, *rest):
            at = np.broadcast_to(pointers.data, mask.data.shape)[mask.data]
            inside = np.zeros(at.shape, dtype=bool)
            for buffer, size in self._buffers:
                first = buffer.data_ptr() + GUARD * buffer.element_size()
                inside |= (at >= first) & (at < first + size * buffer.element_size())
            self.read_outside |= not inside.all()
            return load(pointers, mask, *rest)

        with patch.object(interpreter_builder, "create_masked_load", watched):
            yield

    def inputs_kept(self) -> bool:
        """Whether every tensor that was put in with numbers still holds them."""
        given = (pair for pair in self._given if not pair[1].isnan().all())
        return all(unchanged(now, before) for now, before in given)

    def untouched(self) -> bool:
        """Whether every guard is still as it was."""
        return all(
            bool(buffer[:GUARD].isnan().all() and buffer[GUARD + size :].isnan().all())
            for buffer, size in self._buffers
        )


def launch(kernel: Callable, grid: tuple[int, ...], *arguments, **constants) -> None:
    """Run `kernel` over `grid` by Triton's interpreter.

    Raises:
        ValueError: if the kernel is compiled and not interpreted: the checks compare in
        float64 on the CPU. Whatever the student's code raised, without the
        interpreter's wrapping.
    """
    if not (triton.knobs.runtime.interpret and isinstance(tl.max, InterpretedFunction)):
        raise ValueError(
            "TRITON_INTERPRET was not 1 when Triton was imported: checks run kernels "
            "on the CPU, and 1 is allowed; restart the notebook's kernel and run its "
            "first cell before all others"
        )
    try:
        kernel[grid](*arguments, **constants)
    except InterpreterError as error:
        cause = error.__cause__
        while isinstance(cause, InterpreterError):
            cause = cause.__cause__
        raise (cause or error) from None


def like(got: Tensor, mistake: Tensor) -> bool:
    """Whether `got` is what a mistake gives, wherever the mistake leaves finite numbers
    at all.
    """
    finite = mistake.isfinite()
    return bool(
        finite.any()
        and torch.allclose(got[finite], mistake[finite], rtol=1e-9, atol=1e-9)
    )


SUMS = {
    "SUM": tl.float64
}  # the dtype in which a kernel keeps its sums while it is checked
