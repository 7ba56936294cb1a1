"""Rotary position embedding (RoPE): turn pairs of coordinates by an angle that grows
with the position.

Symbols: p a position, k the head width, theta the base, i a pair's index, w_i its speed
in radians a token. The paper writes theta_i for the speed and m, n for positions. A
query at p and a key at q, each turned by its own position, have a product that depends
on p - q only.

Two layouts of the pairs are in use. `rotate_half` (NeoX): coordinate i pairs with
i + k/2 (Hugging Face's Llama and its kin). `interleaved`: 2i pairs with 2i + 1 (the
paper, Meta's LLaMA, GPT-J, DeepSeek).

Terms:
    RoPE, rotary position embedding, rotary positions: pairs of coordinates turn by an
        angle that grows with the position, so a score depends on the distance -> Rope,
        apply_rope
    rotate-half pairing, NeoX pairing, interleaved pairing: which two coordinates turn
        together: i with i + k/2, or 2i with 2i + 1 -> apply_rope_naive
    RoPE base, rope theta: the base whose powers are the speeds; a larger one turns more
        slowly -> Rope.frequencies
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.positions.rope_scaling import (
    FOLLOW_LENGTH,
    checked_scaling,
    scaled_speeds,
)
from course_lib.layers.positions.stretch import stretch

PAIRINGS = ("rotate_half", "interleaved")


@dataclass(frozen=True, kw_only=True)
class Rope:
    """How one kind of layer turns its queries and keys.

    Args:
        dim: how many of the head's first coordinates turn; even. The rest pass through.
        theta: the base; a larger one turns slower and reaches further.
        pairing: "rotate_half" or "interleaved".
        scaling: a context extension: its `rope_type` and that type's options, under the
            names of a config (see `rope_scaling`); None for plain RoPE.
        growth: (beta, L) where queries grow with their position (Ministral 3, Llama 4),
            see `query_scale`; None for not at all.

    Raises:
        ValueError: `dim` is odd or below 2, `theta` is not positive, `pairing` is
            neither word, `scaling` has an unknown type or a wrong option, or `growth`
            is not two positive numbers.

    *Source*: Su et al. 2021, eq. 15 and 34, arXiv:2104.09864.

    >>> Rope(dim=4).frequencies().tolist()
    [1.0, 0.009999999776482582]
    """

    dim: int
    theta: float = 10_000.0
    pairing: str = "rotate_half"
    scaling: Mapping[str, Any] | None = None
    growth: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        if self.dim < 2 or self.dim % 2:
            raise ValueError(f"dim={self.dim}: allowed are even numbers from 2")
        if self.theta <= 0:
            raise ValueError(f"theta={self.theta}: allowed are positive numbers")
        if self.growth is not None and not all(part > 0 for part in self.growth):
            raise ValueError(f"growth={self.growth}: allowed are two positive numbers")
        _check_pairing(self.pairing)
        checked = checked_scaling(self.scaling, self.dim, self.theta)
        # A frozen mapping has a hash, by which the layers of one kind share tables.
        object.__setattr__(self, "scaling", checked)

    def query_scale(
        self, positions: Int[Tensor, "b t"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "b t 1 1"]:
        """What turned queries are multiplied with, past L positions and again past each
        further L.

        *Equation*: that of `stretch`, not counted from one; 1 without `growth`.

        >>> rope = Rope(dim=2, growth=(1.0, 4))
        >>> rope.query_scale(torch.tensor([[-1, 3, 4]])).flatten().tolist()
        [1.0, 1.0, 1.6931471824645996]
        """
        by, every = self.growth or (0.0, 1)
        return stretch(positions, every, by, dtype, counted=False)

    def frequencies(
        self,
        dtype: torch.dtype = torch.float32,
        device: Any = None,
        length: int | None = None,
    ) -> Float[Tensor, " half"]:
        """Turning speed of each pair in radians a token: w_i = theta^(-2i / dim) where
        nothing is scaled.
        """
        return self.speeds(dtype, device, length)[0]

    def speeds(
        self, dtype: torch.dtype, device: Any = None, length: int | None = None
    ) -> tuple[Float[Tensor, " half"], float]:
        """The same, and the attention factor on cosines and sines.

        `length`: tokens seen, for a scaling that follows it; None for any number up to
        the length trained on.
        """
        exponents = torch.arange(0, self.dim, 2, dtype=dtype, device=device) / self.dim
        if self.scaling is None:
            return 1.0 / (self.theta**exponents), 1.0
        return scaled_speeds(exponents, self.theta, self.scaling, length)

    def tables(
        self, positions: Int[Tensor, "b t"], dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "b t 1 rot"], Float[Tensor, "b t 1 rot"]]:
        """Cosine and signed sine of every coordinate's angle, ready for
        `apply_rope`.

        A scaling that follows the length sees that of the longest row of this call.
        """
        kind = None if self.scaling is None else self.scaling["rope_type"]
        length = int(positions.max()) + 1 if kind in FOLLOW_LENGTH else None
        speeds, factor = self.speeds(_wide(dtype), positions.device, length)
        return rope_tables(positions, speeds, self.pairing, dtype, factor)


def rope_tables(
    positions: Int[Tensor, "b t"],
    frequencies: Float[Tensor, " half"],
    pairing: str = "rotate_half",
    dtype: torch.dtype = torch.float32,
    attention_factor: float = 1.0,
) -> tuple[Float[Tensor, "b t 1 rot"], Float[Tensor, "b t 1 rot"]]:
    """Cosine and signed sine of every coordinate's angle.

    The first coordinate x1 of a pair becomes x1 cos - x2 sin and the second x2 cos + x1
    sin. With the minus sign kept in the table, both read: own * cos + partner * sin.

    Args:
        positions: of the tokens; padding (-1) gets some angle, and nothing attends to
            it.
        frequencies: radians a token of each pair.
        pairing: "rotate_half" or "interleaved".
        dtype: of the tables; angles are worked out in float32 at least.
        attention_factor: both tables are multiplied by it (YaRN, LongRoPE).

    Returns:
        (cos, sin), each [b t 1 2*half], with an axis of one for the heads.
    """
    angle = positions[:, :, None, None].to(frequencies.dtype) * frequencies
    cos = (angle.cos() * attention_factor).to(dtype)
    sin = (angle.sin() * attention_factor).to(dtype)
    return _to_pairs(cos, cos, pairing), _to_pairs(-sin, sin, pairing)


def apply_rope(
    x: Float[Tensor, "b t h k"],
    cos: Float[Tensor, "b t 1 rot"],
    sin: Float[Tensor, "b t 1 rot"],
    pairing: str = "rotate_half",
) -> Float[Tensor, "b t h k"]:
    """Turn the first `rot` coordinates of every head; the others pass through.

    *Equation*: y = x * cos + partner(x) * sin, the sign of the turn kept in `sin`.

    Args:
        x: queries or keys.
        cos, sin: from `rope_tables` or `Rope.tables`, with the same `pairing`.
        pairing: "rotate_half" or "interleaved".

    Raises:
        ValueError: `rot` is larger than the head width, or `pairing` is another word.

    *Cost*: 3 rot FLOPs a head and token, no parameters, no state.
    *Source*: Su et al. 2021, eq. 34, arXiv:2104.09864.

    >>> cos, sin = Rope(dim=2).tables(torch.tensor([[0, 1]]))
    >>> x = torch.tensor([1.0, 0.0]).expand(1, 2, 1, 2)
    >>> turned = apply_rope(x, cos, sin)[0, 1, 0]
    >>> [round(number, 4) for number in turned.tolist()]  # cos 1, sin 1
    [0.5403, 0.8415]
    """
    rot, width = cos.shape[-1], x.shape[-1]
    if rot > width:
        raise ValueError(f"rope dim={rot}: allowed is at most the head width {width}")
    if rot == width:
        return torch.addcmul(x * cos, _partner(x, pairing), sin)
    turned, kept = x[..., :rot], x[..., rot:]
    return torch.cat(
        (torch.addcmul(turned * cos, _partner(turned, pairing), sin), kept), dim=-1
    )


def apply_rope_naive(
    x: Float[Tensor, "b t h k"], positions: Int[Tensor, "b t"], rope: Rope
) -> Float[Tensor, "b t h k"]:
    """The same turn, one pair at a time: the reference for `apply_rope`."""
    length, out = int(positions.max()) + 1, x.clone()
    speeds, factor = rope.speeds(_wide(x.dtype), x.device, length)
    for i, speed in enumerate(speeds):
        first, second = (
            (2 * i, 2 * i + 1)
            if rope.pairing == "interleaved"
            else (i, i + rope.dim // 2)
        )
        angle = (positions.to(speed.dtype) * speed)[:, :, None]
        cos, sin = (
            (factor * angle.cos()).to(x.dtype),
            (factor * angle.sin()).to(x.dtype),
        )
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., second] * cos + x[..., first] * sin
    return out


def _to_pairs(first: Tensor, second: Tensor, pairing: str) -> Tensor:
    """Lay out the values of each pair's first and second coordinate along the head."""
    _check_pairing(pairing)
    if pairing == "rotate_half":
        return torch.cat((first, second), dim=-1)
    return torch.stack((first, second), dim=-1).flatten(-2)


def _partner(x: Tensor, pairing: str) -> Tensor:
    """Put in every coordinate's place the other one of its pair."""
    _check_pairing(pairing)
    if pairing == "rotate_half":
        return x.roll(x.shape[-1] // 2, dims=-1)
    return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)


def _check_pairing(pairing: str) -> None:
    if pairing not in PAIRINGS:
        raise ValueError(f"pairing={pairing!r}: allowed are {', '.join(PAIRINGS)}")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
