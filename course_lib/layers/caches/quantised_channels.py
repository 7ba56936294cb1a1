"""Quantised KV cache with key scales by channel, as in KIVI: several tokens of one
channel share a scale, so that a channel which is large at every token stretches its own
step only.

Symbols: b batch, s tokens, g KV groups, k key width; `group` tokens share a key scale.

    by token    scale over the k numbers of one token's head    (`QuantisedCache`)
    by channel  scale over `group` tokens of one of k channels  (here, keys only)

    keys [s k] = [[1, 50], [2, 52], [3, 54], [4, 56]], group 4, codes 0 to 3:
    by channel the steps are 1 and 2; by token they are near 16.

A group's scale can be known only when its tokens are there. Until then the newest keys
wait in full precision: at most group - 1 of them between two updates.

Source: Liu et al. 2024, KIVI, arXiv:2402.02750, section 3.
Differs from source: values have no window of full precision. A prompt attends to
rounded keys already; KIVI's prompt attends to exact ones and rounds what it leaves.

Terms:
    per-channel key quantisation, KIVI: key scales along the tokens of one channel, the
        newest tokens in full precision -> ChannelCache
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contract import Entries, RowCache, check_sizes, no_room
from course_lib.layers.caches.quantised import CodeStore, Quantiser
from course_lib.layers.masks import EMPTY

FOUR_BITS = Quantiser(4, symmetric=False, scale_dtype=torch.float16)


class ChannelCache(RowCache):
    """A contiguous layer cache with key scales by channel and value scales by token.

    Args:
        batch: rows b.
        capacity: tokens a row can hold.
        kv_heads: g.
        head_dim: k.
        value_dim: v; k unless said.
        group: tokens that share a key scale.
        quantiser: of a group's numbers and of a value's; 4 bits, asymmetric, float16
            scales unless said.
        dtype: of the keys and values that `update` takes and returns.
        device: where the codes lie.

    Raises:
        ValueError: `batch`, `capacity` or `group` is below 1.

    *Cost*: for each `group` tokens and KV head, k * (group bits / 8 + scales) bytes of
        keys; one group in full precision; values as in `QuantisedCache`.
    *Source*: Liu et al. 2024, section 3, arXiv:2402.02750.

    >>> cache = ChannelCache(1, 8, kv_heads=1, head_dim=2, group=4)
    >>> keys = torch.tensor([[1.0, 50.0], [2.0, 52.0], [3.0, 54.0], [4.0, 56.0]])
    >>> keys = keys[None, :, None]
    >>> back, _, _ = cache.update(keys, keys, torch.arange(4)[None])
    >>> bool((back - keys).abs().max() < 0.01)
    True
    """

    def __init__(
        self,
        batch: int,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        *,
        group: int = 32,
        quantiser: Quantiser = FOUR_BITS,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        check_sizes({"batch": batch, "capacity": capacity})
        check_sizes({"group": group})
        kind = {"dtype": dtype, "device": device}
        whole = (batch, capacity // group, kv_heads, head_dim)
        self.keys = CodeStore(whole, group, quantiser, **kind)
        self.waiting = torch.zeros(batch, group, kv_heads, head_dim, **kind)
        self.values = CodeStore(
            (batch, capacity, kv_heads), value_dim or head_dim, quantiser, **kind
        )
        self.positions = torch.full((batch, capacity), EMPTY, device=device)
        self.capacity, self.group = capacity, group

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and waiting keys, for all of the capacity."""
        return self.keys.nbytes + self.waiting.nbytes + self.values.nbytes

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        self.positions, self.waiting = change(self.positions), change(self.waiting)
        for store in (self.keys, self.values):
            store.codes, store.scales = change(store.codes), change(store.scales)

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Take in the new tokens, encode every group of keys that is now full, and
        return all s tokens as they are stored.

        Raises:
            ValueError: more tokens than the capacity, or another shape. Then nothing
            has changed.

        *Cost*: encodes t tokens a row and decodes s.
        """
        start, stop = self.length, self.length + keys.shape[1]
        if stop > self.capacity:
            raise no_room(keys.shape[1], start, self.capacity)
        self._check(keys, values)
        loose = torch.cat((self.waiting[:, : start % self.group], keys), dim=1)
        first, full = start // self.group, loose.shape[1] // self.group
        split = full * self.group
        # [b groups g k group]: a row of codes runs along the tokens of one channel
        blocks = loose[:, :split].unflatten(1, (full, self.group)).movedim(2, -1)
        self.keys.write(first, blocks)
        self.waiting[:, : loose.shape[1] - split] = loose[:, split:]
        self.values.write(start, values)
        self.positions[:, start:stop] = positions
        self.length = stop
        coded = self.keys.read(first + full).movedim(-1, 2).flatten(1, 2)
        known = torch.cat((coded, loose[:, split:]), dim=1)
        return known, self.values.read(stop), self.positions[:, :stop]

    def _check(self, keys: Tensor, values: Tensor) -> None:
        batch, _, heads, _ = self.waiting.shape
        widths = {"keys": (keys, self.waiting.shape[-1])}
        widths["values"] = (values, self.values.width)
        for name, (new, width) in widths.items():
            if new.shape != (want := (batch, keys.shape[1], heads, width)):
                raise ValueError(
                    f"{name} has shape {tuple(new.shape)}: this cache takes {want}"
                )
