"""Objectives: each batch against its rule written out, and BERT's shares within their bounds."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.tasks.recall import induction
from course_lib.tasks.tokenizer import BOS, CLS, EOS, FIRST_MERGE, MASK, PAD, SEP
from course_lib.train import objectives
from course_lib.train.packing import packed_batch
from tests.shapes import unchecked

tokens = st.lists(st.integers(0, 255), min_size=0, max_size=9)
VOCAB = 400


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def within(count, total, share, deviations=5):
    """A binomial count leaves 5 standard deviations once in 1.7 million draws; the seed is fixed."""
    return abs(count - total * share) < deviations * (total * share * (1 - share)) ** 0.5


def test_causal_shifts_by_one_and_skips_padding():
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, PAD, PAD]])
    batch = objectives.causal_batch(rows)
    assert batch.inputs.tolist() == [[1, 2, 3], [5, 6, PAD]]
    assert batch.targets.tolist() == [[2, 3, 4], [6, PAD, PAD]]
    assert batch.mask.int().tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.source is batch.prefix is batch.segments is None


def test_causal_counts_what_it_is_told_to():
    rows = induction(4, 5, 300, stream())
    batch = objectives.causal_batch(*rows)
    assert torch.equal(batch.targets[batch.mask], rows.tokens[rows.mask])


def plain_packing(documents, length):
    """Write the stream as (token, document) pairs, and read rows off it."""
    written = [(t, i) for i, d in enumerate(documents) for t in (BOS, *d, EOS)]
    rows = []
    for start in range(0, len(written) - 1, length):
        window = written[start : start + length + 1]
        window += [(PAD, -1)] * (length + 1 - len(window))
        rows.append([(now[0], after[0], now[1] == after[1] >= 0, now[1]) for now, after in pairwise(window)])
    return rows


@given(st.lists(tokens, min_size=1, max_size=5), st.integers(1, 12))
def test_packing_equals_the_plain_form(documents, length):
    batch = packed_batch([torch.tensor(d).long() for d in documents], length)
    parts = zip(*(part.tolist() for part in (*batch[:3], batch.segments)), strict=True)
    assert [list(zip(*row, strict=True)) for row in parts] == plain_packing(documents, length)


@given(st.lists(tokens, min_size=1, max_size=5), st.integers(1, 12))
def test_packing_says_every_token_of_every_document_once(documents, length):
    batch = packed_batch([torch.tensor(d).long() for d in documents], length)
    said = batch.targets[batch.mask].tolist()
    assert said == [t for d in documents for t in (*d, EOS)]


def test_masked_shares_are_berts():
    """15 % of each row, rounded; of those 80 % mask, 10 % any text token, 10 % the token itself."""
    rows, length = 400, 200
    text = torch.randint(0, 256, (rows, length), generator=stream(1))
    batch = objectives.masked_batch(text, VOCAB, stream(2))
    assert torch.equal(batch.targets, text)
    assert (batch.mask.sum(dim=1) == 30).all()
    assert torch.equal(batch.inputs[~batch.mask], text[~batch.mask])
    shown, true, total = batch.inputs[batch.mask], text[batch.mask], rows * 30
    texts = VOCAB - (FIRST_MERGE - 256)  # tokens a replacement is drawn from
    assert within((shown == MASK).sum().item(), total, 0.8)
    assert within((shown == true).sum().item(), total, 0.1 + 0.1 / texts)
    assert within(((shown != MASK) & (shown != true)).sum().item(), total, 0.1 * (1 - 1 / texts))
    assert within((shown >= FIRST_MERGE).sum().item(), total, 0.1 * (VOCAB - FIRST_MERGE) / texts)


def test_every_place_is_chosen_as_often():
    rows, length = 20_000, 10
    text = torch.full((rows, length), 65)
    counts = objectives.masked_batch(text, VOCAB, stream(), share=0.2).mask.sum(dim=0)
    assert all(within(count.item(), rows, 0.2) for count in counts)


def test_a_replacement_is_any_text_token_and_nothing_else():
    text = torch.full((100, 400), 65)
    batch = objectives.masked_batch(text, 372, stream(), share=1.0)
    shown = batch.inputs[batch.inputs != MASK]
    assert set(shown.tolist()) == {*range(256), *range(FIRST_MERGE, 372)}


def test_control_tokens_and_padding_are_never_chosen():
    row = [CLS, 65, 66, SEP, PAD, PAD]
    batch = objectives.masked_batch(torch.tensor([row] * 200 + [[CLS, SEP] + [PAD] * 4]), VOCAB, stream())
    assert batch.mask[:200].sum(dim=1).eq(1).all() and not batch.mask[200].any()
    assert not batch.mask[:, [0, 3, 4, 5]].any() and batch.mask[:, [1, 2]].any(dim=0).all()


def test_merges_are_text_and_their_share_is_rounded():
    merges = torch.full((2, 11), FIRST_MERGE)
    assert objectives.masked_batch(merges, VOCAB, stream()).mask.sum(dim=1).tolist() == [2, 2]  # of 1.65


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=4))
def test_seq2seq_is_teacher_forcing(pairs):
    batch = objectives.seq2seq_batch([(torch.tensor(x).long(), torch.tensor(y).long()) for x, y in pairs])
    for row, (x, y) in enumerate(pairs):

        def filled(part, width):
            return part + [PAD] * (width - len(part))

        assert batch.source[row].tolist() == filled([*x, EOS], batch.source.shape[1])
        assert batch.inputs[row].tolist() == filled([BOS, *y], batch.inputs.shape[1])
        assert batch.targets[row].tolist() == filled([*y, EOS], batch.inputs.shape[1])
        assert batch.mask[row].tolist() == [i <= len(y) for i in range(batch.inputs.shape[1])]
    assert torch.equal(batch.inputs[:, 1:][batch.mask[:, 1:]], batch.targets[:, :-1][batch.mask[:, 1:]])


@given(st.lists(st.integers(0, 255), min_size=2, max_size=9), st.data())
def test_prefix_counts_only_what_follows(row, data):
    length = data.draw(st.integers(1, len(row) - 1))
    batch = objectives.prefix_batch(torch.tensor([row]), torch.tensor([length]))
    assert batch.targets[batch.mask].tolist() == row[length:]
    assert batch.inputs[0, :length].tolist() == row[:length] and batch.prefix.tolist() == [length]


def test_a_prefix_of_one_is_the_causal_batch():
    rows = torch.randint(0, 256, (3, 6), generator=stream())
    ours = objectives.prefix_batch(rows, torch.tensor([1, 1, 1]))
    for left, right in zip(ours[:3], objectives.causal_batch(rows)[:3], strict=True):
        assert torch.equal(left, right)


@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=4))
def test_pairs_in_one_text_ask_for_the_same_targets_as_seq2seq(pairs):
    pairs = [(torch.tensor(x).long(), torch.tensor(y).long()) for x, y in pairs]
    joined, apart = objectives.joined_batch(pairs), objectives.seq2seq_batch(pairs)
    assert joined.targets[joined.mask].tolist() == apart.targets[apart.mask].tolist()
    for row, (x, _) in enumerate(pairs):
        assert joined.inputs[row, joined.prefix[row] - 1] == SEP and joined.prefix[row] == len(x) + 1


def test_the_assistant_is_trained_on_what_it_wrote():
    examples = [
        (torch.tensor([1, 2, 3, 4, 5]), torch.tensor([False, True, True, False, True])),
        (torch.tensor([6, 7]), torch.tensor([False, True])),
    ]
    batch = objectives.assistant_batch(examples)
    assert batch.targets[batch.mask].tolist() == [2, 3, 5, 7]
    assert batch.inputs[batch.mask].tolist() == [1, 2, 4, 6]
    assert batch.inputs[1].tolist() == [6, 7, PAD, PAD]


def test_the_stream_decides():
    text = torch.randint(0, 256, (4, 30), generator=stream())
    a, b, c = (objectives.masked_batch(text, VOCAB, stream(seed)).inputs for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: objectives.causal_batch(torch.ones(2, 1).long()), "tokens has shape"),
        (
            lambda: unchecked(objectives.causal_batch)(torch.ones(2, 3).long(), torch.ones(2, 2).bool()),
            "counts has",
        ),
        (lambda: packed_batch([], 3), "0 documents"),
        (lambda: packed_batch([torch.ones(2).long()], 0), "length=0"),
        (lambda: objectives.masked_batch(torch.ones(1, 3).long(), VOCAB, stream(), share=0.0), "share=0.0"),
        (lambda: objectives.masked_batch(torch.ones(1, 3).long(), 256, stream()), "vocab=256"),
        (lambda: objectives.seq2seq_batch([]), "rows is empty"),
        (lambda: objectives.prefix_batch(torch.ones(1, 3).long(), torch.tensor([3])), r"lengths=\[3\]"),
        (lambda: objectives.prefix_batch(torch.ones(1, 3).long(), torch.tensor([0])), r"lengths=\[0\]"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
