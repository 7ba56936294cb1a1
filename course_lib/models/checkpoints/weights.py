"""State dict both ways: between a model of ours and the tensors of a Hugging Face
checkpoint, name by name.

`decoder_names` and `encoder_names` pair their tensors with ours, `qkv_packing` splits
those that hold several. The numbers are copied as they stand.

Terms:
    state dict, parameter names: a model's tensors by name, ours and Hugging Face's ->
        load_hf_weights, hf_tensors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.models.checkpoints.decoder_names import (
    BASE_PREFIXES,
    BESIDE_TEXT,
    NOT_WEIGHTS,
    OTHER_NAMES,
    TABLES,
    VARIANTS,
    WRAPPED,
    Table,
)
from course_lib.models.checkpoints.encoder_names import PAIRED_TABLES, PAIRED_VARIANTS
from course_lib.models.checkpoints.expert_files import stacked_experts
from course_lib.models.checkpoints.expert_packing import EXPERT_PACKINGS
from course_lib.models.checkpoints.hybrid_names import HYBRID_TABLES
from course_lib.models.checkpoints.layer_kinds import is_of_kind
from course_lib.models.checkpoints.moe_names import MOE_TABLES, MTP_ROWS
from course_lib.models.checkpoints.qkv_packing import PACKINGS, Packing
from course_lib.models.checkpoints.recurrent_names import RECURRENT_TABLES
from course_lib.models.checkpoints.state_space_names import STATE_SPACE_TABLES
from course_lib.specs.records import FFNSpec

SUFFIXES = (".weight", ".bias", "")
LAYOUTS = PACKINGS | EXPERT_PACKINGS


@dataclass(frozen=True)
class PackedTensor:
    """One tensor of theirs: its name, the names of ours in it, their layout and the
    module they belong to.

    `copy`: it repeats another of theirs, which is the one that counts.
    """

    theirs: str
    ours: tuple[str, ...]
    layout: Packing
    owner: nn.Module
    copy: bool = False

    def join(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Their tensor, made of ours."""
        return self.layout.join([tensors[name] for name in self.ours], self.owner)

    def split(self, tensor: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Ours, made of their tensor; a ValueError if it has another shape than `like`
        asks for.
        """
        want = self.join(
            {name: like[name].detach().to("meta") for name in self.ours}
        ).shape
        if tensor.shape != want:
            raise ValueError(
                f"{self.theirs} has shape {tuple(tensor.shape)}, not {tuple(want)}"
            )
        rows = [len(like[name]) for name in self.ours]
        return dict(
            zip(self.ours, self.layout.split(tensor, rows, self.owner), strict=True)
        )


def load_hf_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copy every tensor of a checkpoint into the model, in the model's dtype.

    Args:
        model: built from the checkpoint's config; its `spec` names the family.
        state_dict: names and tensors, as `transformers` or its files give them. Read
            one at a time, so it may be lazy; a stack of experts in a file is as large
            as a layer's.

    Raises:
        ValueError: the family has no table of names; or a tensor is missing, is unknown
            to the model, or has another shape, or a tied one differs from what it is
            tied to. The message names it.
    """
    pieces = {piece.theirs: piece for piece in packed_tensors(model)}
    state_dict = stacked_experts(state_dict, model.spec.family)
    owned, every = _owned(model), _every(model)
    full = {_full_name(name, pieces): name for name in state_dict}
    wraps = any(own.startswith(WRAPPED) for own in full.values())
    passed = f"{NOT_WEIGHTS}|{BESIDE_TEXT}" if wraps else NOT_WEIGHTS
    given = {
        name: own
        for name, own in full.items()
        if name in pieces or not re.search(passed, own)
    }
    needed = {
        name
        for name, piece in pieces.items()
        if not piece.copy and set(piece.ours) & owned.keys()
    }
    for problem, names in (
        ("missing from state_dict", needed - given.keys()),
        ("unknown to the model", given.keys() - pieces.keys()),
    ):
        if names:
            raise ValueError(f"state_dict: {', '.join(sorted(names))}: {problem}")
    for theirs in sorted(
        given, key=lambda name: name not in needed
    ):  # tied copies last
        for name, tensor in (
            pieces[theirs].split(state_dict[given[theirs]], every).items()
        ):
            if name in owned and not pieces[theirs].copy:
                with torch.no_grad():
                    owned[name].copy_(tensor)
            elif not torch.equal(
                every[name].detach().cpu(), tensor.to(every[name].dtype).cpu()
            ):
                raise ValueError(
                    f"state_dict: {theirs} differs from the tensor that it is tied to"
                )


def hf_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The model's tensors under their names and in their layout; a tied one once, as
    they are saved.

    Args:
        model: as in `load_hf_weights`.
        tensors: what to convert in place of the parameters, by our names: gradients,
            for instance.

    Raises:
        ValueError: the family has no table of names.

    >>> from course_lib.models.lm import CausalLM
    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "gpt2", "n_embd": 4, "n_head": 2, "n_layer": 1}
    >>> config |= {"n_positions": 8, "vocab_size": 7}
    >>> tensors = hf_tensors(CausalLM(spec_from_hf_config(config)))
    >>> # [in, out] of queries, keys and values
    >>> tensors["transformer.h.0.attn.c_attn.weight"].shape
    torch.Size([4, 12])
    """
    source = (
        {name: own.detach() for name, own in _owned(model).items()}
        if tensors is None
        else tensors
    )
    pieces = (
        piece
        for piece in packed_tensors(model)
        if not piece.copy and set(piece.ours) <= source.keys()
    )
    return {piece.theirs: piece.join(source).contiguous() for piece in pieces}


def packed_tensors(model: nn.Module) -> list[PackedTensor]:
    """Which tensors a checkpoint of this model consists of, tied copies included.

    Raises:
        ValueError: the family has no table of names, or its table leaves a parameter
        out.
    """
    names = set(_every(model))
    pieces: dict[str, PackedTensor] = {}
    taken: set[str] = set()
    for theirs, ours, *more in table_of(model):
        layout, kind = (*more, *("same", "")[len(more) :])
        copy = layout == "copy"
        for index in range(max(_depths(names))) if "{i}" in theirs + ours else (0,):
            for suffix in SUFFIXES:
                parts = tuple(
                    part + suffix for part in _expand(ours.replace("{i}", str(index)))
                )
                name = theirs.replace("{i}", str(index)) + suffix
                if kind and not is_of_kind(model, parts[0], kind):
                    continue
                if names.issuperset(parts) and (copy or taken.isdisjoint(parts)):
                    taken.update(parts)
                    owner = model.get_submodule(
                        parts[0].removesuffix(suffix).rpartition(".")[0]
                    )
                    pieces[name] = PackedTensor(
                        name,
                        parts,
                        LAYOUTS["same" if copy else layout],
                        owner,
                        copy,
                    )
    left_out = names - taken - (names - _owned(model).keys())
    if left_out:
        raise ValueError(
            f"{model.spec.family}: no name is known for {', '.join(sorted(left_out))}"
        )
    return list(pieces.values())


def table_of(model: nn.Module) -> Table:
    """The table of names of the model's family; where two rows name one parameter, the
    first counts.
    """
    family = model.spec.family
    tables = {**TABLES, **PAIRED_TABLES, **MOE_TABLES}
    tables |= {**STATE_SPACE_TABLES, **RECURRENT_TABLES}
    if family in HYBRID_TABLES:
        return HYBRID_TABLES[family](model.spec)
    if family not in tables:
        known = ", ".join(sorted({**tables, **HYBRID_TABLES}))
        raise ValueError(f"family={family!r}: names are known for {known}")
    variants = {**VARIANTS, **PAIRED_VARIANTS}
    kinds = {layer.norm_layout for layer in model.spec.layers}
    ffns = (layer.ffn for layer in model.spec.layers)
    kinds |= {ffn.kind for ffn in ffns if isinstance(ffn, FFNSpec)}
    first = (row for kind in sorted(kinds) for row in variants.get((family, kind), ()))
    return (*first, *tables[family], *MTP_ROWS)


def _depths(names: set[str]) -> list[int]:
    """How many layers the stacks have, by the numbers in the names."""
    return [
        int(number) + 1 for name in names for number in re.findall(r"\.(\d+)\.", name)
    ] or [0]


def _expand(name: str) -> list[str]:
    """`a.{b,c}` -> a.b and a.c."""
    found = re.fullmatch(r"(.*)\{(.*)\}", name)
    return (
        [name] if found is None else [found[1] + part for part in found[2].split(",")]
    )


def _every(model: nn.Module) -> dict[str, Tensor]:
    """All names of the model's parameters and of the buffers that are saved; a shared
    one has several.
    """
    return dict(model.state_dict(keep_vars=True))


def _owned(model: nn.Module) -> dict[str, Tensor]:
    """Each parameter and buffer once, under the first of its names."""
    first: dict[int, str] = {}
    every = _every(model)
    for name, tensor in every.items():
        first.setdefault(id(tensor), name)
    return {name: every[name] for name in first.values()}


def _full_name(name: str, pieces: Mapping[str, PackedTensor]) -> str:
    """The name as the table has it: files may use another, or leave the stack's prefix
    out.
    """
    name = OTHER_NAMES.get(name, name)
    if name.startswith(WRAPPED):
        name = f"model.{name.removeprefix(WRAPPED)}"
    full = (prefix + name for prefix in ("", *BASE_PREFIXES))
    return next((candidate for candidate in full if candidate in pieces), name)
