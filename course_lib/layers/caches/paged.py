"""Paged KV cache (PagedAttention): fixed-size blocks from a shared pool, a block table
per row, copy-on-write sharing of prefixes.

Contiguous storage reserves the longest request for every row. Pages reserve what a row
has, rounded up to one block, and two rows with the same beginning can point at the same
blocks.

Symbols: b rows, t new tokens, s stored tokens, g KV heads, k key width, v value width.
A *block* holds `block_size` consecutive tokens of one row. A row's *table* lists its
blocks in order.

    block_size = 4, table = [7, 2, 5]
    logical position 6  ->  block table[6 // 4] = 2, offset 6 % 4 = 2:
    slot 2 * 4 + 2 = 10 of the pool
    10 tokens hold 3 blocks = 12 slots: 2 are waste, and a row can never waste
    block_size or more.

Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, sections 4.2 to 4.4.
Differs from source: one pool serves one layer (a server keeps one table for all
layers), attention reads a gathered copy instead of running over the blocks in place,
and there is no eviction or swapping.

Terms:
    paged attention, PagedAttention, paged cache: a KV cache in fixed-size blocks,
        allocated as a text grows and found through a block table -> PagedCache
    prefix sharing, shared prefix, prefix caching: rows that begin alike point at the
        same blocks -> PagedCache.fork
    copy-on-write: a shared block is copied when one of its rows writes into it ->
        PagedCache.fork
"""

from collections import Counter

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.caches.block_pool import BlockPool, SlotCount
from course_lib.layers.caches.contract import RowCache, check_rows, check_sizes


