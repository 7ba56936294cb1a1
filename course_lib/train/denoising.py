"""Denoising objectives: span corruption (T5) and text infilling (BART).

    the text      Thank you for inviting me to your party
    T5, source    Thank you <0> me to your <1>
    T5, target    <0> for inviting <1> party <2>            what is missing, in order
    BART, source  Thank you <mask> me to <mask> your party
    BART, target  Thank you for inviting me to your party   the whole text

T5 numbers its masked spans, and the target is their content, so targets are short. BART
masks spans of unknown length (even 0), may shuffle sentences too, and its target is the
whole text.

Symbols: n tokens, h masked tokens in k spans. Where the spans stand is drawn in
`train.holes`.

Source: Raffel et al. 2020 (T5), section 3.1.4, arXiv:1910.10683; Lewis et al. 2020
(BART), section 2.2, arXiv:1910.13461.

Terms:
    span corruption, T5 objective: spans are replaced by sentinels, and the target lists
        what stood there -> span_corruption, hide_spans
    denoising, denoising objective: damage a text, and train the model to restore it ->
        denoising
    text infilling: BART's damage: a span of any length, none included, becomes one mask
        token -> infill
    sentence permutation: BART's other damage: the sentences in another order ->
        permute_sentences
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.tasks.special_tokens import BYTE_TOKENS, SpecialTokens
from course_lib.train.batches import Batch
from course_lib.train.holes import layout, place_holes, poisson_lengths
from course_lib.train.objectives import seq2seq_batch


def span_corruption(
    rows: Sequence[Int[Tensor, " _"]],
    generator: torch.Generator,
    *,
    share: float = 0.15,
    mean: float = 3.0,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Make T5's batch: sources with numbered spans, targets with their content.

    Args:
        rows: text tokens, at least 2 each.
        generator: a CPU generator; the only source of chance.
        share, mean: as for `hide_spans`.

    Returns:
        a sequence-to-sequence batch.

    Raises:
        ValueError: there is no row; and what `hide_spans` raises.
    """
    settings = {"share": share, "mean": mean, "special": special}
    return seq2seq_batch(
        [hide_spans(row, generator, **settings) for row in rows], special=special
    )


def denoising(
    rows: Sequence[Int[Tensor, " _"]],
    generator: torch.Generator,
    *,
    share: float = 0.3,
    mean: float = 3.0,
    shuffle: bool = True,
    special: SpecialTokens = BYTE_TOKENS,
) -> Batch:
    """Make BART's batch: sources with shuffled sentences and unnumbered spans, targets
    are the whole text.

    Args:
        rows, generator: as for `span_corruption`.
        share, mean: as for `infill`.
        shuffle: whether sentences are permuted first.

    Raises:
        ValueError: there is no row; and what `infill` raises.
    """
    pairs = []
    for row in rows:
        damaged = permute_sentences(row, generator) if shuffle else row
        damaged = infill(damaged, generator, share=share, mean=mean, special=special)
        pairs.append((damaged, row))
    return seq2seq_batch(pairs, special=special)


def hide_spans(
    tokens: Int[Tensor, " n"],
    generator: torch.Generator,
    *,
    share: float = 0.15,
    mean: float = 3.0,
    special: SpecialTokens = BYTE_TOKENS,
) -> tuple[Int[Tensor, " s"], Int[Tensor, " t"]]:
    """Put a sentinel in the place of each span, and the content behind the same
    sentinel in the target.

    *Equation*: h = round(share n), from 1 to n - 1; k = round(h / mean), at least 1;
    all layouts of k spans with h tokens in all are equally likely. The source has n - h
    + k tokens, the target h + k + 1.

    Args:
        tokens: text, without sentinels.
        generator: a CPU generator; the only source of chance.
        share: of the tokens that are hidden, above 0 and below 1.
        mean: length of a span on average, at least 1.

    Returns:
        (source, target); the target ends with the sentinel after the last.

    Raises:
        ValueError: fewer than 2 tokens, a setting out of range, or more spans than
        sentinels or than fit.

    *Differs from source*: T5's code always starts with text and ends with a span, so
    that the last token is always hidden, and has no closing sentinel, which the paper's
    figure 2 has. Here spans stand anywhere.

    >>> source, target = hide_spans(torch.arange(20), torch.Generator().manual_seed(1))
    >>> restore_spans(source, target).tolist() == list(range(20))
    True
    """
    _check(tokens, share, mean)
    hidden = min(max(round(len(tokens) * share), 1), len(tokens) - 1)
    spans = max(round(hidden / mean), 1)
    if spans >= len(special.sentinels):
        raise ValueError(
            f"{spans} spans: allowed are at most {len(special.sentinels) - 1}, with a "
            "sentinel each and one to close; cut the text into shorter pieces"
        )
    if bool(_is_sentinel(tokens, special).any()):
        raise ValueError("tokens has a sentinel: allowed is text without sentinels")
    source, target, end = [], [], 0
    for i, (start, stop) in enumerate(layout(len(tokens), hidden, spans, generator)):
        mark = torch.tensor([special.sentinels[i]])
        source += [tokens[end:start], mark]
        target += [mark, tokens[start:stop]]
        end = stop
    closing = torch.tensor([special.sentinels[spans]])
    return torch.cat([*source, tokens[end:]]), torch.cat([*target, closing])


