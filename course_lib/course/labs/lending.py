"""What a check hands to an answer: copies, so that nobody else's tensors can change.

`copied` keeps how a tensor lies in memory, so that an answer meets the strides that the
check chose; `unchanged` says whether a copy is still what it was, `shares` whether
an answer gave it back; `spoil` writes over
copies that the answer should no longer need; `helped` puts the library's own functions
in the place of those that an answer calls, so that each is judged by itself.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor


def copied(given: Any) -> Any:
    """Return `given` with every tensor, list, tuple, set and dict in it copied.

    >>> x = torch.arange(6).view(2, 3).T
    >>> copied([x])[0].stride() == x.stride()
    True
    """
    if type(given) in (Tensor, torch.nn.Parameter):
        storage, given = given.untyped_storage().clone(), given.detach()
        copy = torch.empty(0, dtype=given.dtype)
        return copy.set_(storage, given.storage_offset(), given.shape, given.stride())
    if isinstance(given, list | tuple | set):
        return type(given)(copied(part) for part in given)
    if isinstance(given, dict):
        return {key: copied(part) for key, part in given.items()}
    return given


def unchanged(lent: Any, own: Any) -> bool:
    """Whether `lent`, a copy of `own`, still equals it bit for bit."""
    if isinstance(own, Tensor):
        if lent.shape != own.shape or lent.dtype != own.dtype:
            return False
        return torch.equal(lent.nan_to_num(7.25), own.nan_to_num(7.25))
    if isinstance(own, list | tuple):
        return len(lent) == len(own) and all(map(unchanged, lent, own))
    if isinstance(own, dict):
        return list(lent) == list(own) and all(
            unchanged(lent[key], own[key]) for key in own
        )
    return lent is own or lent == own


def shares(got: Any, lent: Any) -> bool:
    """Whether a list or tensor in `got` is one of `lent`, or lies in its memory.

    >>> held = [1, 2]
    >>> shares((held, 3), [held]), shares(list(held), [held])
    (True, False)
    """
    return bool(_places(got) & _places(lent))


def _places(value: Any) -> set[int]:
    """Where the lists and tensors of a value lie, empty tensors left out."""
    if isinstance(value, Tensor):
        return {value.untyped_storage().data_ptr()} if value.numel() else set()
    if isinstance(value, list | tuple):
        own = {id(value)} if isinstance(value, list) else set()
        return own.union(*map(_places, value))
    return set()


def spoil(*lent: Tensor) -> None:
    """Write over tensors that nobody should need any more."""
    for tensor in lent:
        tensor.fill_(torch.nan if tensor.is_floating_point() else 0)


def strided(x: Tensor) -> Tensor:
    """Return the numbers of x in another order in memory: the first axis last.

    >>> strided(torch.ones(2, 3)).is_contiguous()
    False
    """
    if x.dim() == 1:
        return x.repeat_interleave(2)[::2]
    return x.transpose(0, -1).contiguous().transpose(0, -1)


def helped(trial: Callable[[], Any], function: Any, **helpers: Any) -> Any:
    """Run `trial` with the library's own `helpers` in the place of the functions that
    `function` calls by these names, so that it is judged by itself.

    If it fails so, it is run as it stands, for an answer may share the work between
    its functions in its own way; the first failure counts if both fail.
    """
    names = getattr(function, "__globals__", {})
    try:
        with patch.dict(names, helpers):
            return trial()
    except Exception as first:  # the student's code may raise anything
        try:
            return trial()
        except Exception:
            raise first from None
