"""Training objectives: causal (CLM), masked (MLM), sequence-to-sequence, prefix,
assistant-only (SFT). From tokens to a batch.

    causal (CLM)     loss on the next token at every place                   GPT
    masked (MLM)     loss on the masked tokens, predicted from both sides    BERT
    seq2seq          loss on the target, given all of the source             T5, BART
    prefix           loss on what follows a bidirectional prefix
    assistant (SFT)  loss on the assistant's turns of a conversation

Each function is pure: the same tokens and the same generator state give the same batch.
`special` are the special tokens of the tokenizer: by default the byte tokenizer's.

Symbols: b rows, t tokens. The objectives that damage a text and restore it are in
`train.denoising`, rows of several documents in `train.packing`.

Terms:
    causal language modelling, CLM, next-token prediction: the loss is on the next token
        at every place -> causal_batch
    masked language modelling, MLM: the loss is on masked tokens, predicted from both
        sides -> masked_batch
    prefix language modelling: the loss is on what follows a prefix with attention in
        both directions -> prefix_batch
    sequence-to-sequence objective: the loss is on a target, given the whole source ->
        seq2seq_batch
    SFT, supervised fine-tuning, instruction tuning: the loss is on the assistant's
        turns of a conversation alone -> assistant_batch
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.tasks.special_tokens import BYTE_TOKENS, SpecialTokens
from course_lib.train.batches import Batch, pad_rows

Pair = tuple[Int[Tensor, " _"], Int[Tensor, " _"]]


def causal_batch(
    tokens: Int[Tensor, "b t1"],
    counts: Bool[Tensor, "b t1"] | None = None,
    *,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Predict each token from those before it.

    *Equation*: inputs = tokens[:, :-1], targets = tokens[:, 1:].

    Args:
        tokens: rows one token longer than the batch.
        counts: True where a token counts as a target, such as the mask of
            `tasks.recall`; by default all but padding do. The first token of a row is
            never a target.

    Raises:
        ValueError: rows have fewer than 2 tokens, or `counts` has another shape.

    *Source*: Radford et al. 2018 (GPT), equation 1.

    >>> batch = causal_batch(torch.tensor([[5, 6, 7, BYTE_TOKENS.pad]]))
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.mask.int().tolist()
    ([[5, 6, 7]], [[6, 7, 256]], [[1, 1, 0]])
    """
    if tokens.shape[1] < 2:
        raise ValueError(
            f"tokens has shape {tuple(tokens.shape)}: allowed "
            "are rows of 2 tokens or more"
        )
    if counts is not None and counts.shape != tokens.shape:
        raise ValueError(
            f"counts has shape {tuple(counts.shape)}: allowed is that of tokens, "
            f"{tuple(tokens.shape)}"
        )
    counts = tokens != special.pad if counts is None else counts
    return Batch(tokens[:, :-1], tokens[:, 1:], counts[:, 1:])


