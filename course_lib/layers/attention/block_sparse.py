"""Block-sparse attention: for each block of queries a list of the blocks of keys that
it attends to, and no score is computed outside of them.

Symbols: n tokens in m blocks of c; a list of r blocks of keys for each block of
queries, -1 where it is shorter.

    blocks = [[0, -1], [0, 1], [1, 2]]      block 2 of the queries: keys of 1 and 2

The keys of the listed blocks are gathered side by side, and blocks of queries with
lists of one length are attended to as one batch: c c scores a listed block. A mask on
top sees to what is finer than a block. A block that is listed twice counts twice in the
softmax.

Any pattern becomes a list (`blocks_of`), as FlexAttention makes its block mask; a list
becomes a mask again by `sparse_patterns.listed_blocks`.

Terms:
    block-sparse attention, block mask: scores are computed for the listed blocks only
        -> block_sparse_attention, blocks_of
    BigBird: windows of blocks, the first and last block global, and random blocks ->
        big_bird_blocks
    chunked attention by blocks: causal attention within chunks of c tokens, in n c
        scores -> chunked_attention
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.layers.attention.blocks import attend_blocks, into_blocks
from course_lib.layers.attention.forms import queries_per_kv_head
from course_lib.layers.attention.sparse_patterns import draw_blocks
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, EMPTY, MaskMod


def blocks_of(mask_mod: MaskMod, length: int, size: int) -> Int[Tensor, "m r"]:
    """The block list of a pattern: each block of keys of which some query of the block
    attends to some key.

    Raises:
        ValueError: `length` or `size` is below 1.

    *Cost*: n n comparisons, once for all layers and texts of one length; memory c n.

    >>> from course_lib.layers.masks import sliding_window
    >>> blocks_of(CAUSAL & sliding_window(2), 6, 2).tolist()
    [[0, -1], [0, 1], [1, 2]]
    """
    if length < 1:
        raise ValueError(f"length={length}: allowed are whole numbers from 1")
    positions, lists = torch.arange(length)[None], []
    for queries in into_blocks(positions, size, EMPTY)[0]:
        mask = mask_mod.mask(queries[None], positions).any(1)  # [1 n]
        lists.append(into_blocks(mask, size)[0].any(-1).nonzero().flatten())
    return torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=-1)


def block_sparse_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    blocks: Int[Tensor, "m r"],
    positions: Int[Tensor, "b n"] | None = None,
    *,
    size: int,
    mask_mod: MaskMod = BIDIRECTIONAL,
    scale: float | None = None,
) -> Float[Tensor, "b n h v"]:
    """Each block of queries attends to the keys of its listed blocks.

    *Equation*: that of `attend` with the mask `mask_mod & listed_blocks(blocks, size)`,
        as long as no block is listed twice.

    Args:
        queries, keys, values: of the same n tokens; g divides h.
        blocks: the list, a row for each of the ceil(n / c) blocks; -1 for none.
        positions: where the tokens stand, -1 for padding; 0 to n - 1 when left out.
        size: c, tokens in a block; it need not divide n.
        mask_mod: which of the pairs attend.
        scale: factor on the scores, 1 / sqrt(k) when left out.

    Raises:
        ValueError: `size` is below 1, `blocks` has more or fewer rows than there are
        blocks or lists one that is not there, or g does not divide h.

    *Cost*: 2 b c c h (k + v) FLOPs a listed block, and a copy of its keys and values.
    *Source*: Zaheer et al. 2020, appendix D, arXiv:2007.14062.

    >>> x = torch.arange(4.0).view(1, 4, 1, 1)
    >>> blocks = torch.tensor([[1], [0]])
    >>> y = block_sparse_attention(torch.zeros_like(x), x, x, blocks, size=2)
    >>> y.flatten().tolist()  # each half takes the mean of the other
    [2.5, 2.5, 0.5, 0.5]
    """
    queries_per_kv_head(queries.shape[2], keys.shape[2])
    length = queries.shape[1]
    if positions is None:
        positions = torch.arange(length, device=queries.device)[None]
    queries, keys, values = (into_blocks(x, size) for x in (queries, keys, values))
    positions = into_blocks(positions, size, EMPTY)  # [b m c]
    _check(blocks, positions.shape[1])

    y = values.new_zeros(*queries.shape[:4], values.shape[-1])
    counts = (blocks >= 0).sum(-1)
    for count in counts.unique().tolist():
        rows = (counts == count).nonzero().flatten()
        if not count:
            continue
        lists = blocks[rows]
        lists = lists[lists >= 0].view(-1, count)
        k, v = (x[:, lists].flatten(2, 3) for x in (keys, values))  # [b m rc g k]
        query_at, key_at = positions[:, rows], positions[:, lists].flatten(2)
        mask = mask_mod.mask(query_at.flatten(0, 1), key_at.flatten(0, 1))
        mask = mask.unflatten(0, (len(positions), -1))
        y[:, rows] = attend_blocks(queries[:, rows], k, v, mask, scale=scale)
    return y.flatten(1, 2)[:, :length]


def chunked_attention(
    queries: Float[Tensor, "b n h k"],
    keys: Float[Tensor, "b n g k"],
    values: Float[Tensor, "b n g v"],
    *,
    size: int,
    scale: float | None = None,
) -> Float[Tensor, "b n h v"]:
    """Causal attention within chunks of c tokens, the first of which starts with the
    row: the first token of a chunk attends to itself alone.

    Raises:
        ValueError: `size` is below 1, or g does not divide h.

    *Cost*: 2 b n c h (k + v) FLOPs.
    *Source*: Llama 4's local layers as transformers 5.23 builds them; as a mask,
        `variants.chunk`.
    """
    chunks = into_blocks(torch.arange(queries.shape[1])[None], size).shape[1]
    own = torch.arange(chunks, device=queries.device)[:, None]
    parts = queries, keys, values, own
    return block_sparse_attention(*parts, size=size, mask_mod=CAUSAL, scale=scale)


def big_bird_blocks(blocks: int, *, random: int, seed: int) -> Int[Tensor, "m r"]:
    """BigBird's list: the own block, one on either side, the first, the last and
    `random` others; the first and the last block attend to all.

    Raises:
        ValueError: `blocks` is below 1 or `random` below 0.

    *Cost*: (5 + random) m + 2 m listed blocks at most, where full attention has m m.
    *Source*: Zaheer et al. 2020, section 2 and appendix D, arXiv:2007.14062.
    *Differs from source*: one draw for all heads.

    >>> big_bird_blocks(7, random=1, seed=0)[3, :5].tolist()  # and two of 1 to 5
    [0, 2, 3, 4, 6]
    """
    drawn, everyone = draw_blocks(blocks, random, seed=seed), range(blocks)
    lists = []
    for i, extra in enumerate(drawn.tolist()):
        fixed = {0, i - 1, i, i + 1, blocks - 1} & set(everyone)
        fixed = set(everyone) if i in (0, blocks - 1) else fixed
        more = [j for j in extra if j >= 0 and j not in fixed]
        lists.append(torch.tensor(sorted(fixed) + more))
    return torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=-1)


def _check(blocks: Tensor, count: int) -> None:
    if len(blocks) != count or int(blocks.max()) >= count:
        raise ValueError(
            f"blocks has {len(blocks)} rows and numbers up to {int(blocks.max())}: "
            f"allowed are {count} rows and numbers below {count}"
        )
