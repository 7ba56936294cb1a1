"""Split-KV decoding (Flash-Decoding, reference): chunks of the cached keys are attended
to apart, and their outputs are merged.

Symbols: t queries (1 in a decode step), s keys, y the output over one chunk of keys,
lse its log-sum-exp. A GPU kernel gives each chunk a thread block of its own;
FlashAttention gives one to each block of queries, and in decode there is one.

`merge_chunks` is exact, since a softmax over all keys is a mean of the softmaxes over
the chunks, weighted by exp(lse). It is the step between two tiles of `flash`, taken
once at the end; ring attention merges what other devices computed in the same way.

Terms:
    split-KV decoding, Flash-Decoding, split-K attention: the keys of one decode step
        are cut into chunks that run side by side -> attend_in_chunks
    merging partial softmaxes, log-sum-exp merge: outputs over disjoint keys, weighted
        by their shares of the whole sum -> merge_chunks
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.attention.flash import flash_attention


def merge_chunks(
    outputs: Sequence[Float[Tensor, "*axes v"]], lses: Sequence[Float[Tensor, "*axes"]]
) -> tuple[Float[Tensor, "*axes v"], Float[Tensor, "*axes"]]:
    """The attention over all keys, from the attention over disjoint chunks of them.

    *Equation*: lse = log sum_c exp(lse_c); y = sum_c exp(lse_c - lse) y_c.

    Args:
        outputs, lses: of each chunk; lse = -inf where a query attends to none of its
            keys.

    Returns:
        (y, lse); y = 0 and lse = -inf where a query attends to no key at all.

    Raises:
        ValueError: there is no chunk, or not one lse an output.

    *Cost*: about 2 v FLOPs a query, head and chunk; v + 1 numbers of each are kept
        until then.
    *Source*: Dao, Haziza, Massa and Sizov 2023, "Flash-Decoding for long-context
        inference".

    >>> y, lse = merge_chunks(
    ...     [torch.tensor([8.0]), torch.tensor([2.0])],
    ...     [torch.tensor(1.0).log(), torch.tensor(3.0).log()],
    ... )
    >>> y.tolist(), round(lse.exp().item(), 3)  # a quarter of 8, three quarters of 2
    ([3.5], 4.0)
    """
    if not outputs or len(outputs) != len(lses):
        raise ValueError(
            f"{len(outputs)} outputs and {len(lses)} lses: allowed are as many of "
            "both, at least 1"
        )
    each = torch.stack(tuple(lses))
    lse = each.logsumexp(0)
    shares = (each - lse.masked_fill(lse == float("-inf"), 0.0)).exp()
    return (shares[..., None] * torch.stack(tuple(outputs))).sum(0), lse


def attend_in_chunks(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    *,
    chunk: int,
    scale: float | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b t h"]]:
    """Attention of every query to every key, `chunk` keys at a time, merged once.

    Args:
        queries, keys, values: of h heads and g groups; g divides h.
        chunk: keys in a chunk; it need not divide s.
        scale: factor on the scores, 1 / sqrt(k) when left out.

    Raises:
        ValueError: `chunk` is below 1, or g does not divide h.

    *Cost*: FLOPs and bytes of `flash_attention`, and `merge_chunks`; ceil(s / chunk)
        times as many pieces of work that can run side by side.

    >>> one = torch.ones(1, 5, 1, 1)
    >>> y, lse = attend_in_chunks(one[:, :1], one, one, chunk=2)
    >>> round(y.item(), 3), round(lse.exp().item(), 3)  # 5 e
    (1.0, 13.591)
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: allowed are whole numbers from 1")
    parts = [
        flash_attention(queries, k, v, scale=scale)
        for k, v in zip(keys.split(chunk, 1), values.split(chunk, 1), strict=True)
    ]
    return merge_chunks([y for y, _ in parts], [lse for _, lse in parts])
