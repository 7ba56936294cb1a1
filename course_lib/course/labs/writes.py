"""What PyTorch leaves undefined and a CPU lets pass: two values written to one place at
once, and NaN on its way to a whole number.
"""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


class MadeNaN(TorchDispatchMode):
    """Note in `found` whether an operation gives NaN, also where it does not last:
    what becomes of NaN as a whole number is not defined.

    >>> with MadeNaN() as numbers:
    ...     _ = (torch.zeros(1) / 0).to(torch.int8)
    >>> numbers.found
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self.found |= bool(tensor.isnan().any())
        return result