def masked_batch(
    tokens: Int[Tensor, "b t"],
    vocab: int,
    generator: torch.Generator,
    *,
    share: float = 0.15,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Hide some tokens and ask for them: 80 % become `MASK`, 10 % another token, 10 %
    stay as they are.

    In each row a share of the text tokens is chosen, rounded and at least one; control
    tokens never are. A replacement is drawn from all text tokens, so it is now and then
    the token itself.

    Args:
        tokens: rows of text, with control tokens and padding as they come.
        vocab: the tokenizer's; the replacements are its bytes and merges.
        generator: a CPU generator; the only source of chance.
        share: of the text tokens that are chosen.

    Returns:
        inputs with the damage, targets = tokens, mask True at the chosen places.

    Raises:
        ValueError: `share` is not above 0 and at most 1, or `vocab` has no room for the
        control tokens.

    *Source*: Devlin et al. 2019 (BERT), section 3.1 and appendix A.1, arXiv:1810.04805;
    the number per row is fixed as in their `create_pretraining_data.py`, which counts
    its control tokens into the row's length.

    >>> generator = torch.Generator().manual_seed(0)
    >>> batch = masked_batch(torch.arange(97, 117)[None], 368, generator)
    >>> int(batch.mask.sum()), bool((batch.inputs != batch.targets)[~batch.mask].any())
    (3, False)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: allowed is above 0 and at most 1")
    first, after = special.reserved.start, special.reserved.stop
    if vocab < after:
        raise ValueError(
            f"vocab={vocab}: allowed is {after} or more, the bytes and the "
            "control tokens"
        )
    text = (tokens < first) | (tokens >= after)
    wanted = (text.sum(dim=1) * share).round().clamp(min=1)
    order = (
        torch.rand(tokens.shape, generator=generator)
        .masked_fill(~text, 2)
        .argsort(dim=1)
        .argsort(dim=1)
    )
    chosen = (order < wanted[:, None]) & text
    fate = torch.rand(tokens.shape, generator=generator)
    other = torch.randint(vocab - (after - first), tokens.shape, generator=generator)
    other = other + (other >= first) * (after - first)
    damaged = torch.where(
        fate < 0.8, special.mask, torch.where(fate < 0.9, other, tokens)
    )
    places = positions_from_padding(tokens != special.pad)
    return Batch(torch.where(chosen, damaged, tokens), tokens, chosen, places)


def seq2seq_batch(
    pairs: Sequence[Pair], *, special: SpecialTokens = BYTE_TOKENS
) -> Batch:
    """Read a source, say its target: the decoder sees the right target tokens so far
    (teacher forcing).

    *Equation*: source = (x, EOS), inputs = (BOS, y), targets = (y, EOS), padded on the
        right.

    Args:
        pairs: (source, target) tokens, without control tokens.

    Returns:
        source [b s], inputs and targets [b t], mask True at y and its `EOS`.

    Raises:
        ValueError: there is no pair.

    *Source*: Sutskever et al. 2014, arXiv:1409.3215; `EOS` after the source as in T5.
    *Differs from source*: T5 starts its decoder with the padding token; `BOS` here.

    >>> batch = seq2seq_batch([(torch.tensor([1, 2]), torch.tensor([3]))])
    >>> batch.source.tolist(), batch.inputs.tolist(), batch.targets.tolist()
    ([[1, 2, 258]], [[257, 3]], [[3, 258]])
    """
    begin, end = torch.tensor([special.bos]), torch.tensor([special.eos])
    source = pad_rows([torch.cat([x, end]) for x, _ in pairs], value=special.pad)
    inputs = pad_rows([torch.cat([begin, y]) for _, y in pairs], value=special.pad)
    targets = pad_rows([torch.cat([y, end]) for _, y in pairs], value=special.pad)
    return Batch(
        inputs,
        targets,
        targets != special.pad,
        source=source,
        source_positions=positions_from_padding(source != special.pad),
    )


def prefix_batch(
    tokens: Int[Tensor, "b t1"],
    lengths: Int[Tensor, " b"],
    *,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Continue each row after its prefix, which the model may read in both directions.

    A token inside the prefix is never a target: its own place is seen.

    Args:
        tokens: rows one token longer than the batch.
        lengths: of the prefixes, 1 to t.

    Returns:
        the causal batch with `prefix` = lengths, and the mask True only for tokens
        after the prefix.

    Raises:
        ValueError: a length is outside 1 to t.

    *Source*: Raffel et al. 2020 (T5), section 3.2.1, arXiv:1910.10683.

    >>> batch = prefix_batch(torch.tensor([[5, 6, 7, 8]]), torch.tensor([2]))
    >>> batch.targets.tolist(), batch.mask.int().tolist()
    ([[6, 7, 8]], [[0, 1, 1]])
    """
    most = tokens.shape[1] - 1
    if bool(((lengths < 1) | (lengths > most)).any()):
        raise ValueError(f"lengths={lengths.tolist()}: allowed are 1 to {most}")
    follows = torch.arange(tokens.shape[1]) >= lengths[:, None]
    return causal_batch(tokens, follows & (tokens != special.pad))._replace(
        prefix=lengths
    )


def joined_batch(
    pairs: Sequence[Pair], *, special: SpecialTokens = BYTE_TOKENS
) -> Batch:
    """Write pairs as one text each, (x, SEP, y, EOS), with x and `SEP` as the prefix.

    The same batch serves a causal model, which leaves `prefix` unread: both say y and
    `EOS`, and nothing else counts. So causal, prefix and encoder-decoder models can be
    compared on the same pairs.

    Raises:
        ValueError: there is no pair.

    >>> batch = joined_batch([(torch.tensor([1, 2]), torch.tensor([3]))])
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[1, 2, 260, 3]], [[2, 260, 3, 258]])
    >>> batch.mask.int().tolist(), batch.prefix.tolist()
    ([[0, 0, 1, 1]], [3])
    """
    between, end = torch.tensor([special.sep]), torch.tensor([special.eos])
    rows = pad_rows(
        [torch.cat([x, between, y, end]) for x, y in pairs], value=special.pad
    )
    lengths = torch.tensor([len(x) + 1 for x, _ in pairs])
    return prefix_batch(rows, lengths, special=special)


def assistant_batch(
    examples: Sequence[tuple[Int[Tensor, " _"], Bool[Tensor, " _"]]],
    *,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Train on conversations, but only on the tokens that the assistant is to write.

    Args:
        examples: tokens of a conversation, and for each whether the assistant wrote it
            (`tasks.chat`).

    Returns:
        the causal batch, padded on the right; the mask follows the targets, so the loss
        counts at the place
        *before* each token that the assistant wrote.

    Raises:
        ValueError: there is no example.

    *Source*: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, trains on
    demonstrations; masking what others said is how public SFT code does it.

    >>> written = torch.tensor([False, False, True, True])
    >>> assistant_batch([(torch.tensor([5, 6, 7, 8]), written)]).mask.int().tolist()
    [[0, 1, 1]]
    """
    tokens = pad_rows([tokens for tokens, _ in examples], value=special.pad)
    counts = pad_rows([counts for _, counts in examples], value=False)
    return causal_batch(tokens, counts, special=special)
