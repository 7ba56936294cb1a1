"""BERT, RoBERTa and ModernBERT equal `transformers` in float64: every layer's vectors, pooler, logits."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)

from course_lib.costs.flops import prefill_flops
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.encoder import Encoder, MaskedLM
from tests.parity.twins import TOLERANCE, check_counts, check_gradients, check_weights_come_back, twins

SIZES = {
    "vocab_size": 29,
    "hidden_size": 21,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 19,
}
MODERN = SIZES | {"hidden_size": 18, "num_hidden_layers": 5, "local_attention": 6}
MODERN |= {f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "cls", "sep")}
BIASED = {f"{part}_bias": True for part in ("attention", "mlp", "norm", "classifier")}
BARE = {
    "bert": (BertConfig(**SIZES, type_vocab_size=3), BertModel),
    "roberta": (RobertaConfig(**SIZES, pad_token_id=1, type_vocab_size=1), RobertaModel),
    "modernbert": (ModernBertConfig(**MODERN), ModernBertModel),
}
MASKED = {
    "bert": (BertConfig(**SIZES, hidden_act="relu"), BertForMaskedLM),
    "roberta": (RobertaConfig(**SIZES, pad_token_id=1, hidden_act="relu"), RobertaForMaskedLM),
    "modernbert": (ModernBertConfig(**MODERN), ModernBertForMaskedLM),
    "modernbert with biases": (ModernBertConfig(**MODERN, **BIASED), ModernBertForMaskedLM),
    "modernbert without the last": (ModernBertConfig(**MODERN, decoder_bias=False), ModernBertForMaskedLM),
}
PADDING = torch.tensor([[1] * 13, [1] * 9 + [0] * 4, [0] * 5 + [1] * 8])


@pytest.fixture(scope="module", params=BARE)
def bare(request):
    return twins(*BARE[request.param], Encoder)


@pytest.fixture(scope="module", params=MASKED)
def masked(request):
    return twins(*MASKED[request.param], MaskedLM)


def test_counts_without_a_head(bare):
    check_counts(bare)


def test_counts(masked):
    check_counts(masked)


def test_weights_both_ways_without_a_head(bare):
    check_weights_come_back(bare)


def test_weights_both_ways(masked):
    check_weights_come_back(masked)


@torch.no_grad()
def test_the_vectors_of_every_layer(bare):
    tokens = bare.tokens(2, 13)
    theirs = bare.say(tokens, output_hidden_states=True)
    states = bare.ours.states(tokens)
    assert len(states) == len(theirs.hidden_states) == len(bare.spec.layers) + 1
    for ours, expected in zip(states[:-1], theirs.hidden_states[:-1], strict=True):
        torch.testing.assert_close(ours, expected, **TOLERANCE)
    torch.testing.assert_close(bare.ours(tokens), theirs.last_hidden_state, **TOLERANCE)


@torch.no_grad()
def test_the_pooler(bare):
    tokens = bare.tokens(2, 7)
    states = bare.ours(tokens)
    if bare.spec.family == "modernbert":
        with pytest.raises(ValueError, match="head='none': only a model with head='pooler'"):
            bare.ours.pooled(states)
    else:
        torch.testing.assert_close(bare.ours.pooled(states), bare.say(tokens).pooler_output, **TOLERANCE)


@torch.no_grad()
def test_segments():
    pair = twins(*BARE["bert"], Encoder)
    tokens, segments = pair.tokens(2, 9), torch.randint(3, (2, 9))
    expected = pair.say(tokens, token_type_ids=segments).last_hidden_state
    torch.testing.assert_close(pair.ours(tokens, segments=segments), expected, **TOLERANCE)


@torch.no_grad()
def test_logits(masked):
    tokens = masked.tokens(2, 13)
    torch.testing.assert_close(masked.ours(tokens), masked.say(tokens).logits, **TOLERANCE)


@torch.no_grad()
def test_padding_on_either_side_changes_nothing(masked):
    """Padded rows equal theirs with the positions given, and equal theirs of the row alone."""
    tokens, positions = masked.tokens(3, 13), positions_from_padding(PADDING)
    ours = masked.ours(tokens, positions)
    for row, real in enumerate(PADDING.bool()):
        alone = masked.say(tokens[row : row + 1, real]).logits[0]
        torch.testing.assert_close(ours[row, real], alone, **TOLERANCE)
    right = masked.say(tokens[:2], attention_mask=PADDING[:2]).logits
    for row, real in enumerate(PADDING[:2].bool()):
        torch.testing.assert_close(ours[row, real], right[row, real], **TOLERANCE)


@torch.no_grad()
def test_roberta_finds_its_positions_from_padding_tokens():
    pair = twins(*MASKED["roberta"], MaskedLM)
    tokens = pair.tokens(2, 11)
    tokens[0, 7:] = tokens[1, :3] = 1  # the padding id
    real = tokens != 1
    ours = pair.ours(tokens, positions_from_padding(real))
    theirs = pair.say(tokens, attention_mask=real.long()).logits
    torch.testing.assert_close(ours[real], theirs[real], **TOLERANCE)


@torch.no_grad()
def test_flops(masked):
    """Their eager kernels compute every pair, also those that a local layer hides."""
    counter, tokens = FlopCounterMode(display=False), masked.tokens(1, 13)
    with counter:
        masked.theirs(tokens)
    expected = prefill_flops(masked.spec, 13, skip_masked=False, logit_positions=13)
    assert counter.get_total_flops() == expected
    local = any(layer.mixer.window for layer in masked.spec.layers)
    assert (prefill_flops(masked.spec, 13, logit_positions=13) < expected) == local


def test_gradients(masked):
    tokens = masked.tokens(2, 9)
    check_gradients(masked, lambda: masked.ours(tokens), input_ids=tokens)
