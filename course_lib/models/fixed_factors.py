"""Fixed factors on what a layer's matrices take in and give out (Falcon-H1's
multipliers): they are in the config and not learned, and stand where the matrices do.

Symbols: W a matrix, a a factor on its input, b a factor on its output, a number or one
for each output.

    y = b * W (a * x)

A factor could be multiplied into its matrix beforehand. It is kept apart, so that the
weights are those of the checkpoint, and train at its scale.

Source: Zuo et al. 2025, Falcon-H1, arXiv 2507.22448 (maximal update parametrisation).

Terms:
    fixed factors, multipliers of muP, forward multiplier: numbers of the config on
        inputs and outputs of matrices -> FactoredLinear, apply_factors
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.layers.attention.layer import Attention
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.recurrent.mamba2 import Mamba2
from course_lib.models.parallel_mixers import ParallelMixers
from course_lib.specs.records import LayerSpec, SideSpec

STATE_PARTS = ("state gate", "state values", "state B", "state C", "state step")
"""What the way into Mamba-2 gives, in its order."""
PLACES = (
    *("attention in", "attention out", "keys", "state in", "state out"),
    *STATE_PARTS,
    *("network gate", "network out"),
)
"""Every place that a factor may stand on."""


class FactoredLinear(nn.Linear):
    """A matrix with fixed factors on its input and its output.

    Args:
        linear: whose weight and bias it takes over.
        before, after: a, and b, a number or one for each output.

    >>> double = FactoredLinear(nn.Linear(2, 1, bias=False), before=2.0)
    >>> torch.equal(double(torch.ones(2)), 2 * double.weight.sum(1))
    True
    """

    def __init__(
        self, linear: nn.Linear, *, before: float = 1.0, after: float | Tensor = 1.0
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.before = before
        self.register_buffer(
            "after", torch.as_tensor(after, dtype=torch.float64), persistent=False
        )

    def forward(self, x: Float[Tensor, "*axes i"]) -> Float[Tensor, "*axes o"]:
        return super().forward(x * self.before) * self.after.to(x.dtype)


def factors_of(sides: Sequence[SideSpec]) -> dict[str, float]:
    """The factors of a layer by their places.

    Raises:
        ValueError: a side part is no factor, or stands on a place that is not known.
    """
    unknown = [side.words for side in sides if side.place not in PLACES]
    if unknown:
        raise ValueError(
            f"sides={', '.join(unknown)}: supported are layers without side parts, and "
            "fixed factors"
        )
    return {side.place: side.factor for side in sides}


def apply_factors(layer: LayerSpec, mixer: nn.Module, ffn: nn.Module | None) -> None:
    """Put a layer's factors on the matrices of its two parts.

    Raises:
        ValueError: as `factors_of`, or the layer is not of Falcon-H1's form: attention
            beside Mamba-2, and a gated network.
    """
    found = factors_of(layer.sides)
    if not found:
        return
    parts = list(mixer.mixers) if isinstance(mixer, ParallelMixers) else [mixer]
    if list(map(type, parts)) != [Attention, Mamba2] or not isinstance(ffn, GatedMLP):
        raise ValueError(
            f"sides={', '.join(found)}: supported are factors on attention beside "
            "Mamba-2 and a gated network"
        )
    _on_attention(parts[0], found)
    _on_state(parts[1], found)
    ffn.gate = FactoredLinear(ffn.gate, after=found.get("network gate", 1.0))
    ffn.down = FactoredLinear(ffn.down, after=found.get("network out", 1.0))


def _on_attention(attention: Attention, found: Mapping[str, float]) -> None:
    before = found.get("attention in", 1.0)
    attention.wq = FactoredLinear(attention.wq, before=before)
    attention.wk = FactoredLinear(
        attention.wk, before=before, after=found.get("keys", 1.0)
    )
    attention.wv = FactoredLinear(attention.wv, before=before)
    attention.wo = FactoredLinear(attention.wo, after=found.get("attention out", 1.0))


def _on_state(mamba: Mamba2, found: Mapping[str, float]) -> None:
    heads, shared = len(mamba.skip), mamba.groups * mamba.state
    inner = heads * mamba.head_dim
    widths = torch.tensor([inner, inner, shared, shared, heads])
    factors = [found.get(part, 1.0) for part in STATE_PARTS]
    parts = torch.tensor(factors, dtype=torch.float64)
    mamba.w_in = FactoredLinear(
        mamba.w_in,
        before=found.get("state in", 1.0),
        after=parts.repeat_interleave(widths),
    )
    mamba.w_out = FactoredLinear(mamba.w_out, after=found.get("state out", 1.0))
