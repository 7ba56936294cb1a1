"""N-gram baselines against dictionaries and the formulas of Kneser and Ney 1995 and Chen and Goodman 1998."""

import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.evaluate.ngrams import kneser_ney, two_sided
from course_lib.tasks.corpora import blocks, stdlib_source
from course_lib.tasks.special_tokens import BYTE_TOKENS
from course_lib.train.objectives import masked_batch
from tests.shapes import unchecked

VOCAB = 4
HIDDEN = 9
TEXT = [0, 1, 0, 2, 0, 1, 1, 3, 0, 1, 0, 2, 2, 1, 0, 1, 0, 3, 3, 1, 0, 2, 0, 1, 2, 0, 0, 1, 3, 2, 0]


def discount(counts):
    """D = n1 / (n1 + 2 n2), and 1/2 where the text has no such counts."""
    n1 = sum(1 for count in counts.values() if count == 1)
    n2 = sum(1 for count in counts.values() if count == 2)
    return n1 / (n1 + 2 * n2) if n1 > 0 and n2 > 0 else 0.5


def discounted(counts, context, token, lower):
    """P(x | h) = (max(c(h x) - D, 0) + D N(h) P(x | shorter h)) / c(h)."""
    d = discount(counts)
    total = sum(count for (h, _), count in counts.items() if h == context)
    kinds = sum(1 for h, _ in counts if h == context)
    if total == 0:
        return lower
    return max(counts.get((context, token), 0) - d, 0) / total + d * kinds / total * lower


def plain_kneser_ney(train, history, token, order, vocab, highest=True):
    if order == 0:
        return 1 / vocab
    if highest:
        grams = [tuple(train[i : i + order]) for i in range(len(train) - order + 1)]
        counts = Counter((gram[:-1], gram[-1]) for gram in grams)
    else:
        before = defaultdict(set)  # of each n-gram, the different tokens that stood before it
        for i in range(1, len(train) - order + 1):
            before[tuple(train[i : i + order])].add(train[i - 1])
        counts = {(gram[:-1], gram[-1]): len(tokens) for gram, tokens in before.items()}
    context = tuple(history[len(history) - order + 1 :])
    lower = plain_kneser_ney(train, history, token, order - 1, vocab, highest=False)
    return discounted(counts, context, token, lower)


def plain_row(train, row, n, vocab):
    """Nats of every token after the first; near the start the order is what the history allows."""
    return [
        -math.log(plain_kneser_ney(train, row[:i], row[i], min(n, i + 1), vocab)) for i in range(1, len(row))
    ]


def plain_between(train, left, right, token, vocab):
    """P(token | left, right), both in reading order: the mean of both shorter contexts below the longest."""
    a, b = len(left), len(right)
    windows = [
        ((tuple(train[i - a : i]), tuple(train[i + 1 : i + 1 + b])), train[i])
        for i in range(a, len(train) - b)
    ]
    shorter = []
    if a:
        shorter.append(plain_between(train, left[1:], right, token, vocab))
    if b:
        shorter.append(plain_between(train, left, right[:-1], token, vocab))
    lower = sum(shorter) / len(shorter) if shorter else 1 / vocab
    return discounted(Counter(windows), (tuple(left), tuple(right)), token, lower)


def plain_masked(train, inputs, targets, mask, vocab, reach, kept):
    """Nats of each masked token of one row."""
    nats = []
    for i in (i for i, masked in enumerate(mask) if masked):
        hidden = [mask[j] or inputs[j] not in train for j in range(len(inputs))]
        left, right = i, i + 1
        while left > 0 and i - left < reach and not hidden[left - 1]:
            left -= 1
        while right < len(inputs) and right - i - 1 < reach and not hidden[right]:
            right += 1
        chances = [
            plain_between(train, inputs[left:i], inputs[i + 1 : right], x, vocab) for x in range(vocab)
        ]
        if inputs[i] in train:  # Bayes: kept as it was, or drawn from all tokens
            shown = [kept * (x == inputs[i]) + (1 - kept) / vocab for x in range(vocab)]
            joint = [chance * likely for chance, likely in zip(chances, shown, strict=True)]
            chances = [part / sum(joint) for part in joint]
        nats.append(-math.log(chances[targets[i]]))
    return nats


