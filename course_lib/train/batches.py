"""Training batch and loss mask: inputs, targets, and the places where the loss counts.

    inputs    [b t]   input tokens (the decoder's, in sequence-to-sequence batches)
    targets   [b t]   the token to predict at each place
    mask      [b t]   True where the loss counts
    positions [b t]   place of each input in its row, -1 at padding; None where no
                      input could see padding
    source    [b s]   tokens of the encoder, in sequence-to-sequence batches
    source_positions  [b s], their places, as for the inputs
    prefix    [b]     how many inputs attend in both directions, in prefix batches
    segments  [b t]   the document each input belongs to, in packed batches

All objectives of the course share one loss, the mean of -log p(target) over the places
that count. They differ in how the three tensors are made (`train.objectives`,
`train.denoising`) and in the mask of attention.

Terms:
    loss mask, cross-entropy, negative log-likelihood: the mean of -log p(target) over
        the places that count -> masked_loss
    training batch: inputs, targets, loss mask and positions of some rows -> Batch
    teacher forcing: the decoder is given the true target up to each place ->
        seq2seq_loss
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from course_lib.layers.masks import CAUSAL, same_document
from course_lib.layers.positions.numbering import packed_positions
from course_lib.tasks.special_tokens import BYTE_TOKENS

Item = TypeVar("Item")
Model = Callable[..., Tensor]  # tokens and what else a batch holds, to logits


class Batch(NamedTuple):
    """Inputs, targets and loss mask, with what some objectives add. Shapes are at the
    top of the module.
    """

    inputs: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    positions: Int[Tensor, "b t"] | None = None
    source: Int[Tensor, "b s"] | None = None
    source_positions: Int[Tensor, "b s"] | None = None
    prefix: Int[Tensor, " b"] | None = None
    segments: Int[Tensor, "b t"] | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with every tensor on `device`."""
        return Batch(*(None if part is None else part.to(device) for part in self))

    @property
    def supervised(self) -> float:
        """Share of the places at which the loss counts, padding among the others."""
        return self.mask.float().mean().item()


def masked_loss(
    logits: Float[Tensor, "b t vocab"],
    targets: Int[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over the places where `mask` is True.

    *Equation*: L = -(1 / |M|) sum over (b, t) in M of log softmax(logits[b,
        t])[targets[b, t]].

    Returns:
        nats a counted token, a scalar that gradients flow through.

    Raises:
        ValueError: the mask is False everywhere.

    *Cost*: one softmax over the vocabulary for each counted place, none for the others.

    >>> targets, mask = torch.tensor([[1, 3]]), torch.tensor([[True, False]])
    >>> loss = masked_loss(torch.zeros(1, 2, 4), targets, mask)
    >>> round(loss.item(), 4)  # ln 4
    1.3863
    """
    if not bool(mask.any()):
        raise ValueError(
            "mask is False everywhere: allowed is one place or "
            "more at which the loss counts"
        )
    return F.cross_entropy(logits[mask], targets[mask])


def language_loss(model: Model, batch: Batch) -> Float[Tensor, ""]:
    """Loss of a `CausalLM` or a `MaskedLM`: `model(inputs, positions)` gives the
    logits.
    """
    return masked_loss(model(batch.inputs, batch.positions), batch.targets, batch.mask)


def packed_loss(model: Model, batch: Batch) -> Float[Tensor, ""]:
    """Loss of a `CausalLM` that sees each document of a packed batch as if it stood
    alone.

    Take `language_loss` instead, and a token also sees the documents before its own, as
    in GPT-3.
    """
    mask_mod = CAUSAL & same_document(batch.segments)
    logits = model(batch.inputs, packed_positions(batch.segments), mask_mod=mask_mod)
    return masked_loss(logits, batch.targets, batch.mask)


def seq2seq_loss(model: Model, batch: Batch) -> Float[Tensor, ""]:
    """Loss of an `EncoderDecoder` that is given the right target so far (teacher
    forcing).

    `model(source, inputs, source_positions)` gives the logits.
    """
    logits = model(batch.source, batch.inputs, batch.source_positions)
    return masked_loss(logits, batch.targets, batch.mask)


def prefix_loss(model: Model, batch: Batch) -> Float[Tensor, ""]:
    """Loss of a `PrefixLM`: `model(inputs, prefix_lengths=prefix)` gives the logits."""
    return masked_loss(
        model(batch.inputs, prefix_lengths=batch.prefix), batch.targets, batch.mask
    )


def target_count(batch: Batch | tuple[Tensor, Tensor]) -> int:
    """Return how many targets the loss of a batch is a mean over: the mask's, or all of
    a plain pair.
    """
    return int(batch.mask.sum()) if isinstance(batch, Batch) else batch[1].numel()


def sample_items(
    items: Sequence[Item], count: int, generator: torch.Generator
) -> list[Item]:
    """Draw `count` items with replacement, from the given random stream.

    Raises:
        ValueError: there is no item, or `count` is below 1.

    >>> sample_items("abc", 4, torch.Generator().manual_seed(0))
    ['c', 'a', 'c', 'a']
    """
    if not items or count < 1:
        raise ValueError(
            f"{len(items)} items, count={count}: allowed is one "
            "item or more, and count >= 1"
        )
    return [
        items[i]
        for i in torch.randint(len(items), (count,), generator=generator).tolist()
    ]


def pad_rows(
    rows: Sequence[Shaped[Tensor, " _"]],
    *,
    value: int | bool = BYTE_TOKENS.pad,
    side: str = "right",
) -> Shaped[Tensor, "b t"]:
    """Stack rows of unlike length and one dtype, filled up with `value`.

    Args:
        rows: one or more.
        value: of the padding.
        side: "right" to train; "left" to write on, as all rows then end together.

    Raises:
        ValueError: there is no row, or the side is another word.

    >>> rows = [torch.tensor([1, 2, 3]), torch.tensor([4])]
    >>> pad_rows(rows, value=0).tolist(), pad_rows(rows, value=0, side="left").tolist()
    ([[1, 2, 3], [4, 0, 0]], [[1, 2, 3], [0, 0, 4]])
    """
    if not rows:
        raise ValueError("rows is empty: allowed is one row or more")
    if side not in ("left", "right"):
        raise ValueError(f"side={side!r}: allowed are 'left' and 'right'")
    return nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side=side
    )