def restore_spans(
    source: Int[Tensor, " s"],
    target: Int[Tensor, " t"],
    *,
    special: SpecialTokens = BYTE_TOKENS,
) -> Int[Tensor, " n"]:
    """Fill the spans of `source` from `target`: the inverse of `hide_spans`.

    Raises:
        ValueError: the sentinels of the two are not 0, 1, 2, ... in order, with one
        more in the target.

    >>> restore_spans(torch.tensor([7, 268, 9]), torch.tensor([268, 8, 269])).tolist()
    [7, 8, 9]
    """
    text, marks = _split(source, special)
    content, closed = _split(target, special)
    expected = list(special.sentinels[: len(closed)])
    if (
        not closed
        or closed != expected
        or marks != expected[:-1]
        or len(content[0])
        or len(content[-1])
    ):
        raise ValueError(
            f"sentinels are {marks} and {closed}: allowed are 0 "
            "to k - 1 and 0 to k, in order"
        )
    parts = [part for pair in zip(text, content[1:], strict=True) for part in pair]
    return torch.cat(parts)


def infill(
    tokens: Int[Tensor, " n"],
    generator: torch.Generator,
    *,
    share: float = 0.3,
    mean: float = 3.0,
    special: SpecialTokens = BYTE_TOKENS,
) -> Int[Tensor, " s"]:
    """Replace spans by one `MASK` each, whatever their length; a span of length 0 is a
    `MASK` put in between.

    Lengths are drawn from a Poisson distribution until h tokens are hidden, h as for
    `hide_spans`; the last is cut to fit. Spans that hide something never touch.

    Args:
        tokens, generator: as for `hide_spans`.
        share: of the tokens that are hidden; BART hides 30 %.
        mean: of the Poisson distribution; BART's is 3.

    Returns:
        the damaged text.

    Raises:
        ValueError: fewer than 2 tokens, or a setting out of range.

    >>> generator = torch.Generator().manual_seed(3)
    >>> infill(torch.arange(97, 117), generator).tolist().count(BYTE_TOKENS.mask)
    4
    """
    _check(tokens, share, mean)
    hidden = min(max(round(len(tokens) * share), 1), len(tokens) - 1)
    kept = len(tokens) - hidden
    lengths = poisson_lengths(hidden, mean, kept + 1, generator)
    out, end = [], 0
    for start, stop in place_holes(
        [length for length in lengths if length], kept, generator
    ):
        out += [tokens[end:start], torch.tensor([special.mask])]
        end = stop
    damaged = torch.cat([*out, tokens[end:]])
    for _ in range(lengths.count(0)):
        at = int(torch.randint(len(damaged) + 1, (1,), generator=generator))
        damaged = torch.cat([damaged[:at], torch.tensor([special.mask]), damaged[at:]])
    return damaged


def permute_sentences(
    tokens: Int[Tensor, " n"],
    generator: torch.Generator,
    *,
    ends: Collection[int] = (ord("."),),
) -> Int[Tensor, " n"]:
    """Cut after each token in `ends`, and put the pieces in a random order.

    A full stop inside `3.14` or `e.g.` cuts too, as in BART, which also goes by full
    stops.

    >>> text = torch.tensor(list(b"One.Two.Three."))
    >>> generator = torch.Generator().manual_seed(0)
    >>> bytes(permute_sentences(text, generator).tolist()).decode()
    'Three.One.Two.'
    """
    cuts = [
        i + 1
        for i, token in enumerate(tokens.tolist())
        if token in ends and i + 1 < len(tokens)
    ]
    pieces = torch.tensor_split(tokens, cuts)
    return torch.cat(
        [pieces[i] for i in torch.randperm(len(pieces), generator=generator).tolist()]
    )


def _is_sentinel(tokens: Tensor, special: SpecialTokens) -> Tensor:
    first, after = special.sentinels.start, special.sentinels.stop
    return (tokens >= first) & (tokens < after)


def _split(tokens: Tensor, special: SpecialTokens) -> tuple[list[Tensor], list[int]]:
    """Cut at the sentinels: the pieces between them, and the sentinels."""
    places = _is_sentinel(tokens, special).nonzero().flatten().tolist()
    bounds = [-1, *places, len(tokens)]
    pieces = [tokens[a + 1 : b] for a, b in pairwise(bounds)]
    return pieces, tokens[places].tolist()


def _check(tokens: Tensor, share: float, mean: float) -> None:
    if len(tokens) < 2 or not 0 < share < 1 or mean < 1:
        raise ValueError(
            f"{len(tokens)} tokens, share={share}, mean={mean}: allowed are 2 tokens "
            "or more, 0 < share < 1, mean >= 1"
        )
