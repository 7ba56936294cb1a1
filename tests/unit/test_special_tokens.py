"""Special tokens are an argument: an objective over another numbering is the same objective, renumbered."""

import pytest
import torch

from course_lib.tasks.special_tokens import BYTE_TOKENS, SpecialTokens
from course_lib.train import denoising, objectives
from course_lib.train.packing import packed_batch

# Control tokens first, as in many tokenizers, then what is text.
FIRST = SpecialTokens(pad=0, bos=1, eos=2, mask=3, sep=4, sentinels=range(12, 112), reserved=range(0, 112))
VOCAB = 400


def renumbered(tokens):
    """A token of the byte tokenizer -> the same in the other numbering."""
    moved = torch.where(tokens < 256, tokens + 112, tokens - 256)
    return torch.where(tokens < 368, moved, tokens)


def rows(lengths=(9, 4, 12)):
    torch.manual_seed(1)
    return [torch.randint(256, (n,)) for n in lengths]


def padded():
    whole = torch.full((3, 12), BYTE_TOKENS.pad)
    for row, found in zip(whole, rows(), strict=True):
        row[: len(found)] = found
    whole[0, :2] = torch.tensor([390, 399])  # merges
    return whole


def pairs():
    return [(row[: len(row) // 2], row[len(row) // 2 :]) for row in rows()]


def stream():
    return torch.Generator().manual_seed(5)


CASES = {
    "causal": lambda f, special: objectives.causal_batch(f(padded()), special=special),
    "masked": lambda f, special: objectives.masked_batch(
        f(padded()), VOCAB, stream(), share=0.6, special=special
    ),
    "seq2seq": lambda f, special: objectives.seq2seq_batch(
        [(f(x), f(y)) for x, y in pairs()], special=special
    ),
    "prefix": lambda f, special: objectives.prefix_batch(
        f(padded()), torch.tensor([2, 3, 4]), special=special
    ),
    "joined": lambda f, special: objectives.joined_batch([(f(x), f(y)) for x, y in pairs()], special=special),
    "assistant": lambda f, special: objectives.assistant_batch(
        [(f(row), row % 2 == 0) for row in rows()], special=special
    ),
    "packed": lambda f, special: packed_batch([f(row) for row in rows()], 7, special=special),
    "spans": lambda f, special: denoising.span_corruption(
        [f(row) for row in rows()], stream(), share=0.5, special=special
    ),
    "denoising": lambda f, special: denoising.denoising(
        [f(row) for row in rows()], stream(), shuffle=False, special=special
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_another_numbering_is_the_same_batch_renumbered(name):
    batch = CASES[name](lambda tokens: tokens, BYTE_TOKENS)
    other = CASES[name](renumbered, FIRST)
    for field in ("inputs", "targets", "source"):
        if (ours := getattr(batch, field)) is not None:
            assert torch.equal(renumbered(ours), getattr(other, field)), field
    for field in ("mask", "positions", "source_positions", "prefix", "segments"):
        if (ours := getattr(batch, field)) is not None:
            assert torch.equal(ours, getattr(other, field)), field


def test_spans_go_back_in_another_numbering():
    text = renumbered(torch.arange(40))
    source, target = denoising.hide_spans(text, stream(), special=FIRST)
    assert torch.equal(denoising.restore_spans(source, target, special=FIRST), text)


def test_tokens_outside_the_reserved_range_are_refused():
    numbers = vars(FIRST)
    with pytest.raises(ValueError, match="token 200: allowed are those in range"):
        SpecialTokens(**numbers | {"mask": 200})
    with pytest.raises(ValueError, match=r"sentinels=range\(100, 200\)"):
        SpecialTokens(**numbers | {"sentinels": range(100, 200)})
