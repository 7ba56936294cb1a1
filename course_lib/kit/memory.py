"""Peak memory: the bytes of tensors that one call holds at once beyond what was there
before it.

On CUDA the allocator reports it. On the CPU every tensor an operator returns is
followed until it is freed; scratch space inside one operator is not seen, nor is
anything that is not a tensor. (A process' resident size would count both, but it also
keeps what the C allocator does not hand back, so a second call reads 0.)
"""

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.kit.runtime import Device, synchronise


def peak_tensor_bytes(fn: Callable[[], object], device: Device = None) -> int:
    """Return the tensor bytes that one call of `fn` holds at once beyond those held
    before it.

    >>> peak_tensor_bytes(lambda: torch.ones(1000).cumsum(0))  # two of float32
    8000
    """
    if device is None or torch.device(device).type != "cuda":
        with _LiveBytes() as live:
            fn()
        return live.peak
    synchronise(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    fn()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before


class _LiveBytes(TorchDispatchMode):
    """Follow the storages that operators return, from birth to release."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for storage in _storages((args, kwargs)):
            self._follow(storage, 0)
        result = operator(*args, **kwargs)
        for storage in _storages(result):
            self._follow(storage, storage.nbytes())
        return result

    def _follow(self, storage: torch.UntypedStorage, size: int) -> None:
        address = storage._cdata
        if address in self.known:
            return
        self.known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, address, size)

    def _release(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size


def _storages(tree: object) -> list[torch.UntypedStorage]:
    return [
        leaf.untyped_storage()
        for leaf in tree_leaves(tree)
        if isinstance(leaf, torch.Tensor)
    ]
