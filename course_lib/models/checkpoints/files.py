"""Checkpoint folders of Hugging Face (safetensors): read one into a model of ours,
write one of a model of ours.

A folder holds `config.json`, and either `model.safetensors` or several files that
`model.safetensors.index.json` lists by tensor. Nothing is downloaded, and no pickle is
opened.

Terms:
    checkpoint, safetensors, sharded checkpoint: a folder with `config.json` and the
        weights, in one file or several -> load_checkpoint, save_checkpoint
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib.models.build import build_model
from course_lib.models.checkpoints.expert_files import experts_apart
from course_lib.models.checkpoints.weights import hf_tensors, load_hf_weights
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.provenance import NOTHING_PUBLISHED
from course_lib.specs.records import ModelSpec

CONFIG, SINGLE, INDEX = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
)
SHARD_BYTES = 5 * 2**30


class CheckpointTensors(Mapping[str, Tensor]):
    """The tensors of a folder by name, each read from its file when it is asked for.

    Args:
        folder: with `model.safetensors`, or with an index and the files it names.

    Raises:
        ValueError: there is neither, the index is not of that form, or a file is
        missing or damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if (folder / INDEX).is_file():
            self._files = _indexed(folder)
        elif (folder / SINGLE).is_file():
            with _opened(folder / SINGLE) as tensors:
                self._files = dict.fromkeys(tensors.keys(), folder / SINGLE)
        else:
            raise ValueError(
                f"folder={str(folder)!r}: it has neither {SINGLE} nor {INDEX}"
            )

    def __getitem__(self, name: str) -> Tensor:
        with _opened(self._files[name]) as tensors:
            try:
                return tensors.get_tensor(name)
            except SafetensorError as error:
                raise ValueError(
                    f"{self._files[name].name}: {name} cannot be read ({error})"
                ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def load_checkpoint(
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    build: Callable[[ModelSpec], nn.Module] = build_model,
) -> nn.Module:
    """The model of a folder, in evaluation mode.

    Args:
        folder: of a family that `build` can build; see
            `course_lib.models.checkpoints.decoder_names` for the names it knows.
        dtype: of the parameters; that of the first tensor when left out.
        build: makes the model from its spec; left out, the class that fits it.

    Returns:
        the model, on the CPU.

    Raises:
        ValueError: a file is missing or damaged; the config is of an unknown family or
            has a part that `build` does not build; a tensor is missing, unknown or of
            another shape. The message names it.

    *Cost*: the model in float32 first, then one tensor more at a time.
    """
    spec, tensors = (
        spec_from_hf_config(Path(folder) / CONFIG),
        CheckpointTensors(folder),
    )
    if not tensors:
        raise ValueError(f"folder={str(folder)!r}: its files hold no tensors")
    model = build(spec).to(
        tensors[next(iter(tensors))].dtype if dtype is None else dtype
    )
    load_hf_weights(model, tensors)
    return model.eval()


def save_checkpoint(
    model: nn.Module,
    folder: str | Path,
    config: Mapping[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder that `transformers` loads, and `load_checkpoint` too.

    Args:
        model: of a family whose names are known.
        folder: made if it is not there.
        config: the fields of the model's `config.json`, `model_type` among them. A spec
            leaves out what costs nothing (special tokens, say), so the config is given
            and compared with the spec.
        shard_bytes: the most bytes a file holds, unless one tensor is larger.

    Raises:
        ValueError: the config describes another model, the folder holds a checkpoint
            already, the family's names are not known, or `shard_bytes` is below 1.
    """
    folder = Path(folder)
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes={shard_bytes}: allowed are whole numbers from 1")
    described = _bare(spec_from_hf_config(config))
    if described != _bare(model.spec):
        raise ValueError(
            "config describes another model than this one: "
            f"{_differences(described, model)}"
        )
    if any((folder / name).exists() for name in (CONFIG, SINGLE, INDEX)):
        raise ValueError(f"folder={str(folder)!r}: it holds a checkpoint already")
    tensors = experts_apart(hf_tensors(model), model.spec.family)
    shards = _shards(tensors, shard_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        [SINGLE]
        if len(shards) == 1
        else [_shard_name(i, len(shards)) for i in range(len(shards))]
    )
    for name, shard in zip(names, shards, strict=True):
        save_file(
            {tensor: tensors[tensor] for tensor in shard},
            folder / name,
            metadata={"format": "pt"},
        )
    if len(shards) > 1:
        place = {
            tensor: name
            for name, shard in zip(names, shards, strict=True)
            for tensor in shard
        }
        total = sum(tensor.nbytes for tensor in tensors.values())
        _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": place})
    _write(folder / CONFIG, config)


def _indexed(folder: Path) -> dict[str, Path]:
    """The file of each tensor, by the index. Only files of the folder itself count."""
    try:
        places = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        files = {name: Path(file) for name, file in places.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{INDEX}: a mapping with a weight_map of files is wanted ({error!r})"
        ) from error
    for file in set(files.values()):
        if file.name != str(file) or not (folder / file).is_file():
            raise ValueError(
                f"{INDEX}: {str(file)!r} is no file of the folder {str(folder)!r}"
            )
    return {name: folder / file for name, file in files.items()}


def _opened(path: Path):
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path.name}: not a readable safetensors file ({error})"
        ) from error


def _shards(tensors: Mapping[str, Tensor], most: int) -> list[list[str]]:
    """Names in their order, cut where a file would pass `most` bytes."""
    shards, held = [[]], 0
    for name, tensor in tensors.items():
        if shards[-1] and held + tensor.nbytes > most:
            shards.append([])
            held = 0
        shards[-1].append(name)
        held += tensor.nbytes
    return shards


def _shard_name(index: int, count: int) -> str:
    return f"model-{index + 1:05d}-of-{count:05d}.safetensors"


def _bare(spec: ModelSpec) -> ModelSpec:
    """The spec without its name and its sources."""
    return replace(
        spec, counted="", name=spec.family, published=NOTHING_PUBLISHED, sources=()
    )


def _differences(described: ModelSpec, model: nn.Module) -> str:
    fields = vars(described)
    return ", ".join(
        name for name in fields if fields[name] != getattr(_bare(model.spec), name)
    )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(
        json.dumps(dict(content), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
