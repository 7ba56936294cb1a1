"""Attention of blocks of queries to the keys gathered for each block: the one step that
every linear or block-sparse form of attention shares.

Symbols: m blocks of c queries; s keys gathered for a block; b, h, g, k, v as in
`forms`. Sliding windows, chunks, block lists and summaries differ in which keys are
gathered. The m blocks then are rows of one batch, and SDPA takes them all at once.

A dense mask saves nothing, since the kernel computes the scores that the mask hides.
Here they are not computed: m c s scores in place of t t.

Terms:
    block of queries, gathered keys: c neighbouring queries that attend to one set of
        keys, laid side by side -> attend_blocks, into_blocks
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def into_blocks(x: Tensor, size: int, fill: float = 0) -> Tensor:
    """Cut the second axis into blocks, the last one filled up: [b t ...] to [b m c
    ...].

    Raises:
        ValueError: `size` is below 1.

    >>> into_blocks(torch.tensor([[5, 6, 7]]), 2, fill=-1).tolist()
    [[[5, 6], [7, -1]]]
    """
    if size < 1:
        raise ValueError(f"size={size}: allowed are whole numbers from 1")
    missing = -x.shape[1] % size
    if missing:
        x = torch.cat((x, x.new_full((len(x), missing, *x.shape[2:]), fill)), 1)
    return x.unflatten(1, (-1, size))


def attend_blocks(
    queries: Float[Tensor, "b m c h k"],
    keys: Float[Tensor, "b m s g k"],
    values: Float[Tensor, "b m s g v"],
    mask: Bool[Tensor, "#b #m c s"],
    *,
    scale: float | None = None,
    bias: Float[Tensor, "#b #m h c s"] | None = None,
) -> Float[Tensor, "b m c h v"]:
    """Each block of queries attends to its own keys.

    *Equation*: that of `attend`, block by block.

    Args:
        mask: True where a query of the block attends to a gathered key.
        scale: factor on the scores, 1 / sqrt(k) when left out.
        bias: added to each head's scores.

    Returns:
        y; zeros for a query that attends to nothing.

    *Cost*: 2 b m c s h (k + v) FLOPs. Memory is linear in the gathered keys: SDPA keeps
        no scores, forward or backward.
    *Source*: blocks as rows of a batch: Zaheer et al. 2020, appendix D,
        arXiv:2007.14062.

    >>> x = torch.ones(1, 2, 3, 1, 4)
    >>> none = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    >>> attend_blocks(x, x, x, none).abs().max().item()
    0.0
    """
    batch, blocks = queries.shape[:2]
    seen = mask.any(-1)  # a row without a key would be 0 / 0
    mask = mask | ~seen[..., None]
    hidden = ~mask[:, :, None]  # [b m 1 c s]
    added = queries.new_zeros(hidden.shape) if bias is None else bias
    added = added.masked_fill(hidden, float("-inf"))
    y = F.scaled_dot_product_attention(
        *(x.flatten(0, 1).transpose(1, 2) for x in (queries, keys, values)),
        added.expand(batch, blocks, *added.shape[2:]).flatten(0, 1),
        scale=scale,
        enable_gqa=queries.shape[3] > keys.shape[3],
    )
    y = y.transpose(1, 2).unflatten(0, (batch, blocks))
    return y.masked_fill(~seen[..., None, None], 0.0)
