"""Floating-point codes for a KV cache: fp8 (E4M3) and FP4 (E2M1 in blocks, MXFP4).

Symbols: x one head's key or value (k or v numbers), q its codes.

    integer codes (`quantised`)  equal steps over the whole range of a head
    fp8, E4M3                    4 exponent and 3 fraction bits: as fine at
                                 every magnitude; up to 448
    FP4, E2M1                    0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign; 32 share
                                 a power of two, kept in one byte

    fp8, x = [0.3, 100.0], no scale: back [0.3125, 96.0]

An integer code errs by the same amount everywhere, a floating-point code by the same
*share* of each number. So one large channel does not set the step of the others.

Serving engines store fp8 with a scale for each tensor or KV head that was calibrated
beforehand, or with none (scale 1). `Fp8(scaled=True)` takes each token's head by
itself, which no calibration can better.

Source: Micikevicius et al. 2022, arXiv:2209.05433 (E4M3); OCP Microscaling Formats
specification v1.0, section 5 (E2M1, E8M0 block scales).

Terms:
    fp8 cache, E4M3, float8: keys and values as 8-bit floating-point numbers -> Fp8
    FP4 cache, E2M1, MXFP4, microscaling: 4-bit floating-point numbers, 32 of which
        share a power of two -> Mxfp4
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_lib.layers.caches.nibbles import pack_nibbles, unpack_nibbles

LARGEST_E4M3 = 448.0
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The magnitudes of E2M1, in the order of their codes."""


@dataclass(frozen=True)
class Fp8:
    """8-bit floating-point codes, E4M3.

    *Equation*: q = fp8(x / scale), scale = max|x| / 448, or 1 when not `scaled`.

    Args:
        scaled: one scale for each token's head, or none at all.
        scale_dtype: of the stored scales.

    *Cost*: k bytes a head, and one scale.
    *Source*: Micikevicius et al. 2022, arXiv:2209.05433.

    >>> codes, scales = Fp8(scaled=False).encode(torch.tensor([0.3, 100.0, 1e4]))
    >>> Fp8(scaled=False).decode(codes, scales, width=3).tolist()  # 1e4 is cut off
    [0.3125, 96.0, 448.0]
    """

    scaled: bool = True
    scale_dtype: torch.dtype = torch.float32

    def packed_width(self, width: int) -> int:
        """A byte a number."""
        return width

    def scale_count(self, width: int) -> int:
        """One, or none."""
        return int(self.scaled)

    def encode(
        self, x: Float[Tensor, "*axes k"]
    ) -> tuple[UInt8[Tensor, "*axes k"], Float[Tensor, "*axes c"]]:
        """The codes' bytes, and each head's scale."""
        scale = x.abs().amax(-1, keepdim=True) / LARGEST_E4M3
        scale = scale.to(self.scale_dtype)
        if self.scaled:
            x = x / scale.where(scale > 0, 1.0).to(x.dtype)
        codes = x.clamp(-LARGEST_E4M3, LARGEST_E4M3).to(torch.float8_e4m3fn)
        return codes.view(torch.uint8), scale[..., : self.scale_count(x.shape[-1])]

    def decode(
        self,
        packed: UInt8[Tensor, "*axes k"],
        scales: Float[Tensor, "*axes c"],
        width: int,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "*axes k"]:
        """The numbers that the codes stand for: q * scale."""
        numbers = packed.contiguous().view(torch.float8_e4m3fn).to(dtype)
        return numbers * scales.to(dtype) if self.scaled else numbers


@dataclass(frozen=True)
class Mxfp4:
    """4-bit floating-point codes, E2M1, with a power of two for each block.

    *Equation*: scale = 2^(floor(log2 max|x|) - 2) of a block, q = e2m1(x / scale).

    Args:
        block: numbers that share a scale.

    Raises:
        ValueError: `block` is below 1.

    *Cost*: ceil(k / 2) bytes a head, and one for each block.
    *Source*: OCP Microscaling Formats specification v1.0, sections 5 and 6.
    *Differs from source*: the exponent of an all-zero block is the smallest one.

    >>> codes, scales = Mxfp4(block=4).encode(torch.tensor([0.1, -1.4, 5.0, 6.9]))
    >>> scales.tolist()  # 2^0, by its exponent + 127
    [127]
    >>> Mxfp4(block=4).decode(codes, scales, width=4).tolist()  # 6.9 is cut off
    [0.0, -1.5, 4.0, 6.0]
    """

    block: int = 32
    scale_dtype: torch.dtype = torch.uint8

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block={self.block}: allowed are 1 and more")

    def packed_width(self, width: int) -> int:
        """Two numbers a byte."""
        return -(-width // 2)

    def scale_count(self, width: int) -> int:
        """One byte a block; the last block may be short."""
        return -(-width // self.block)

    def _blocks(self, x: Tensor) -> Tensor:
        missing = self.scale_count(x.shape[-1]) * self.block - x.shape[-1]
        return torch.nn.functional.pad(x, (0, missing)).unflatten(-1, (-1, self.block))

    def encode(
        self, x: Float[Tensor, "*axes k"]
    ) -> tuple[UInt8[Tensor, "*axes p"], UInt8[Tensor, "*axes c"]]:
        """Packed codes, and each block's exponent + 127."""
        width, blocks = x.shape[-1], self._blocks(x)
        largest = blocks.abs().amax(-1, keepdim=True)
        exponent = torch.frexp(largest).exponent - 1 - 2  # 2^2 <= 4 and 6 < 2^3
        exponent = exponent.where(largest > 0, -127).clamp(-127, 127)
        steps = torch.ldexp(blocks, -exponent)
        magnitudes = torch.tensor(E2M1, dtype=x.dtype, device=x.device)
        halfway = (magnitudes[1:] + magnitudes[:-1]) / 2
        codes = torch.bucketize(steps.abs(), halfway) + 8 * (steps < 0)
        packed = pack_nibbles(codes.to(torch.uint8).flatten(-2)[..., :width])
        return packed, (exponent + 127)[..., 0].to(torch.uint8)

    def decode(
        self,
        packed: UInt8[Tensor, "*axes p"],
        scales: UInt8[Tensor, "*axes c"],
        width: int,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "*axes k"]:
        """The numbers that the codes stand for: q * scale."""
        levels = torch.tensor((*E2M1, *(-m for m in E2M1)), dtype=dtype)
        numbers = levels.to(packed.device)[unpack_nibbles(packed, width).long()]
        exponent = scales.to(torch.int32)[..., None] - 127
        return torch.ldexp(self._blocks(numbers), exponent).flatten(-2)[..., :width]
