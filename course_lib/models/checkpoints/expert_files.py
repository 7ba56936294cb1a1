"""Experts in checkpoint files: most families name each expert by itself, which
`transformers` 5 stacks when it loads a file and takes apart when it saves one.

    in the file   model.layers.3.mlp.experts.7.gate_proj.weight   [f d], one an expert
    in memory     model.layers.3.mlp.experts.gate_up_proj         [e 2f d]

Kimi Linear's files have three convolutions a layer, which are one in memory.

Symbols: e experts, d model width, f width inside an expert.

Terms:
    expert weights in files: one tensor for each expert and matrix, stacked on loading
        -> stacked_experts, experts_apart
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

GATE_UP_DOWN = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class FileNames:
    """How a family's files name what is in memory.

    `renames`: (in memory, in the file), parts of a name, the first that fits. `each`:
    gate, up and down of one expert, or up and down; () where files keep them stacked.
    `number`: what stands before an expert's number. `joined`: a convolution in
    memory over what three projections give, and those in the file over each.
    """

    renames: tuple[tuple[str, str], ...] = ()
    each: tuple[str, ...] = GATE_UP_DOWN
    number: str = ""
    joined: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def stacks(self) -> dict[str, tuple[str, ...]]:
        """What is stacked in memory, and of which matrices of each expert."""
        if not self.each:
            return {}
        first = "gate_up_proj" if len(self.each) == 3 else "up_proj"
        return {first: self.each[:-1], "down_proj": self.each[-1:]}


MIXTRAL = FileNames(((".mlp.", ".block_sparse_moe."),), ("w1", "w3", "w2"))
GRANITE = FileNames(
    (
        ("_moe.experts.gate_up_proj", "_moe.input_linear.weight"),
        ("_moe.experts.down_proj", "_moe.output_linear.weight"),
        ("_moe.router.", "_moe.router.layer."),
    ),
    (),
)
PLAIN = FileNames()
BIAS = "e_score_correction_bias"
THREE_CONVOLUTIONS = ("conv1d", ("q_conv1d", "k_conv1d", "v_conv1d"))
FORGET_GATE = ("f_a_proj", "f_b_proj", "A_log", "dt_bias")
FILES: Mapping[str, FileNames] = {
    "afmoe": PLAIN,
    "aria_text": FileNames(
        (
            (".experts.gate_up_proj", ".experts.fc1.weight"),
            (".experts.down_proj", ".experts.fc2.weight"),
        ),
        (),
    ),
    "deepseek_v2": PLAIN,
    "deepseek_v3": PLAIN,
    "dots1": PLAIN,
    "ernie4_5_moe": FileNames(((".gate.moe_statics.", ".moe_statics."),)),
    "exaone_moe": FileNames(((f".gate.{BIAS}", f".{BIAS}"),)),
    "flex_olmo": PLAIN,
    "flint": FileNames(((".self_attn.sinks", ".self_attn.softmax_offset"),)),
    "glm4_moe": PLAIN,
    "glm4_moe_lite": PLAIN,
    "granitemoe": GRANITE,
    "granitemoehybrid": GRANITE,
    "granitemoeshared": GRANITE,
    "hunyuan_v1_moe": PLAIN,
    "hy_v3": FileNames(
        (
            (f".mlp.{BIAS}", ".mlp.expert_bias"),
            (".mlp.gate.", ".mlp.router.gate."),
            (".shared_experts.", ".shared_mlp."),
        )
    ),
    "jamba": PLAIN,
    "kimi_linear": FileNames(
        (
            *((f".forget_gate.{one}", f".{one}") for one in FORGET_GATE),
            *MIXTRAL.renames,
        ),
        MIXTRAL.each,
        joined=THREE_CONVOLUTIONS,
    ),
    "kolibri1": FileNames(
        (
            (f".mlp.gate.{BIAS}", ".moe.router.expert_bias"),
            (".post_self_attn_layernorm.", ".post_attn_norm."),
            (".post_mlp_layernorm.", ".post_ffn_norm."),
        )
    ),
    "lfm2_moe": FileNames((), MIXTRAL.each),
    "mellum": PLAIN,
    "minimax": MIXTRAL,
    "minimax_m2": MIXTRAL,
    "mixtral": MIXTRAL,
    "nemotron_h": FileNames((("model.", "backbone."),), GATE_UP_DOWN[1:]),
    "olmo_hybrid": FileNames(
        (
            (".input_layernorm.", ".attention_layer_norm."),
            (".post_attention_layernorm.", ".feedforward_layer_norm."),
        ),
        (),
        joined=THREE_CONVOLUTIONS,
    ),
    "olmoe": PLAIN,
    "phimoe": FileNames(
        ((".mlp.router.", ".block_sparse_moe.gate."), *MIXTRAL.renames), MIXTRAL.each
    ),
    "qwen2_moe": PLAIN,
    "qwen3_5_moe_text": PLAIN,
    "qwen3_moe": PLAIN,
    "qwen3_next": PLAIN,
    "solar_open": PLAIN,
    "switch_transformers": FileNames((), ("wi", "wo"), "expert_"),
}
"""The families whose files differ from what `transformers` holds in memory."""


def experts_apart(tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Tensors as they lie in memory, under the names and in the pieces of files.

    >>> stacked = {"a.mlp.experts.down_proj": torch.zeros(2, 4, 3)}
    >>> list(experts_apart(stacked, "olmoe"))
    ['a.mlp.experts.0.down_proj.weight', 'a.mlp.experts.1.down_proj.weight']
    """
    if family not in FILES:
        return dict(tensors)
    names, apart = FILES[family], {}
    whole, pieces = names.joined
    for name, tensor in tensors.items():
        if whole and f".{whole}." in name:
            names_apart = [name.replace(f".{whole}.", f".{one}.") for one in pieces]
            of = (one.replace("_conv1d.", "_proj.") for one in names_apart)
            parts = tensor.split([len(tensors[one]) for one in of])
            apart |= {
                one: part.contiguous()
                for one, part in zip(names_apart, parts, strict=True)
            }
            continue
        prefix, _, last = _renamed(name, names.renames).rpartition(".")
        kinds = names.stacks.get(last) if prefix.endswith(".experts") else None
        if kinds is not None:
            for kind, part in zip(kinds, tensor.chunk(len(kinds), 1), strict=True):
                for index, one in enumerate(part):
                    own = f"{prefix}.{names.number}{index}.{kind}.weight"
                    apart[own] = one.contiguous()
        else:
            apart[f"{prefix}.{last}"] = tensor
    return apart


