"""Writes that say two things about one place: which of the two stays is not defined."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class RepeatedPlaces(TorchDispatchMode):
    """Note in `repeated` whether one indexed write names a place twice.

    PyTorch leaves open which of the two values remains; on a CPU it is the last, until
    the tensor is large enough to be written by several threads.

    >>> x = torch.zeros(3)
    >>> with RepeatedPlaces() as writes:
    ...     x[torch.tensor([0, 2])] = torch.tensor([1.0, 2.0])
    ...     once = writes.repeated
    ...     x[torch.tensor([0, 0])] = torch.tensor([1.0, 2.0])
    >>> once, writes.repeated
    (False, True)
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeated = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        if "index_put" in name or "index_copy" in name or "scatter" in name:
            places = args[1] if "index_put" in name else [args[2]]
            axis = args[1] if "scatter" in name else 0
            for index in places:
                self.repeated |= _repeats(index, axis)
        return func(*args, **(kwargs or {}))


def _repeats(index: Tensor | None, axis: int) -> bool:
    if index is None or index.dtype == torch.bool or not index.dim():
        return False
    ordered = index.sort(dim=axis).values
    return bool((ordered.diff(dim=axis) == 0).any())
