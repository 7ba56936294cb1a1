"""Sparse attention patterns as masks: blocks, dilation, strides, global tokens, random
blocks.

Each is a `MaskMod` of positions and combines with the others, with `sliding_window` and
with `CAUSAL`:

    Longformer                 local_window(r) | global_tokens(tokens)
    BigBird                    nearby_blocks(c, 1) | listed_blocks(table, c)
                               | global_tokens(first and last block)
    Sparse Transformer         CAUSAL & (sliding_window(l) | strided(l))
        the fixed form         CAUSAL & (block_local(l) | block_ends(l, e))
    Llama 4's chunks           CAUSAL & block_local(c)
    dilated, in some heads     local_window(0) | dilated_window(reach, rate)

A pattern says who attends to whom and saves nothing by itself: `block_sparse` and
`sliding_window` compute only what it leaves, and `pattern_graph` counts it.

Symbols: c tokens in a block; block i holds the positions i c to i c + c - 1.

Terms:
    sparse attention, sparse pattern: each query attends to a fixed pattern of keys,
        local, global or random -> block_local, dilated_window, strided
    block-local attention: a query attends to the keys of its own block, or of blocks
        nearby -> block_local, nearby_blocks
    dilated window, dilated attention: every rate-th key within a window, so that the
        same number of keys reaches further -> dilated_window
    strided attention, fixed attention, Sparse Transformer: every l-th key, or the last
        ones of each block -> strided, block_ends
    global tokens, global attention: tokens that attend to all and to which all attend
        -> global_tokens
    block list: for each block of queries the blocks of keys that it attends to ->
        listed_blocks
    random blocks, random attention: a few blocks of keys drawn for each block of
        queries -> draw_blocks
"""

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.layers.masks import MaskMod


def block_local(size: int) -> MaskMod:
    """Keys of the query's own block of `size` tokens. ValueError: `size` is below 1.

    >>> at = torch.tensor([[0, 1, 2]])
    >>> block_local(2).mask(at, at).int().tolist()
    [[[1, 1, 0], [1, 1, 0], [0, 0, 1]]]
    """
    return nearby_blocks(size, 0)


def nearby_blocks(size: int, reach: int) -> MaskMod:
    """Keys of the query's own block and of `reach` blocks on either side.

    Raises:
        ValueError: `size` is below 1 or `reach` below 0.

    *Source*: with one block on either side, Zaheer et al. 2020, section 2 (BigBird's
        window), arXiv:2007.14062.
    """
    _check(1, size=size)
    _check(0, reach=reach)
    return MaskMod(lambda query, key: (query // size - key // size).abs() <= reach)


def dilated_window(reach: int, rate: int) -> MaskMod:
    """Every `rate`-th key on either side, `reach` of them on each: those 0, rate, 2
    rate, ..., reach rate places away.

    Raises:
        ValueError: `reach` is below 0 or `rate` below 1.

    *Source*: Beltagy et al. 2020, section 3.1, arXiv:2004.05150.

    >>> at = torch.arange(6)[None]
    >>> dilated_window(1, 2).mask(at, at)[0, 2].int().tolist()
    [1, 0, 1, 0, 1, 0]
    """
    _check(0, reach=reach)
    _check(1, rate=rate)

    def allows(query: Tensor, key: Tensor) -> Tensor:
        apart = (query - key).abs()
        return (apart % rate == 0) & (apart <= reach * rate)

    return MaskMod(allows)


def strided(stride: int) -> MaskMod:
    """Keys a multiple of `stride` places away. ValueError: `stride` is below 1.

    *Source*: Child et al. 2019, section 4.3, arXiv:1904.10509.
    """
    _check(1, stride=stride)
    return MaskMod(lambda query, key: (query - key) % stride == 0)


def block_ends(size: int, count: int) -> MaskMod:
    """The last `count` keys of every block of `size` tokens, which sum the block up for
    all queries.

    Raises:
        ValueError: `size` or `count` is below 1, or `count` above `size`.

    *Source*: Child et al. 2019, section 4.3 ("fixed"), arXiv:1904.10509.
    """
    _check(1, size=size, count=count)
    if count > size:
        raise ValueError(f"count={count}: allowed is at most size={size}")
    return MaskMod(lambda query, key: (key % size >= size - count) & (query >= 0))


def global_tokens(tokens: Int[Tensor, " j"]) -> MaskMod:
    """Pairs of which one is at a global position: all attend to it, and it attends to
    all.

    *Source*: Beltagy et al. 2020, section 3.1, arXiv:2004.05150.

    >>> at = torch.arange(3)[None]
    >>> global_tokens(torch.tensor([1])).mask(at, at).int().tolist()
    [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    """

    def allows(query: Tensor, key: Tensor) -> Tensor:
        chosen = tokens.to(key.device)
        return torch.isin(query, chosen) | torch.isin(key, chosen)

    return MaskMod(allows)


def listed_blocks(table: Int[Tensor, "m r"], size: int) -> MaskMod:
    """Keys of the blocks that the table lists for the query's block.

    Args:
        table: for each of m blocks of queries the numbers of r blocks of keys; -1 for
            none. `draw_blocks` makes one.
        size: tokens in a block.

    Raises:
        ValueError: `size` is below 1; when a mask is made, a query stands behind the
        last block of the table.

    >>> at = torch.arange(4)[None]
    >>> listed_blocks(torch.tensor([[1], [-1]]), 2).mask(at, at)[0, :, 3].tolist()
    [True, True, False, False]
    """
    _check(1, size=size)

    def allows(query: Tensor, key: Tensor) -> Tensor:
        row = query[..., 0].clamp(min=0) // size
        if int(row.max()) >= len(table):
            raise ValueError(
                f"table has {len(table)} rows: a query stands in block "
                f"{int(row.max())} of {size} tokens"
            )
        listed = table.to(key.device)[row]  # [b t r]
        return (listed[:, :, None] == (key // size)[..., None]).any(-1)

    return MaskMod(allows)


def draw_blocks(
    blocks: int, picks: int, *, seed: int, reach: int = 1, ends: int = 1
) -> Int[Tensor, "m r"]:
    """Random blocks of keys for each block of queries, none of which is attended to
    anyway.

    Args:
        blocks, picks: m and r.
        seed: of the draw.
        reach: blocks on either side that a window covers.
        ends: blocks at the start and as many at the end that are global.

    Returns:
        for each block of queries r different numbers, rising; -1 where fewer are left.

    Raises:
        ValueError: `blocks` is below 1, or `picks`, `reach` or `ends` below 0.

    *Source*: Zaheer et al. 2020, appendix D, arXiv:2007.14062.

    >>> draw_blocks(5, 1, seed=0)[0].item() in (2, 3)  # 0 and 1 are near, 4 is global
    True
    """
    _check(1, blocks=blocks)
    _check(0, picks=picks, reach=reach, ends=ends)
    generator, table = torch.Generator().manual_seed(seed), []
    for i in range(blocks):
        left = [j for j in range(ends, blocks - ends) if abs(i - j) > reach]
        order = torch.randperm(len(left), generator=generator)[:picks].tolist()
        drawn = sorted(left[j] for j in order)
        table.append(drawn + [-1] * (picks - len(drawn)))
    return torch.tensor(table, dtype=torch.long).view(blocks, picks)


def _check(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name}={number}: allowed are whole numbers from {least}")
