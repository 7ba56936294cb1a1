"""One loss for all objectives, equal to its sum written out; batches that are padded and moved whole."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from course_lib.tasks.tokenizer import PAD
from course_lib.train import batches
from course_lib.train.batches import Batch


def plain_loss(logits, targets, mask):
    """-(1/|M|) sum of log p, one number at a time."""
    total, count = 0.0, 0
    for b in range(len(logits)):
        for t in range(logits.shape[1]):
            if mask[b, t]:
                scores = logits[b, t].tolist()
                total -= scores[targets[b, t]] - math.log(sum(math.exp(s) for s in scores))
                count += 1
    return total / count


def example(seed=0, rows=3, length=5, vocab=7):
    torch.manual_seed(seed)
    logits = torch.randn(rows, length, vocab, dtype=torch.float64)
    mask = torch.rand(rows, length) < 0.5
    mask[0, 0] = True
    return logits, torch.randint(vocab, (rows, length)), mask


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_the_sum_written_out(seed):
    logits, targets, mask = example(seed)
    found = batches.masked_loss(logits, targets, mask)
    assert found.item() == pytest.approx(plain_loss(logits, targets, mask), rel=1e-12)


def test_what_does_not_count_has_no_gradient():
    logits, targets, mask = example()
    logits.requires_grad_()
    batches.masked_loss(logits, targets, mask).backward()
    assert (logits.grad[~mask] == 0).all() and (logits.grad[mask] != 0).any(dim=-1).all()
    expected = (logits.softmax(-1) - nn.functional.one_hot(targets, 7)) / mask.sum()
    assert_close(logits.grad[mask], expected[mask])


def test_each_loss_calls_its_kind_of_model():
    logits, targets, mask = example()
    inputs, source, prefix = torch.zeros(3, 5).long(), torch.ones(3, 4).long(), torch.tensor([1, 2, 3])
    places = torch.arange(5).expand(3, -1)
    batch = Batch(inputs, targets, mask, places, source, places[:, :4], prefix, inputs)
    seen = []

    class Model(nn.Module):
        def forward(self, *arguments, **named):
            seen.append((*arguments, *named.values()))
            return logits

    expected = batches.masked_loss(logits, targets, mask)
    for loss in (batches.language_loss, batches.seq2seq_loss, batches.prefix_loss):
        assert torch.equal(loss(Model(), batch), expected)
    wanted = [(inputs, places), (source, inputs, batch.source_positions), (inputs, prefix)]
    assert [[id(a) for a in found] for found in seen] == [[id(a) for a in want] for want in wanted]


def test_targets_are_counted():
    _, targets, mask = example()
    assert batches.target_count(Batch(targets, targets, mask)) == int(mask.sum())
    assert batches.target_count((targets, targets)) == targets.numel()
    assert Batch(targets, targets, mask).supervised == pytest.approx(mask.sum().item() / mask.numel())


def test_a_batch_moves_with_what_it_has():
    _, targets, mask = example()
    moved = Batch(targets, targets, mask, source=targets).to("meta")
    assert {part.device.type for part in moved if part is not None} == {"meta"}
    assert moved.prefix is None and moved.source is not None and isinstance(moved, Batch)


def test_rows_are_padded_on_the_right():
    rows = [torch.arange(3), torch.arange(5), torch.arange(0)]
    padded = batches.pad_rows(rows)
    assert padded.shape == (3, 5) and padded.dtype == torch.int64
    for row, found in zip(rows, padded, strict=True):
        assert found.tolist() == row.tolist() + [PAD] * (5 - len(row))


def test_every_item_is_drawn_and_the_stream_decides():
    def items(seed):
        return batches.sample_items("abc", 50, torch.Generator().manual_seed(seed))

    assert set(items(0)) == set("abc") and items(0) == items(0) != items(1)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: batches.masked_loss(*example()[:2], torch.zeros(3, 5).bool()), "mask is False"),
        (lambda: batches.pad_rows([]), "rows is empty"),
        (lambda: batches.pad_rows([torch.arange(2)], side="top"), "side='top'"),
        (lambda: batches.sample_items([], 1, torch.Generator()), "0 items"),
        (lambda: batches.sample_items([1], 0, torch.Generator()), "count=0"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
