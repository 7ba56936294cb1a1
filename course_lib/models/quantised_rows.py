"""Weights as 8-bit codes with one scale a row, and the model that computes with them.

Symbols: w one row of a matrix (the weights of one output, or of one token's vector), q
its codes, n the largest code, scale the distance between two codes.

    scale = max|w| / n,   q = round(w / scale),   n = 2^(bits - 1) - 1: 127 for 8 bits

    w = [-12.7, 0.32, 6.0]: scale 0.1, q = [-127, 3, 60], back [-12.7, 0.3, 6.0]

Codes lie on both sides of zero, and zero has one of its own. Each row has a scale
because rows differ in size: with a single scale for the matrix, a small row would be
left with few codes. Vectors (the gains of norms) stay as they are, in float16.

What is computed with are floats again: code times scale. A kernel for 8-bit weights
does that in registers and so reads half the bytes of a 16-bit model.

Source: Dettmers et al. 2022 (LLM.int8()), arXiv:2208.07339: absmax quantisation with a
    scale for each vector.
Differs from source: weights alone are rounded, activations are not.

Terms:
    weight quantisation, quantized weights, int8 weights: weights as 8-bit codes with a
        scale a row -> quantise_rows
    absmax quantisation, scale per row, per-channel quantisation: the largest weight of
        a row gets the largest code -> QuantisedRows
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float16, Int8
from torch import Tensor, nn


@dataclass(frozen=True)
class QuantisedRows:
    """The codes of a matrix and the scale of each of its rows."""

    codes: Int8[Tensor, "r c"]
    scales: Float16[Tensor, " r"]

    @property
    def nbytes(self) -> int:
        """Bytes of both, a code in a byte whatever its bits."""
        return self.codes.nbytes + self.scales.nbytes

    def floats(self) -> Float[Tensor, "r c"]:
        """The weights that the codes stand for, in float32 and exact there: eight bits
        times the eleven of a float16 are nineteen of twenty-four.
        """
        return self.codes.float() * self.scales.float()[:, None]


def quantise_rows(matrix: Float[Tensor, "r c"], bits: int = 8) -> QuantisedRows:
    """Round a matrix to codes, row by row.

    Args:
        matrix: the weights.
        bits: of a code, from 2 to 8.

    Raises:
        ValueError: `bits` lies outside, or a weight is too large for a scale in
        float16.

    *Cost*: r c bytes of codes, 2 r of scales.

    >>> rows = quantise_rows(torch.tensor([[-12.7, 0.32, 6.0], [0.0, 0.0, 0.0]]))
    >>> rows.codes.tolist(), rows.nbytes
    ([[-127, 3, 60], [0, 0, 0]], 10)
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}: allowed are 2 to 8")
    top = 2 ** (bits - 1) - 1
    scales = (matrix.float().abs().amax(1) / top).half()
    if not scales.isfinite().all():
        largest = float(matrix.abs().max())
        raise ValueError(f"matrix holds {largest:g}: allowed are up to {65504 * top:g}")
    steps = scales.float().where(scales > 0, 1.0)[:, None]  # a row of zeros has scale 0
    codes = (matrix.float() / steps).round().clamp(-top, top).to(torch.int8)
    return QuantisedRows(codes, scales)


@torch.no_grad()
def with_quantised_rows(model: nn.Module, bits: int = 8) -> nn.Module:
    """`model` with each of its matrices rounded to codes and back, and its vectors
    rounded to float16. A matrix that two parts share is rounded once.

    >>> layer = with_quantised_rows(nn.Linear(2, 1, bias=False), bits=2)
    >>> len(layer.weight.abs().unique()) <= 2  # the codes -1, 0 and 1, times one scale
    True
    """
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.copy_(quantise_rows(weight, bits).floats())
        else:
            weight.copy_(weight.half())
    return model
