"""Two 4-bit codes in a byte.

Terms:
    int4 packing, nibbles: two 4-bit codes in a byte -> pack_nibbles, unpack_nibbles
"""

import torch
from jaxtyping import UInt8
from torch import Tensor


def pack_nibbles(codes: UInt8[Tensor, "*axes k"]) -> UInt8[Tensor, "*axes half"]:
    """Two 4-bit codes to a byte, the first in the low half; an odd last one stands
    alone.

    >>> codes = torch.tensor([1, 2, 15], dtype=torch.uint8)
    >>> pack_nibbles(codes).tolist()  # 1 + 16 * 2, 15
    [33, 15]
    """
    even = torch.nn.functional.pad(codes, (0, codes.shape[-1] % 2))
    return even[..., 0::2] | even[..., 1::2] << 4


def unpack_nibbles(
    packed: UInt8[Tensor, "*axes half"], width: int
) -> UInt8[Tensor, "*axes k"]:
    """The first `width` codes of `pack_nibbles`.

    >>> unpack_nibbles(torch.tensor([33, 15], dtype=torch.uint8), 3).tolist()
    [1, 2, 15]
    """
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)[..., :width]
