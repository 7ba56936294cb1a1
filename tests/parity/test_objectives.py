"""Our batches and our loss give the losses that `transformers` computes from labels, in float64.

There a place that does not count carries the label -100, and the model shifts by itself; here the mask and
the shift are in the batch.
"""

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from course_lib.tasks.tokenizer import BOS, EOS, PAD
from course_lib.train.batches import language_loss, masked_loss, seq2seq_loss
from course_lib.train.denoising import span_corruption
from course_lib.train.objectives import assistant_batch, causal_batch, masked_batch, seq2seq_batch

VOCAB, SKIPPED = 368, -100
IN_FLOAT32 = {"rtol": 1e-6, "atol": 0}  # their causal loss casts the logits to float32


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def text(rows=3, length=12):
    return torch.randint(0, 256, (rows, length), generator=stream())


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=64, n_embd=24, n_layer=2, n_head=3, bos_token_id=BOS, eos_token_id=EOS
    )
    return GPT2LMHeadModel(config).double().eval()


@pytest.fixture(scope="module")
def t5():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCAB, d_model=24, d_kv=8, d_ff=20, num_layers=2, num_heads=3,
        decoder_start_token_id=BOS, pad_token_id=PAD,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).double().eval()


def t5_logits(model):
    def call(source, inputs, positions):
        return model(source, attention_mask=positions >= 0, decoder_input_ids=inputs).logits

    return call


def t5_labels_loss(model, batch):
    labels = batch.targets.masked_fill(~batch.mask, SKIPPED)
    return model(batch.source, attention_mask=batch.source != PAD, labels=labels)


def test_causal_loss_is_theirs(gpt2):
    rows = text()
    rows[1, 8:] = PAD
    batch = causal_batch(rows)
    ours = language_loss(lambda inputs, positions: gpt2(inputs).logits, batch)
    theirs = gpt2(rows, labels=rows.masked_fill(rows == PAD, SKIPPED)).loss
    assert_close(ours, theirs.double(), **IN_FLOAT32)


def test_assistant_loss_is_theirs(gpt2):
    rows = text(1, 20)[0]
    written = torch.rand(20, generator=stream(1)) < 0.4
    ours = language_loss(lambda inputs, positions: gpt2(inputs).logits, assistant_batch([(rows, written)]))
    theirs = gpt2(rows[None], labels=rows.masked_fill(~written, SKIPPED)[None]).loss
    assert_close(ours, theirs.double(), **IN_FLOAT32)


def test_masked_loss_is_theirs():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20
    )
    model = BertForMaskedLM(config).double().eval()
    batch = masked_batch(text(4, 30), VOCAB, stream())
    ours = language_loss(lambda inputs, positions: model(inputs).logits, batch)
    theirs = model(batch.inputs, labels=batch.targets.masked_fill(~batch.mask, SKIPPED)).loss
    assert_close(ours, theirs)


def test_seq2seq_shift_and_loss_are_theirs(t5):
    pairs = [(torch.arange(1, 6), torch.arange(7, 9)), (torch.arange(3), torch.arange(20, 27))]
    batch = seq2seq_batch(pairs)
    shifted = t5._shift_right(batch.targets.masked_fill(~batch.mask, SKIPPED))
    # Behind the end of a target they shift its EOS in where we pad; neither place counts.
    assert torch.equal(shifted[batch.mask], batch.inputs[batch.mask])
    assert_close(seq2seq_loss(t5_logits(t5), batch), t5_labels_loss(t5, batch).loss)


def test_span_corruption_trains_their_model(t5):
    batch = span_corruption([text(1, 40)[0], text(1, 25)[0]], stream())
    theirs = t5_labels_loss(t5, batch)
    assert_close(masked_loss(theirs.logits, batch.targets, batch.mask), theirs.loss)
    assert_close(seq2seq_loss(t5_logits(t5), batch), theirs.loss)
