"""Sequence packing: documents of any length laid end to end, so that no row is padded
but the last.

Terms:
    sequence packing, packed batch: several documents laid end to end in one row,
        instead of padding -> packed_batch
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.tasks.special_tokens import BYTE_TOKENS, SpecialTokens
from course_lib.train.batches import Batch


def packed_batch(
    documents: Sequence[Int[Tensor, " _"]],
    length: int,
    *,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Lay documents end to end in rows of `length`: only the last row is padded.

    Each document stands between `BOS` and `EOS`. A token is a target only if the token
    before it is of the same document. `segments` numbers the documents, for a model
    that keeps them from seeing each other. A document that crosses the end of a row
    goes on in the next, without what stood before.

    Args:
        documents: tokens of each.
        length: t, at least 1.
        special: the tokenizer's.

    Returns:
        rows [b t] in the order of the documents; segments are -1 at padding.

    Raises:
        ValueError: there is no document, or `length` is below 1.

    *Source*: Brown et al. 2020 (GPT-3), appendix B, packs documents with an end token
        and no other mask.
    *Differs from source*: the loss leaves out the step from one document to the next.

    >>> batch = packed_batch([torch.tensor([1, 2]), torch.tensor([3])], length=6)
    >>> batch.inputs.tolist(), batch.mask.int().tolist(), batch.segments.tolist()
    ([[257, 1, 2, 258, 257, 3]], [[1, 1, 1, 0, 1, 1]], [[0, 0, 0, 0, 1, 1]])
    """
    if not documents or length < 1:
        raise ValueError(
            f"{len(documents)} documents, length={length}: allowed is 1 or more of each"
        )
    begin, end = torch.tensor([special.bos]), torch.tensor([special.eos])
    framed = [torch.cat([begin, document, end]) for document in documents]
    stream = torch.cat(framed)
    owner = torch.repeat_interleave(
        torch.arange(len(framed)), torch.tensor([len(d) for d in framed])
    )
    missing = -(len(stream) - 1) % length
    stream = torch.cat([stream, torch.full((missing,), special.pad)])
    owner = torch.cat([owner, torch.full((missing,), -1)])
    inputs, targets = stream[:-1].view(-1, length), stream[1:].view(-1, length)
    segments, of_target = owner[:-1].view(-1, length), owner[1:].view(-1, length)
    return Batch(
        inputs, targets, (segments == of_target) & (of_target >= 0), segments=segments
    )
