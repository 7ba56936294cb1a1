"""Quantised KV cache: 8 or 4 bits per number, and one scale for each token's head.

Symbols: x one head's key or value (k or v numbers), q its codes, n the largest code,
scale the distance between codes. Papers write s for it and z for the zero point.

    symmetric   scale = 2 max|x| / n,        q = round(x / scale) + n / 2,   n = 254, 14
    asymmetric  scale = (max x - min x) / n, q = round((x - min x) / scale), n = 255, 15

    4 bits, x = [-7.0, 1.2, 3.0]: scale 1, q = [0, 8, 10], back [-7, 1, 3]; no error is
    above scale / 2.

The whole history is turned back into floats on every update. A serving kernel does that
in registers, and so moves only the codes; here the gain is memory, not time.

Source: Liu et al. 2024, KIVI, arXiv:2402.02750, section 3.
Differs from source: KIVI quantises keys by channel, because a few key channels are
always large, and so keeps the latest tokens in full precision until a group is full;
`quantised_channels` does that. Here keys, like values, go token by token.

Codes that are floating-point numbers themselves (fp8, FP4) are in `float_codes`.

Terms:
    quantised cache, quantized cache, int8 cache, int4 cache: keys and values as 8- or
        4-bit codes, with a scale for each token's head -> QuantisedCache
    scale and zero point, asymmetric quantisation: the distance between neighbouring
        codes, and the number that code 0 stands for -> Quantiser
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from course_lib.layers.caches.contract import (
    Codec,
    Entries,
    RowCache,
    check_sizes,
    no_room,
)
from course_lib.layers.caches.nibbles import pack_nibbles, unpack_nibbles
from course_lib.layers.masks import EMPTY


@dataclass(frozen=True)
class Quantiser:
    """How one head's numbers become codes and come back.

    *Equation*: see the head of this module.

    Args:
        bits: 8 or 4.
        symmetric: codes around zero and one number (the scale), or codes from the
            minimum and two numbers (scale and minimum).
        scale_dtype: of the stored scales.

    Raises:
        ValueError: `bits` is neither 8 nor 4.

    *Cost*: ceil(k * bits / 8) bytes a head, and one or two scales; about 5k FLOPs each
        way.
    *Source*: Liu et al. 2024, section 3, arXiv:2402.02750.

    >>> quantiser = Quantiser(bits=4)
    >>> encoded = quantiser.encode(torch.tensor([-7.0, 1.2, 3.0]))
    >>> quantiser.decode(*encoded, width=3).tolist()
    [-7.0, 1.0, 3.0]
    """

    bits: int = 8
    symmetric: bool = True
    scale_dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits={self.bits}: allowed are 4 and 8")

    @property
    def top_code(self) -> int:
        """n: the largest code. Symmetric codes leave one out, so that zero has a code
        of its own.
        """
        return 2**self.bits - (2 if self.symmetric else 1)

    @property
    def scales(self) -> int:
        """Numbers stored beside the codes of one head: the scale, and the minimum
        unless symmetric.
        """
        return 1 if self.symmetric else 2

    def packed_width(self, width: int) -> int:
        """Bytes of `width` codes."""
        return -(-width * self.bits // 8)

    def scale_count(self, width: int) -> int:
        """As `scales`, whatever the width."""
        return self.scales

    def encode(
        self, x: Float[Tensor, "*axes k"]
    ) -> tuple[UInt8[Tensor, "*axes p"], Float[Tensor, "*axes c"]]:
        """Packed codes, and each head's scales in `scale_dtype`: [scale] or [scale,
        minimum].
        """
        minimum, shift = torch.zeros_like(x[..., :1]), self.top_code // 2
        reach = 2 * x.abs().amax(-1, keepdim=True)
        if not self.symmetric:
            minimum = x.amin(-1, keepdim=True).to(self.scale_dtype).to(x.dtype)
            shift = 0
            reach = x.amax(-1, keepdim=True) - minimum
        scale = (reach / self.top_code).to(self.scale_dtype).to(x.dtype)
        # A constant head has scale 0.
        steps = (x - minimum) / scale.where(scale > 0, 1.0)
        codes = (steps.round() + shift).clamp(0, self.top_code).to(torch.uint8)
        scales = torch.cat((scale, minimum)[: self.scales], dim=-1).to(self.scale_dtype)
        return (pack_nibbles(codes) if self.bits == 4 else codes), scales

    def decode(
        self,
        packed: UInt8[Tensor, "*axes p"],
        scales: Float[Tensor, "*axes c"],
        width: int,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "*axes k"]:
        """The numbers that the codes stand for: (q - shift) * scale + minimum."""
        codes = unpack_nibbles(packed, width) if self.bits == 4 else packed
        scales = scales.to(dtype)
        if self.symmetric:
            return (codes.to(dtype) - self.top_code // 2) * scales
        return codes * scales[..., :1] + scales[..., 1:]

    def error_bound(self, scales: Float[Tensor, "*axes c"]) -> Float[Tensor, "*axes 1"]:
        """Largest |x - decoded x| of each head: half a scale, and for a minimum its own
        rounding.
        """
        rounding = torch.finfo(self.scale_dtype).eps / 2
        return scales[..., :1] / 2 + (
            0 if self.symmetric else rounding * scales[..., 1:].abs()
        )


class CodeStore:
    """Codes and scales of keys or of values, for every row and token: [b s g p] and [b
    s g c]; or for whatever comes second, such as groups of tokens.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        quantiser: Codec,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        self.width, self.quantiser, self.dtype = width, quantiser, dtype
        self.codes = torch.zeros(
            *shape, quantiser.packed_width(width), dtype=torch.uint8, device=device
        )
        self.scales = torch.zeros(
            *shape,
            quantiser.scale_count(width),
            dtype=quantiser.scale_dtype,
            device=device,
        )

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes

    def write(self, start: int, x: Tensor) -> None:
        new = slice(start, start + x.shape[1])
        self.codes[:, new], self.scales[:, new] = self.quantiser.encode(x)

    def read(self, stop: int) -> Tensor:
        return self.quantiser.decode(
            self.codes[:, :stop], self.scales[:, :stop], self.width, self.dtype
        )