def stacked_experts(tensors: Mapping[str, Tensor], family: str) -> Mapping[str, Tensor]:
    """The tensors of a file, read when they are asked for, as they lie in memory. What
    is stacked already stays as it is.

    Raises:
        ValueError: later, when a stack is read and an expert is missing.
    """
    return tensors if family not in FILES else _Stacked(tensors, FILES[family])


class _Stacked(Mapping[str, Tensor]):
    """Experts of a file, stacked; other tensors under their names in memory."""

    def __init__(self, tensors: Mapping[str, Tensor], names: FileNames) -> None:
        self._tensors = tensors
        self._stacks: dict[str, dict[str, dict[int, str]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self._plain: dict[str, str] = {}
        self._joined: dict[str, list[str]] = defaultdict(list)
        whole, pieces = names.joined
        back = [(theirs, ours) for ours, theirs in names.renames]
        self._kinds = names.stacks
        each = "|".join(names.each) or "none"
        pattern = rf"(.*\.experts)\.{names.number}(\d+)\.({each})\.weight"
        for name in sorted(tensors, key=lambda name: _place(name, pieces)):
            found, piece = re.fullmatch(pattern, name), _place(name, pieces)
            if piece < len(pieces):
                own = name.replace(f".{pieces[piece]}.", f".{whole}.")
                self._joined[own].append(name)
            elif found is None:
                self._plain[_renamed(name, back)] = name
            else:
                place = next(
                    stack for stack, kinds in self._kinds.items() if found[3] in kinds
                )
                stack = f"{_renamed(found[1] + '.', back)}{place}"
                self._stacks[stack][found[3]][int(found[2])] = name

    def __getitem__(self, name: str) -> Tensor:
        if name in self._joined:
            return torch.cat([self._tensors[piece] for piece in self._joined[name]])
        if name not in self._stacks:
            return self._tensors[self._plain[name]]
        kinds = self._kinds[name.rpartition(".")[2]]
        return torch.cat([self._stack(name, kind) for kind in kinds], 1)

    def _stack(self, name: str, kind: str) -> Tensor:
        found = self._stacks[name].get(kind, {})
        if sorted(found) != list(range(len(found))) or not found:
            raise ValueError(
                f"{name}: of the experts' {kind} the file has {sorted(found)}"
            )
        return torch.stack([self._tensors[found[i]] for i in range(len(found))])

    def __iter__(self) -> Iterator[str]:
        yield from self._plain
        yield from self._joined
        yield from self._stacks

    def __len__(self) -> int:
        return len(self._plain) + len(self._joined) + len(self._stacks)


def _place(name: str, pieces: tuple[str, ...]) -> int:
    """Which of the pieces a tensor belongs to, by its name; behind all, to none."""
    found = (index for index, one in enumerate(pieces) if f".{one}." in name)
    return next(found, len(pieces))


def _renamed(name: str, pairs) -> str:
    """The name with the first of these parts that it has replaced, unless what would
    stand there stands there already.
    """
    for old, new in pairs:
        there = len(new) > len(old) and new in name
        if old in name and not there:
            return name.replace(old, new, 1)
    return name
