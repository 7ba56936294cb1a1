"""What is kept of a recorded run beside its numbers: weights in float16, and the
batches that they are scored on.

Terms:
    kept weights, float16 weights: the weights of one seed of a recorded run -> halved,
        with_weights
    recorded batches: held-out and first batches as tensors on file -> packed, unpacked
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from course_lib.train.batches import Batch
from course_lib.train.loop import AnyBatch

AS_IT_IS = (torch.bool, torch.float32)


def halved(model: nn.Module) -> dict[str, Tensor]:
    """The parameters in float16, those that are shared once."""
    return {name: p.detach().cpu().half() for name, p in model.named_parameters()}


def with_weights(model: nn.Module, file: Path) -> nn.Module:
    """`model` with kept weights, in the mode for scoring."""
    kept = load_file(file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(kept[name])
    return model.eval()


def packed(batches: Sequence[AnyBatch], name: str) -> dict[str, Tensor]:
    """Batches as named tensors, whole numbers in the smallest type that holds them."""
    found = {}
    for place, batch in enumerate(batches):
        parts = batch._asdict() if isinstance(batch, Batch) else dict(enumerate(batch))
        for part, tensor in parts.items():
            if tensor is not None:
                found[f"{name}.{place:04d}.{part}"] = _small(tensor)
    return found


def unpacked(data: Mapping[str, Tensor], name: str) -> list[AnyBatch]:
    """Turn `packed` round."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key in sorted(data):
        start, place, part = key.split(".")
        if start == name:
            whole = data[key].dtype not in AS_IT_IS
            tensor = data[key].long() if whole else data[key]
            groups.setdefault(place, {})[part] = tensor
    return [
        (parts["0"], parts["1"]) if "0" in parts else Batch(**parts)
        for parts in groups.values()
    ]


def slug(variant: str) -> str:
    """A variant's name as part of a file's.

    >>> slug("no FFN, 4 heads")
    'no-ffn-4-heads'
    """
    return re.sub(r"[^a-z0-9]+", "-", variant.lower()).strip("-")


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def _small(tensor: Tensor) -> Tensor:
    """In the smallest type for whole numbers that holds it."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in AS_IT_IS:
        return tensor
    for dtype in (torch.uint8, torch.int16, torch.int32):
        limits = torch.iinfo(dtype)
        if limits.min <= int(tensor.min()) and int(tensor.max()) <= limits.max:
            return tensor.to(dtype)
    return tensor
