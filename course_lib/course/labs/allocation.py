"""How much memory an answer asks for: the largest new tensor that a piece of code
makes.
"""

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestNew(TorchDispatchMode):
    """Remember the bytes of the largest storage that an operation makes.

    Args:
        known: tensors that were there before; their storages do not count.

    >>> import torch
    >>> x = torch.zeros(4, dtype=torch.float64)
    >>> with LargestNew((x,)) as seen:
    ...     _ = x[:, None] + x[:2]
    >>> seen.nbytes
    64
    """

    def __init__(self, known: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if (
                isinstance(tensor, Tensor)
                and tensor.untyped_storage().data_ptr() not in self.known
            ):
                self.nbytes = max(self.nbytes, tensor.untyped_storage().nbytes())
        return result