class PagedCache(RowCache):
    """A layer cache whose rows grow by blocks, may have different lengths, and can
    share a prefix.

    A token's position is its place in the row: appended positions must continue at the
    row's length. Position -1 (padding, or a row that is idle this step) stores nothing.

    Args:
        pool: the storage.
        batch: rows b at the start, all empty.

    Raises:
        ValueError: `batch` is below 1.

    *Cost*: ceil(length / block_size) blocks a row, each shared block once.
    *Source*: Kwon et al. 2023, sections 4.2 to 4.4, arXiv:2309.06180.

    >>> pool = BlockPool(8, 4, kv_heads=1, head_dim=2)
    >>> cache = PagedCache(pool, batch=1)
    >>> new = torch.ones(1, 6, 1, 2)
    >>> keys, values, positions = cache.update(new, new, torch.arange(6)[None])
    >>> cache.fork(0, tokens=5), cache.tables, cache.slots()
    (1, [[0, 1], [0, 1]], SlotCount(allocated=8, used=6))
    """

    def __init__(self, pool: BlockPool, batch: int = 1) -> None:
        check_sizes({"batch": batch})
        self.pool = pool
        self.tables: list[list[int]] = [[] for _ in range(batch)]
        self.lengths: list[int] = [0] * batch

    @property
    def batch(self) -> int:
        """Rows b."""
        return len(self.tables)

    @property
    def length(self) -> int:
        """Tokens in the longest row."""
        return max(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks held, each shared block once."""
        return (
            len({block for table in self.tables for block in table})
            * self.pool.block_nbytes
        )

    def slots(self) -> SlotCount:
        """Slots allocated and used; the difference is the waste."""
        size, used = self.pool.block_size, Counter()
        for table, length in zip(self.tables, self.lengths, strict=True):
            for index, block in enumerate(table):
                used[block] = max(used[block], min(size, length - index * size))
        return SlotCount(allocated=len(used) * size, used=used.total())

    def update(
        self,
        keys: Float[Tensor, "b t g k"],
        values: Float[Tensor, "b t g v"],
        positions: Int[Tensor, "b t"],
    ) -> tuple[Float[Tensor, "b s g k"], Float[Tensor, "b s g v"], Int[Tensor, "b s"]]:
        """Store the new tokens and return all stored ones, shorter rows filled up with
        position -1.

        Args:
            keys, values: of the new tokens, in the pool's widths and dtype.
            positions: of the new tokens; -1 stores nothing.

        Returns:
            (keys, values, positions) of all s tokens up to the longest row's length.

        Raises:
            ValueError: widths, dtype or rows are not this cache's, a row's positions do
                not continue at its length, or the pool has too few free blocks. Then
                nothing has changed.

        *Cost*: writes t tokens a row, copies at most one partial block a row, gathers s
            tokens a row.
        """
        counts = self._check(keys, values, positions)
        for row, count in enumerate(counts):
            self._reserve(row, count)
        rows, columns = (positions >= 0).nonzero(as_tuple=True)
        slots = self._slot_index()[rows, positions[rows, columns]]
        self.pool.keys.flatten(0, 1)[slots] = keys[rows, columns]
        self.pool.values.flatten(0, 1)[slots] = values[rows, columns]
        return self.read()

    def read(
        self,
    ) -> tuple[Float[Tensor, "b s g k"], Float[Tensor, "b s g v"], Int[Tensor, "b s"]]:
        """Gather every row's tokens in order; see `update` for the shapes."""
        slots = self._slot_index()
        lengths = torch.tensor(self.lengths, device=slots.device)[:, None]
        order = torch.arange(self.length, device=slots.device).expand_as(slots)
        keys, values = (
            self.pool.keys.flatten(0, 1)[slots],
            self.pool.values.flatten(0, 1)[slots],
        )
        return keys, values, order.where(order < lengths, -1)

    def fork(self, row: int, tokens: int | None = None) -> int:
        """Add a row that shares the first `tokens` tokens of `row` (default: all) and
        return its number.

        No token is copied now. The row that first writes into a shared, partly filled
        last block copies it.

        Raises:
            ValueError: there is no such `row`, or it has fewer than `tokens` tokens.

        *Cost*: ceil(tokens / block_size) reference counts; no bytes.
        *Source*: Kwon et al. 2023, section 4.4, arXiv:2309.06180.
        """
        self._require_row(row)
        tokens = self.lengths[row] if tokens is None else tokens
        if not 0 <= tokens <= self.lengths[row]:
            raise ValueError(
                f"tokens={tokens}: allowed are 0 to the row's length "
                f"{self.lengths[row]}"
            )
        table = self.tables[row][: -(-tokens // self.pool.block_size)]
        for block in table:
            self.pool.share(block)
        self.tables.append(table)
        self.lengths.append(tokens)
        return len(self.tables) - 1

    def free(self, row: int) -> None:
        """Empty `row` and release its blocks; the row stays and may start again at
        position 0.
        """
        self._require_row(row)
        for block in self.tables[row]:
            self.pool.release(block)
        self.tables[row], self.lengths[row] = [], 0

    def reset(self) -> None:
        """Empty every row and release its blocks."""
        for row in range(self.batch):
            self.free(row)

    def select(self, rows: Int[Tensor, " n"]) -> None:
        """Keep these rows, in this order. No token is copied: a row named twice is
        shared as by `fork`, and the blocks of a row not named are released.

        Raises:
            ValueError: there are none, or one is not in the batch.
        """
        check_rows(rows, self.batch)
        dropped, kept = self.tables, rows.tolist()
        self.tables = [list(dropped[row]) for row in kept]
        self.lengths = [self.lengths[row] for row in kept]
        for block in (block for table in self.tables for block in table):
            self.pool.share(block)
        for block in (block for table in dropped for block in table):
            self.pool.release(block)

    def _require_row(self, row: int) -> None:
        if not 0 <= row < len(self.tables):
            raise ValueError(f"row={row}: allowed are 0 to {len(self.tables) - 1}")

    def _check(self, keys: Tensor, values: Tensor, positions: Tensor) -> list[int]:
        """Count each row's new tokens; refuse before anything changes."""
        for name, new, stored in (
            ("keys", keys, self.pool.keys),
            ("values", values, self.pool.values),
        ):
            have, want = (
                (tuple(new.shape[2:]), new.dtype),
                (tuple(stored.shape[2:]), stored.dtype),
            )
            if have != want:
                raise ValueError(
                    f"{name} has (heads, width) and dtype {have}: allowed are the "
                    f"pool's {want}"
                )
        if len(positions) != len(self.tables):
            raise ValueError(
                f"positions has {len(positions)} rows: allowed are the cache's "
                f"{len(self.tables)}"
            )
        valid = positions >= 0
        lengths = torch.tensor(self.lengths, device=positions.device)[:, None]
        if not torch.equal(positions[valid], (lengths + valid.cumsum(1) - 1)[valid]):
            raise ValueError(
                f"positions={positions.tolist()}: allowed is to go on from "
                f"{self.lengths}"
            )
        counts = valid.sum(1).tolist()
        need, free = self._blocks_needed(counts), self.pool.free_blocks
        if need > free:
            raise ValueError(
                f"the new tokens need {need} blocks: the pool has {free} free"
            )
        return counts

    def _blocks_needed(self, counts: list[int]) -> int:
        """New blocks at the ends of rows, and a copy for each writer that is not a
        block's last holder.
        """
        size, writers, new = self.pool.block_size, Counter(), 0
        for table, length, count in zip(self.tables, self.lengths, counts, strict=True):
            new += -(-(length + count) // size) - len(table)
            if count and length % size:
                writers[table[-1]] += 1
        return new + sum(
            min(count, self.pool.references[block] - 1)
            for block, count in writers.items()
        )

    def _reserve(self, row: int, count: int) -> None:
        """Own the slots that `count` more tokens of `row` will fill."""
        table, offset = self.tables[row], self.lengths[row] % self.pool.block_size
        if count and offset and self.pool.references[table[-1]] > 1:  # copy on write
            shared, table[-1] = table[-1], self.pool.copy(table[-1], offset)
            self.pool.release(shared)
        self.lengths[row] += count
        while len(table) * self.pool.block_size < self.lengths[row]:
            table.append(self.pool.take())

    def _slot_index(self) -> Int[Tensor, "b s"]:
        """`locate` for every row and position at once; slots beyond a row's length
        point at slot 0.
        """
        size, width = self.pool.block_size, max(map(len, self.tables))
        padded = [table + [0] * (width - len(table)) for table in self.tables]
        blocks = torch.tensor(padded, dtype=torch.long, device=self.pool.keys.device)
        slots = blocks[:, :, None] * size + torch.arange(size, device=blocks.device)
        return slots.flatten(1)[:, : self.length]
