"""The recurrent state of a layer: what a state space, a linear attention or a short
convolution keeps in place of keys and values.

Symbols: b batch. Mamba keeps the state h [b d n] and the last inputs of its convolution
[b d w]; linear attention keeps the sum of k v^T [b h k v]. Names and shapes are the
layer's own. The bytes do not grow with the text.

Terms:
    recurrent state, SSM state, convolution state: named tensors that a layer keeps in
        place of keys and values -> RecurrentState
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from course_lib.layers.caches.contract import RowCache, check_sizes


class RecurrentState(RowCache):
    """Named tensors of one layer, each with the rows of the batch on its first axis.

    Args:
        batch: rows b.
        shapes: the shape of each tensor, the batch left out.
        dtype, device: of the tensors; torch's defaults when left out.
        dtypes: of single tensors, by name, in place of `dtype`: accumulators are kept
            in float32 where a model computes in half precision.

    Raises:
        ValueError: `batch` is below 1, or `shapes` is empty; later, when `update` gets
        another name or shape.

    *Cost*: b times the product of each shape, times bytes an element, from the start
        and for good.

    >>> state = RecurrentState(batch=2, shapes={"sum": (3, 4), "inputs": (3,)})
    >>> state.update(tokens=5, sum=torch.ones(2, 3, 4), inputs=torch.zeros(2, 3))
    >>> state["sum"].sum().item(), state.length, state.nbytes
    (24.0, 5, 120)
    """

    def __init__(
        self,
        batch: int,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        *,
        dtypes: Mapping[str, torch.dtype] | None = None,
    ) -> None:
        check_sizes({"batch": batch})
        if not shapes:
            raise ValueError("shapes is empty: a state has at least one tensor")
        own = {} if dtypes is None else dtypes
        self._tensors = {
            name: torch.zeros(batch, *shape, dtype=own.get(name, dtype), device=device)
            for name, shape in shapes.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name, zeros at the start."""
        return self._tensors[name]

    @property
    def names(self) -> tuple[str, ...]:
        """What the tensors are called."""
        return tuple(self._tensors)

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(next(iter(self._tensors.values())))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    def update(self, tokens: int, **tensors: Tensor) -> None:
        """Put the state after `tokens` more tokens in the place of the earlier one.

        Raises:
            ValueError: a tensor is missing, unknown or has another shape. Then nothing
            has changed.
        """
        if tensors.keys() != self._tensors.keys():
            raise ValueError(
                f"tensors={sorted(tensors)}: allowed are all of {sorted(self._tensors)}"
            )
        for name, tensor in tensors.items():
            if tensor.shape != self._tensors[name].shape:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}: this state keeps "
                    f"{tuple(self._tensors[name].shape)}"
                )
        self._tensors, self.length = tensors, self.length + tokens

    def reset(self) -> None:
        """Back to zeros, as before the first token."""
        self._change(torch.zeros_like)
        self.length = 0

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self._tensors = {name: change(kept) for name, kept in self._tensors.items()}
