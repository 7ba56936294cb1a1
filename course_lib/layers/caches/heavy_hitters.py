"""KV eviction by attention received (H2O): the newest tokens stay, and of the older
ones those that have had the most attention so far.

Symbols: b batch, t new tokens, s tokens attended to, h heads, g KV groups, k key width,
v value width, H heavy hitters, R recent tokens.

    update   returns the kept tokens and the new ones; all of them are attended to
    observe  takes the weights of that attention, adds them up over heads and queries,
             and keeps the R newest and the H with the largest sums

What is dropped cannot come back: a token that nobody has needed so far is taken for one
that nobody will need.

Terms:
    KV eviction, H2O, heavy hitters: the cache keeps the tokens that received most
        attention, and the newest -> HeavyHitterCache
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.contiguous import Slots
from course_lib.layers.caches.contract import Entries, check_sizes
from course_lib.layers.masks import EMPTY


class HeavyHitterCache(Slots):
    """A cache of H + R tokens a row, chosen by the attention that they received.

    Args:
        batch, kv_heads, head_dim, value_dim: b, g, k and v (v is k when left out).
        heavy: H; with 0 the newest alone stay.
        recent: R, the newest tokens, which stay whatever they received.
        dtype, device: of the slots; torch's defaults when left out.

    Raises:
        ValueError: `heavy` is below 0 or another size below 1; later, when a shape does
        not fit, or `update` and `observe` do not take turns.

    *Cost*: b (H + R) g (k + v) bytes an element, however long the text, and a sum a
        token. While a prompt is read its tokens are held, all of them.
    *Source*: Zhang et al. 2023, algorithm 1, arXiv:2306.14048.
    *Differs from source*: the heads of a layer keep the same tokens.

    >>> cache = HeavyHitterCache(batch=1, heavy=1, recent=1, kv_heads=1, head_dim=1)
    >>> keys = torch.ones(1, 3, 1, 1)
    >>> _ = cache.update(keys, keys, torch.tensor([[0, 1, 2]]))
    >>> cache.observe(torch.tensor([[[[0.2, 0.7, 0.1]]]]))
    >>> cache.kept().tolist()
    [[1, 2]]
    """

    def __init__(
        self,
        batch: int,
        heavy: int,
        recent: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if heavy < 0:
            raise ValueError(f"heavy={heavy}: allowed are whole numbers from 0")
        check_sizes({"recent": recent})
        sizes = batch, heavy + recent, kv_heads, head_dim, value_dim
        super().__init__(*sizes, dtype, device)
        self.heavy, self.recent = heavy, recent
        self._sums = torch.zeros(batch, heavy + recent, device=device)
        self._held, self._seen = 0, None

    def reset(self) -> None:
        """Forget all tokens; the memory stays."""
        super().reset()
        self._held, self._seen = 0, None

    def kept(self) -> Int[Tensor, "b s"]:
        """Positions of the kept tokens, rising; -1 for none."""
        return self._positions[:, : self._held]

    def _change(self, change) -> None:
        super()._change(change)
        self._sums = change(self._sums)

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> Entries:
        """Return the kept tokens and the new ones; `observe` has to follow."""
        if self._seen is not None:
            raise ValueError("update after update: allowed is observe between them")
        self._check(keys, values, positions)
        old = self._read(self._held)
        self._seen = tuple(
            torch.cat(pair, dim=1)
            for pair in zip(old, (keys, values, positions), strict=True)
        )
        self.length += keys.shape[1]
        return self._seen

    def observe(self, weights: Float[Tensor, "b h t s"]) -> None:
        """Add up what each token received, and keep H + R of them.

        Raises:
            ValueError: no `update` came before, or it returned another number of
            tokens.
        """
        if self._seen is None or weights.shape[-1] != self._seen[2].shape[1]:
            raise ValueError(
                f"weights has {weights.shape[-1]} keys: allowed are those of the last "
                "update, once"
            )
        keys, values, positions = self._seen
        received = weights.sum((1, 2)).to(self._sums.dtype)
        received[:, : self._held] += self._sums[:, : self._held]
        newest = positions.topk(min(self.recent, positions.shape[1])).indices
        worth = received.scatter(1, newest, float("inf"))
        worth = worth.masked_fill(positions == EMPTY, float("-inf"))
        count = min(self.heavy + self.recent, positions.shape[1])
        best = worth.topk(count).indices
        best = best.gather(1, positions.gather(1, best).argsort(-1))  # by position
        rows = torch.arange(len(best), device=best.device)[:, None]
        self._write(0, keys[rows, best], values[rows, best], positions[rows, best])
        self._sums[:, :count] = received[rows, best]
        self._held, self._seen = count, None
