"""Block pool and block table: the storage behind a paged cache, blocks of token slots,
a free list and reference counts.

Symbols: g KV heads, k key width, v value width. A *block* holds `block_size`
consecutive tokens of one row; a row's *table* lists its blocks in order.

    block_size = 4, table = [7, 2, 5]
    logical position 6  ->  block table[6 // 4] = 2, offset 6 % 4 = 2:
    slot 2 * 4 + 2 = 10 of the pool

Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, sections 4.2 to 4.4.

Terms:
    block pool, free list: memory cut into blocks of equal size, any of them for any row
        -> BlockPool
    block table, page table: a row's blocks in order; position i is slot i mod size of
        block table[i // size] -> locate
    reference count: how many rows use a block; at 0 it returns to the free list ->
        BlockPool.share, BlockPool.release
"""

from dataclasses import dataclass

import torch

from course_lib.layers.caches.contract import check_sizes


def locate(position: int, table: list[int], block_size: int) -> tuple[int, int]:
    """Physical place of one logical position.

    *Equation*: block = table[position // block_size], offset = position % block_size.

    Args:
        position: index of a token in its row.
        table: the row's block numbers, in order.
        block_size: tokens a block.

    Returns:
        (block, offset).

    Raises:
        ValueError: `position` is negative, or beyond the table's blocks.

    *Cost*: one division; no state.
    *Source*: Kwon et al. 2023, section 4.2, arXiv:2309.06180.

    >>> locate(6, [7, 2, 5], block_size=4)
    (2, 2)
    """
    if not 0 <= position < len(table) * block_size:
        raise ValueError(
            f"position={position}: allowed are 0 to {len(table) * block_size - 1}"
        )
    return table[position // block_size], position % block_size


@dataclass(frozen=True)
class SlotCount:
    """Token slots of a cache: what its blocks hold, and what tokens fill. A shared slot
    counts once.
    """

    allocated: int
    used: int

    @property
    def wasted(self) -> int:
        """Slots held but empty."""
        return self.allocated - self.used


class BlockPool:
    """Physical storage: `blocks` blocks, a free list and a reference count for each
    block.

    Args:
        blocks: how many there are.
        block_size: tokens a block.
        kv_heads: g.
        head_dim: k.
        value_dim: v; k unless said.
        dtype: of the stored keys and values.
        device: where they lie.

    Raises:
        ValueError: `blocks` or `block_size` is below 1.

    *Cost*: blocks * block_size * g * (k + v) elements, all reserved at the start.
    *Source*: Kwon et al. 2023, sections 4.2 and 4.4, arXiv:2309.06180.

    >>> pool = BlockPool(3, 4, kv_heads=2, head_dim=8)
    >>> first = pool.take()
    >>> pool.share(first); pool.release(first); pool.free_blocks
    2
    """

    def __init__(
        self,
        blocks: int,
        block_size: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        check_sizes({"blocks": blocks, "block_size": block_size})
        shape = (blocks, block_size, kv_heads)
        self.block_size = block_size
        self.keys = torch.zeros(*shape, head_dim, dtype=dtype, device=device)
        self.values = torch.zeros(
            *shape, value_dim or head_dim, dtype=dtype, device=device
        )
        self.references = [0] * blocks
        self._free = list(range(blocks))[::-1]

    @property
    def free_blocks(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free)

    @property
    def block_nbytes(self) -> int:
        """Bytes of keys and values in one block."""
        return self.keys[0].nbytes + self.values[0].nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of the whole pool, free blocks included."""
        return self.keys.nbytes + self.values.nbytes

    def take(self) -> int:
        """Hand out a free block with one reference. ValueError if none is."""
        if not self._free:
            raise ValueError(
                f"free_blocks=0 of {len(self.references)}: a block can be taken while "
                "1 or more are free"
            )
        block = self._free.pop()
        self.references[block] = 1
        return block

    def share(self, block: int) -> None:
        """Add a reference to a block in use. ValueError if it is free."""
        self._require_held(block)
        self.references[block] += 1

    def release(self, block: int) -> None:
        """Drop a reference; the last one frees the block. ValueError if it is free
        already.
        """
        self._require_held(block)
        self.references[block] -= 1
        if self.references[block] == 0:
            self._free.append(block)

    def copy(self, block: int, tokens: int) -> int:
        """Take a new block, copy the first `tokens` of `block` into it, and return its
        number.
        """
        fresh = self.take()
        self.keys[fresh, :tokens] = self.keys[block, :tokens]
        self.values[fresh, :tokens] = self.values[block, :tokens]
        return fresh

    def _require_held(self, block: int) -> None:
        if self.references[block] == 0:
            raise ValueError(f"block={block} is free: allowed are blocks in use")