class QuantisedCache(RowCache):
    """A contiguous layer cache that keeps codes, and hands out what they decode to.

    Args:
        batch: rows b.
        capacity: tokens a row can hold.
        kv_heads: g.
        head_dim: k.
        value_dim: v; k unless said.
        quantiser: how; 8 bits, symmetric, float32 steps unless said.
        value_quantiser: how for the values; as the keys unless said.
        dtype: of the keys and values that `update` takes and returns.
        device: where the codes lie.

    Raises:
        ValueError: `batch` or `capacity` is below 1.

    *Cost*: batch * capacity * g * (ceil(k bits / 8) + ceil(v bits / 8) + 2 * scales *
        scale bytes) bytes.
    *Source*: Liu et al. 2024, section 3, arXiv:2402.02750.
    *Differs from source*: one scale for each token and head, for keys too; nothing
        stays in full precision.

    >>> QuantisedCache(1, 10, kv_heads=2, head_dim=64).nbytes
    2720
    >>> 10 * 2 * (64 + 64 + 2 * 4)
    2720
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        *,
        quantiser: Codec = Quantiser(),
        value_quantiser: Codec | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        check_sizes({"batch": batch, "capacity": capacity})
        shape = (batch, capacity, kv_heads)
        kind = {"dtype": dtype, "device": device}
        self.keys = CodeStore(shape, head_dim, quantiser, **kind)
        self.values = CodeStore(
            shape, value_dim or head_dim, value_quantiser or quantiser, **kind
        )
        self.positions = torch.full((batch, capacity), EMPTY, device=device)
        self.capacity = capacity

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and scales, for all of the capacity."""
        return self.keys.nbytes + self.values.nbytes

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self.positions = change(self.positions)
        for store in (self.keys, self.values):
            store.codes, store.scales = change(store.codes), change(store.scales)

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Encode the new tokens, and decode all s stored ones; the new ones too come
        back rounded.

        Raises:
            ValueError: more tokens than the capacity, or another shape. Then nothing
            has changed.

        *Cost*: encodes t tokens a row and decodes s.
        """
        start, stop = self.length, self.length + keys.shape[1]
        if stop > self.capacity:
            raise no_room(keys.shape[1], start, self.capacity)
        for name, new in (("keys", keys), ("values", values)):
            store = getattr(self, name)
            want = (*store.codes[:, start:stop].shape[:3], store.width)
            if new.shape != want:
                raise ValueError(
                    f"{name} has shape {tuple(new.shape)}: this cache takes {want}"
                )
        self.keys.write(start, keys)
        self.values.write(start, values)
        self.positions[:, start:stop] = positions
        self.length = stop
        return self.keys.read(stop), self.values.read(stop), self.positions[:, :stop]
