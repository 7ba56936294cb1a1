"""The per-forward cache: what the layers of one forward pass share, and what they leave
for the model.

Layers of one kind need the same rotary tables and the same mask. The first of them has
them made, the others look them up:

    per_forward.rope_tables.get(rope) or per_forward.make_rope_tables(...)
    per_forward.for_sdpa.get(kind) or per_forward.make_for_sdpa(...)

A model makes one `PerForward` for each forward pass and hands it down. A layer called
alone makes its own.

A layer may also leave values beside the stream: a loss that balances experts, a
router's statistics. They lie under the number of the layer that is running, and the
model hands them out.

Terms:
    per-forward cache: rotary tables and masks of one forward pass, made once for all
        layers -> PerForward
    auxiliary loss, router statistics: values that layers leave beside the residual
        stream -> Auxiliary
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.masks import MaskMod, sdpa_mask, sliding_window
from course_lib.layers.positions.rope import Rope

Tables = tuple[Float[Tensor, "b t 1 rot"], Float[Tensor, "b t 1 rot"]]
ForSDPA = tuple[Bool[Tensor, "b t s"] | None, bool, Float[Tensor, "b h t s"] | None]


class MaskKind(NamedTuple):
    """What a mask, and a bias on the scores, hang on beside the positions; layers that
    agree in all of it share them.

    Attributes:
        mask_mod, window: which query attends to which key; the window, if any, holds on
            top.
        position_bias: the module that adds to the scores.
        keys_from: the kind of cache that the keys come from; caches order them in
            different ways.
        keys: s, how many there are.
    """

    mask_mod: MaskMod
    window: int | None
    position_bias: nn.Module | None
    keys_from: type
    keys: int


@dataclass(frozen=True)
class Auxiliary:
    """What layers left beside the stream, by (layer, name).

    Attributes:
        losses: scalars to be added to the training loss, already weighted.
        statistics: anything else, such as tokens for each expert.
    """

    losses: dict[tuple[int, str], Float[Tensor, ""]] = field(default_factory=dict)
    statistics: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The sum of the losses; zero if there are none."""
        return sum(self.losses.values(), start=torch.zeros(()))


class PerForward:
    """The tables and masks of one forward pass, each made once.

    Args:
        tokens, positions: of this pass, for layers that are given neither: hashed
            routing and memories look tokens up, and a router leaves out padding, which
            stands at position -1.

    Attributes:
        layer: the number of the layer that is running; a model counts it up.
        rope_tables: cosines and sines, by `Rope`.
        masks: bool [b t s], by `MaskKind`.
        for_sdpa: (mask, causal, bias), what `attend_sdpa` is told, by `MaskKind`.
        picked: which keys the last indexer chose, for layers that have none.
        auxiliary: what the layers left.

    >>> from course_lib.layers.masks import CAUSAL
    >>> per_forward, positions = PerForward(), torch.tensor([[0, 1, 2]])
    >>> kind = MaskKind(CAUSAL, 2, None, type(None), keys=3)
    >>> mask, causal, bias = per_forward.make_for_sdpa(kind, positions, positions)
    >>> mask.int().tolist(), kind in per_forward.for_sdpa
    ([[[1, 0, 0], [1, 1, 0], [0, 1, 1]]], True)
    """

    def __init__(
        self,
        tokens: Int[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "b t"] | None = None,
    ) -> None:
        self.layer, self.tokens, self.positions = 0, tokens, positions
        self.rope_tables: dict[Rope, Tables] = {}
        self.masks: dict[MaskKind, Bool[Tensor, "b t s"]] = {}
        self.for_sdpa: dict[MaskKind, ForSDPA] = {}
        self.picked: Bool[Tensor, "b t s"] | None = None
        self.auxiliary = Auxiliary()

    def make_rope_tables(
        self, rope: Rope, positions: Int[Tensor, "b t"], dtype: torch.dtype
    ) -> Tables:
        """Cosines and sines of the positions, for all layers that turn by `rope`."""
        tables = self.rope_tables[rope] = rope.tables(positions, dtype)
        return tables

    def mask(
        self,
        kind: MaskKind,
        positions: Int[Tensor, "b t"],
        key_positions: Int[Tensor, "b s"],
    ) -> Bool[Tensor, "b t s"]:
        """The mask of this kind, made at the first call."""
        if kind not in self.masks:
            mask_mod = kind.mask_mod
            if kind.window is not None:
                mask_mod = mask_mod & sliding_window(kind.window)
            self.masks[kind] = mask_mod.mask(positions, key_positions)
        return self.masks[kind]

    def make_for_sdpa(
        self,
        kind: MaskKind,
        positions: Int[Tensor, "b t"],
        key_positions: Int[Tensor, "b s"],
        dtype: torch.dtype = torch.float32,
    ) -> ForSDPA:
        """What SDPA is told, for all layers of this kind: a mask, or that the causal
        one will do, or a bias, which is minus infinity where a query does not attend.
        """
        mask = self.mask(kind, positions, key_positions)
        if kind.position_bias is None:
            told = (*sdpa_mask(mask), None)
        else:
            bias = kind.position_bias(positions, key_positions).to(dtype)
            told = None, False, bias.masked_fill(~mask[:, None], float("-inf"))
        self.for_sdpa[kind] = told
        return told

    def add_loss(self, name: str, loss: Float[Tensor, ""]) -> None:
        """Leave a loss of the running layer, weighted as it is to be added."""
        self.auxiliary.losses[self.layer, name] = loss

    def add_statistic(self, name: str, value: Tensor) -> None:
        """Leave some other value of the running layer."""
        self.auxiliary.statistics[self.layer, name] = value
