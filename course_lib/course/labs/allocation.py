"""How much memory an answer asks for, and how much it writes: the largest new tensor
that a piece of code makes, the bytes that all of its operations write.
"""

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
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


class Products(TorchDispatchMode):
    """Add up the FLOPs of matrix products, SDPA's among them.

    >>> import torch
    >>> with Products() as seen:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 5)
    >>> seen.flops
    60
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.name().split("::")[-1].split(".")[0]
        if name in ("mm", "bmm", "mv", "dot", "addmm", "baddbmm"):
            left = args[1] if "add" in name else args[0]
            self.flops += 2 * result.numel() * left.shape[-1]
        elif "scaled_dot_product" in name:
            q, k, v = args[:3]
            scores = q.shape[:-1].numel() * k.shape[-2]
            self.flops += 2 * scores * (q.shape[-1] + v.shape[-1])
        return result


class Live(TorchDispatchMode):
    """Follow the bytes of all tensors that an answer holds at one time; `most` is the
    peak.

    Args:
        known: tensors that were there before; their storages do not count.
    """

    def __init__(self, known: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.held: dict[int, tuple[int, object]] = {}
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.known:
                    key = storage._cdata
                    self.held[key] = storage.nbytes(), StorageWeakRef(storage)
        alive = {k: v for k, v in self.held.items() if not v[1].expired()}
        self.held = alive
        self.most = max(self.most, sum(nbytes for nbytes, _ in alive.values()))
        return result


class Written(TorchDispatchMode):
    """Add up the bytes that operations write, views left out, and count the operations:
    the work of a recurrence without a clock.

    A gradient that autograd computes counts too, if `backward` runs inside.

    >>> import torch
    >>> x = torch.zeros(4, dtype=torch.float64)
    >>> with Written() as seen:
    ...     _ = x[:2] + 1
    >>> seen.nbytes, seen.calls
    (16, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        given = {
            one.untyped_storage().data_ptr()
            for one in tree_leaves((args, kwargs))
            if isinstance(one, Tensor)
        }
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (
                func._schema.is_mutable
                or tensor.untyped_storage().data_ptr() not in given
            ):
                self.nbytes += tensor.numel() * tensor.element_size()
        return result