tokens = st.integers(0, VOCAB - 1)
texts = st.lists(tokens, min_size=5, max_size=40)


@given(texts, st.lists(st.lists(tokens, min_size=7, max_size=7), min_size=1, max_size=3))
def test_kneser_ney_equals_its_formulas(train, rows):
    found = kneser_ney(torch.tensor(train), torch.tensor(rows), orders=4, vocab=VOCAB)
    for n in range(1, 5):
        nats = [nat for row in rows for nat in plain_row(train, row, n, VOCAB)]
        assert found[n] == pytest.approx(sum(nats) / len(nats), rel=0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_a_stream_equals_its_formulas(n):
    stream = [3, 3, 0, 1, 0, 2, 1, 1, 1, 3, 0]
    expected = plain_row(TEXT, stream, n, VOCAB)
    found = kneser_ney(torch.tensor(TEXT), torch.tensor(stream), orders=n, vocab=VOCAB)
    assert list(found) == list(range(1, n + 1))
    assert found[n] == pytest.approx(sum(expected) / len(expected), rel=0, abs=1e-12)


def test_a_bigram_by_hand():
    """Text 0 1 0 2 0 1 1. Pairs 01 twice, 10 20 02 11 once: n1 = 4, n2 = 1, D = 2/3. After 0 stood 1 1 2.
    Before 0 stood 1 2, before 1 stood 0 1, before 2 stood 0: counts 2 2 1, so D = 1 / (1 + 2 * 2) = 1/5."""
    text = torch.tensor([0, 1, 0, 2, 0, 1, 1])
    lower = (2 - 1 / 5) / 5 + 1 / 5 * 3 / 5 * 1 / 3
    expected = (2 - 2 / 3) / 3 + 2 / 3 * 2 / 3 * lower
    found = kneser_ney(text, torch.tensor([0, 1]), orders=2, vocab=3)
    assert found[2] == pytest.approx(-math.log(expected), rel=1e-14)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("history", [[0], [0, 1, 0], [3, 2, 2, 1], [1, 3, 0, 1]])
def test_chances_of_all_continuations_sum_to_one(order, history):
    def chance(token):
        row = torch.tensor([*history, token])
        mean = kneser_ney(torch.tensor(TEXT), row, orders=order, vocab=VOCAB)[order]
        known = (
            kneser_ney(torch.tensor(TEXT), row[:-1], orders=order, vocab=VOCAB) if len(history) > 1 else {}
        )
        return math.exp(known.get(order, 0.0) * (len(history) - 1) - mean * len(history))

    assert sum(map(chance, range(VOCAB))) == pytest.approx(1, abs=1e-12)


def test_a_token_that_follows_one_token_alone_is_not_expected_elsewhere():
    """`Francisco`: 2 stands only after 1, ten times; 3 stands after 4, 5 and 6, three times in all."""
    text = torch.tensor([1, 2] * 10 + [4, 3, 0, 5, 3, 0, 6, 3, 0, 7])
    after_new = {token: kneser_ney(text, torch.tensor([7, token]), orders=2, vocab=8)[2] for token in (2, 3)}
    assert after_new[3] < after_new[2]
    counted = {token: kneser_ney(text, torch.tensor([7, token]), orders=1, vocab=8)[1] for token in (2, 3)}
    assert counted[2] < counted[3]


def test_rows_are_scored_apart_and_a_stream_as_one():
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(VOCAB, (300,), generator=generator)
    rows = torch.randint(VOCAB, (5, 9), generator=generator)
    together = kneser_ney(text, rows, vocab=VOCAB)
    apart = [kneser_ney(text, row, vocab=VOCAB) for row in rows]
    for n, mean in together.items():
        assert mean == pytest.approx(sum(row[n] for row in apart) / 5, abs=1e-12)
    assert together != kneser_ney(text, rows.flatten(), vocab=VOCAB)


@pytest.mark.parametrize("size", [2_000, 50_000])
def test_certain_text_costs_nothing_and_chance_the_logarithm_of_the_vocabulary(size):
    constant = torch.full((size,), 7)
    assert max(kneser_ney(constant, constant[:100], vocab=16).values()) < 1e-3
    generator = torch.Generator().manual_seed(1)
    text, valid = (torch.randint(16, (n,), generator=generator) for n in (size, 5_000))
    found = kneser_ney(text, valid, orders=2, vocab=16)
    assert found[1] == pytest.approx(math.log(16), abs=0.01)
    assert found[2] == pytest.approx(math.log(16), abs=0.1 if size < 10_000 else 0.01)


def test_other_integers_and_a_large_vocabulary():
    text, valid = torch.tensor(TEXT), torch.tensor([3, 0, 1, 0])
    expected = kneser_ney(text, valid, vocab=4096)
    assert kneser_ney(text.int(), valid.to(torch.int8), vocab=4096) == expected
    moved = kneser_ney(text + 4000, valid + 4000, vocab=4096)
    assert list(moved.values()) == pytest.approx(list(expected.values()), abs=1e-12)


def test_python_source_is_cheaper_with_every_order():
    corpus = stdlib_source(200_000)
    pairs = blocks(corpus.valid, 32, 64)
    rows = torch.cat([torch.cat([x, y[:, -1:]], dim=1) for x, y in pairs])
    by_row, stream = kneser_ney(corpus.train, rows), kneser_ney(corpus.train, corpus.valid)
    assert 3.5 > by_row[1] > by_row[2] + 0.4 > by_row[3] + 0.8 > by_row[4] + 0.9 > 2
    assert all(0 < by_row[n] - stream[n] < 0.06 for n in (3, 4))


@st.composite
def damaged(draw):
    targets = draw(st.lists(tokens, min_size=7, max_size=7))
    mask = draw(st.lists(st.booleans(), min_size=7, max_size=7).filter(any))
    put = st.one_of(st.just(HIDDEN), tokens)
    inputs = [draw(put) if masked else t for t, masked in zip(targets, mask, strict=True)]
    if draw(st.booleans()):
        inputs[draw(st.integers(0, 6))] = HIDDEN  # padding, or a separator, that nobody asks for
    return inputs, targets, mask


@given(texts, damaged(), st.integers(0, 2), st.sampled_from([0.0, 0.5, 0.9]))
def test_two_sided_equals_its_formulas(train, row, reach, kept):
    found = two_sided(
        torch.tensor(train), *(torch.tensor([part]) for part in row), vocab=VOCAB, reach=reach, kept=kept
    )
    nats = plain_masked(train, *row, VOCAB, reach, kept)
    assert found == pytest.approx(sum(nats) / len(nats), rel=0, abs=1e-12)


@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("shown", [HIDDEN, 0, 1, 3])
def test_chances_of_all_tokens_at_a_masked_place_sum_to_one(reach, shown):
    inputs, mask = torch.tensor([[0, 1, shown, 2, HIDDEN]]), torch.tensor([[0, 0, 1, 0, 0]]).bool()
    nats = [
        two_sided(torch.tensor(TEXT), inputs, torch.full_like(inputs, token), mask, vocab=VOCAB, reach=reach)
        for token in range(VOCAB)
    ]
    assert sum(math.exp(-nat) for nat in nats) == pytest.approx(1, abs=1e-12)


def test_a_masked_neighbour_is_hidden_whatever_it_shows():
    targets = torch.tensor([[0, 1, 0, 2, 0]])
    mask = torch.tensor([[0, 1, 1, 0, 0]]).bool()
    found = {
        two_sided(
            torch.tensor(TEXT), torch.tensor([[0, shown, HIDDEN, 2, 0]]), targets, mask, vocab=4, kept=0.0
        )
        for shown in (0, 1, 2, HIDDEN)
    }
    assert len(found) == 1


@pytest.mark.parametrize("row", [[0, HIDDEN, HIDDEN, 2, 0], [0, 2, HIDDEN, HIDDEN, 0]])
def test_nothing_counts_beyond_a_hidden_neighbour(row):
    mask = torch.tensor([[0, 0, 1, 0, 0]]).bool()
    beyond = 0 if row[1] == HIDDEN else 4
    rows = [[*row[:beyond], token, *row[beyond + 1 :]] for token in (0, 1, 3, HIDDEN)]
    found = {
        two_sided(
            torch.tensor(TEXT), torch.tensor([inputs]), torch.zeros_like(mask, dtype=int), mask, vocab=4
        )
        for inputs in rows
    }
    nats = plain_masked(TEXT, row, [0] * 5, mask[0].tolist(), VOCAB, 2, 0.5)
    assert len(found) == 1 and found.pop() == pytest.approx(nats[0], abs=1e-12)


def test_two_sided_certain_and_by_chance():
    mask = torch.zeros(40, 25, dtype=torch.bool)
    mask[:, ::5] = True
    constant = torch.full((2_000,), 7)
    rows = torch.full((40, 25), 7)
    assert two_sided(constant, rows.masked_fill(mask, 16), rows, mask, vocab=16) < 1e-3
    generator = torch.Generator().manual_seed(2)
    text = torch.randint(16, (50_000,), generator=generator)
    rows = torch.randint(16, (40, 25), generator=generator)
    found = two_sided(text, rows.masked_fill(mask, 16), rows, mask, vocab=16, reach=1)
    assert found == pytest.approx(math.log(16), abs=0.2)


def test_both_sides_and_what_is_shown_help_on_python_source():
    corpus = stdlib_source(200_000)
    rows = corpus.valid[: 300 * 64].view(300, 64)
    batch = masked_batch(rows, BYTE_TOKENS.reserved.stop, torch.Generator().manual_seed(0))
    parts = batch.inputs, batch.targets, batch.mask
    nats = [two_sided(corpus.train, *parts, vocab=256, reach=reach) for reach in (0, 1, 2)]
    assert nats[0] > nats[1] + 0.5 > nats[2] + 0.8
    assert nats[2] + 0.05 < two_sided(corpus.train, *parts, vocab=256, kept=0.0)


ROW, MASK = torch.tensor([[0, 1, 2]]), torch.tensor([[False, True, False]])


@pytest.mark.parametrize(
    ("train", "valid", "options", "message"),
    [
        ([0, 1, 4, 1], [0, 1], {}, r"train has tokens from 0 to 4: allowed are 0 to 3"),
        ([0, 1, 2, 1], [-1, 1], {}, r"valid has tokens from -1 to 1: allowed are 0 to 3"),
        ([0, 1, 2], [0, 1], {}, r"train has shape \(3,\): allowed are 4 tokens or more"),
        ([0, 1, 2, 1], [0], {}, r"valid has shape \(1,\): allowed are 2 tokens or more"),
        ([0, 1, 2, 1], [[0], [1]], {}, r"valid has shape \(2, 1\): allowed are 2 tokens or more"),
        ([0, 1, 2, 1], [0, 1], {"orders": 0}, r"vocab=4, orders=0: allowed are 1 or more"),
        ([0, 0, 0, 0], [0, 0], {"vocab": 0}, r"vocab=0, orders=4: allowed are 1 or more"),
        ([0, 1, 2, 1], [0, 1], {"vocab": 65_537}, r"vocab=65537, orders=4: .* 17 bits of a token at most 63"),
    ],
)
def test_kneser_ney_refuses(train, valid, options, message):
    with pytest.raises(ValueError, match=message):
        kneser_ney(torch.tensor(train), torch.tensor(valid), **{"vocab": VOCAB} | options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": torch.tensor([0, 1, 7, 0, 1])}, r"train has tokens from 0 to 7: allowed are 0 to 3"),
        ({"train": torch.tensor([0, 1])}, r"train has shape \(2,\): allowed are 5 tokens or more"),
        ({"targets": ROW + 3}, r"targets has tokens from 4 to 4: allowed are 0 to 3"),
        ({"inputs": ROW[:, :2]}, r"inputs, targets, mask have shapes .*: allowed is one shape"),
        ({"mask": ~(MASK | True)}, r"mask is False everywhere: allowed is one place or more"),
        ({"reach": -1}, r"kept=0.5, reach=-1: allowed are 0 <= kept < 1, reach >= 0"),
        ({"kept": 1.0}, r"kept=1.0, reach=2: allowed are 0 <= kept < 1, reach >= 0"),
        ({"vocab": 0}, r"vocab=0, 2 reach \+ 1=5: allowed are 1 or more"),
        ({"vocab": 8193}, r"vocab=8193, 2 reach \+ 1=5: .* 14 bits of a token at most 63"),
    ],
)
def test_two_sided_refuses(changed, message):
    given = {"train": torch.tensor(TEXT), "inputs": ROW, "targets": ROW, "mask": MASK, "vocab": VOCAB}
    with pytest.raises(ValueError, match=message):
        unchecked(two_sided)(**given | changed)
