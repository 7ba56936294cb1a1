"""Each objective with its model: padding and neighbours change nothing, and training lowers the loss.

The loss of a batch has to be the mean over its rows' own losses, weighted by what counts in each. That fails
if an encoder sees padding, a prefix ends at the wrong place, or a packed document sees the one before it.
"""

import pytest
import torch
from torch.testing import assert_close

from course_lib.models.build import build_model
from course_lib.models.prefix_lm import PrefixLM
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.tasks.sequences import reversal, sample_pairs
from course_lib.tasks.tokenizer import PAD, Tokenizer
from course_lib.train.batches import (
    language_loss,
    packed_loss,
    pad_rows,
    prefix_loss,
    sample_items,
    seq2seq_loss,
)
from course_lib.train.denoising import span_corruption
from course_lib.train.loop import train
from course_lib.train.objectives import causal_batch, joined_batch, masked_batch, seq2seq_batch
from course_lib.train.packing import packed_batch

VOCAB = Tokenizer().vocab
LLAMA = {"model_type": "llama", "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2}
LLAMA |= {"vocab_size": VOCAB, "intermediate_size": 40}
BERT = {"model_type": "bert", "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 2}
BERT |= {"vocab_size": VOCAB, "intermediate_size": 40, "max_position_embeddings": 16}
BERT |= {"architectures": ["BertForMaskedLM"], "type_vocab_size": 2}
T5 = {"model_type": "t5", "d_model": 24, "d_kv": 8, "d_ff": 40, "num_heads": 3, "num_layers": 2}
T5 |= {"vocab_size": VOCAB}
PAIRS = [tuple(map(Tokenizer().encode, pair)) for pair in sample_pairs(reversal(), 300)]
ROWS = [source for source, _ in PAIRS[:4]]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def build(fields, make=build_model):
    torch.manual_seed(0)
    return make(spec_from_hf_config(fields))


def spans(pairs):
    return span_corruption([source for source, _ in pairs], stream())


def hidden(pairs):
    return masked_batch(pad_rows([source for source, _ in pairs]), VOCAB, stream())


def one_by_one(make, loss, items):
    """The weighted mean of the losses of single items."""
    batches = [make([item]) for item in items]
    counts = [batch.mask.sum() for batch in batches]
    return sum(loss(batch) * count for batch, count in zip(batches, counts, strict=True)) / sum(counts)


@pytest.mark.parametrize(
    ("fields", "kind", "make", "loss", "items"),
    [
        (LLAMA, build_model, lambda rows: causal_batch(pad_rows(rows)), language_loss, ROWS),
        (LLAMA, build_model, lambda rows: packed_batch(rows, 60), packed_loss, ROWS),
        (LLAMA, build_model, joined_batch, language_loss, PAIRS[:4]),
        (LLAMA, PrefixLM, joined_batch, prefix_loss, PAIRS[:4]),
        (T5, build_model, seq2seq_batch, seq2seq_loss, PAIRS[:4]),
    ],
    ids=["causal", "packed", "joined", "prefix", "seq2seq"],
)  # fmt: skip
def test_rows_do_not_disturb_one_another(fields, kind, make, loss, items):
    model = build(fields, kind).double().eval()
    together = make(items)
    assert (together.targets == PAD).any()
    assert_close(loss(model, together), one_by_one(make, lambda batch: loss(model, batch), items))


def test_padding_does_not_disturb_the_masked_model():
    model = build(BERT).double().eval()
    batch = masked_batch(pad_rows(ROWS), VOCAB, stream())
    assert (batch.positions == -1).any()
    total, count = 0.0, 0
    for i, row in enumerate(ROWS):
        n = len(row)
        alone = batch._replace(
            inputs=batch.inputs[i : i + 1, :n],
            targets=batch.targets[i : i + 1, :n],
            mask=batch.mask[i : i + 1, :n],
            positions=None,
        )
        total += language_loss(model, alone) * alone.mask.sum()
        count += alone.mask.sum()
    assert_close(language_loss(model, batch), total / count)


@pytest.mark.parametrize(
    ("fields", "kind", "make", "loss"),
    [
        (LLAMA, build_model, joined_batch, language_loss),
        (LLAMA, PrefixLM, joined_batch, prefix_loss),
        (T5, build_model, seq2seq_batch, seq2seq_loss),
        (T5, build_model, spans, seq2seq_loss),
        (BERT, build_model, hidden, language_loss),
    ],
    ids=["causal", "prefix", "seq2seq", "spans", "masked"],
)  # fmt: skip
def test_training_lowers_the_loss(fields, kind, make, loss):
    """The first loss is near ln 368 = 5.9 nats; ln 26 = 3.3 is what knowing the alphabet gives."""
    model = build(fields, kind)
    history = train(model, lambda g: make(sample_items(PAIRS, 16, g)), steps=60, lr=1e-2, loss_fn=loss)
    assert history.losses[0] > 5 and sum(history.losses[-5:]) / 5 < 4


def test_a_packed_document_alone_in_its_row_has_the_causal_loss():
    model, (row, *_) = build(LLAMA).double().eval(), ROWS
    batch = packed_batch([row], len(row) + 1)
    assert len(batch.inputs) == 1
    assert_close(packed_loss(model, batch), language_loss(model, batch))
