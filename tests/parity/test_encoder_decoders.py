"""T5 (1.0 and 1.1), BART and Marian equal `transformers` in float64; a cached step equals the full pass."""

from functools import partial

import numpy as np
import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

from course_lib.costs.cache import cache_bytes
from course_lib.generate.decode import cached_step, generate, recomputing_step
from course_lib.layers.positions.absolute import sinusoidal
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.encoder_decoder import EncoderDecoder
from tests.parity.twins import TOLERANCE, Twins, check_counts, check_gradients, check_weights_come_back, twins

T5 = {
    "vocab_size": 29,
    "d_model": 15,
    "d_kv": 7,
    "d_ff": 11,
    "num_heads": 3,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "relative_attention_num_buckets": 10,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
BART = {
    "vocab_size": 29,
    "d_model": 15,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 5,
    "encoder_ffn_dim": 11,
    "decoder_ffn_dim": 13,
    "max_position_embeddings": 21,
    "scale_embedding": True,
}
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
FAMILIES = ("t5-1.0", "t5-1.1", "bart", "marian")
SOURCE = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [0] * 4 + [1] * 5])


def untied_t5(config: T5Config) -> T5ForConditionalGeneration:
    """T5 1.1 as its checkpoints are: one word table for both stacks, and a head of its own."""
    model = T5ForConditionalGeneration(config)
    model.encoder.embed_tokens = model.decoder.embed_tokens = model.shared
    return model


untied_t5.__module__ = T5ForConditionalGeneration.__module__


def marian_with_wide_sines(config: MarianConfig) -> MarianMTModel:
    """Their table of sines is made in float32; this is its formula in float64, by NumPy."""
    model, width = MarianMTModel(config), config.d_model
    angles = np.array(
        [
            [place / np.power(10_000, 2 * (j // 2) / width) for j in range(width)]
            for place in range(config.max_position_embeddings)
        ]
    )
    table = torch.from_numpy(np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], axis=1))
    for stack in (model.model.encoder, model.model.decoder):
        torch.testing.assert_close(stack.embed_positions.weight.double(), table, rtol=0, atol=1e-6)  # float32
        stack.embed_positions.weight.data = table
    return model


marian_with_wide_sines.__module__ = MarianMTModel.__module__


def build(family: str) -> Twins:
    if family == "t5-1.0":
        return twins(T5Config(**T5), T5ForConditionalGeneration, EncoderDecoder)
    if family == "t5-1.1":
        config = T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
        config.tie_word_embeddings = False  # version 5 has set it to True
        return twins(config, untied_t5, EncoderDecoder)
    if family == "bart":
        return twins(BartConfig(**BART, **IDS), BartForConditionalGeneration, EncoderDecoder)
    config = MarianConfig(**BART, **IDS, activation_function="swish")
    return twins(config, marian_with_wide_sines, EncoderDecoder)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request):
    return build(request.param)


def test_counts(pair):
    check_counts(pair)


def test_weights_both_ways(pair):
    check_weights_come_back(pair)


def test_t5_1_1_neither_ties_nor_scales():
    spec = build("t5-1.1").spec
    assert (spec.embeddings.tied, spec.logit_scale, spec.layers[0].ffn.kind) == (False, 1.0, "glu")


@torch.no_grad()
def test_encoder_states(pair):
    source = pair.tokens(2, 13)
    theirs = pair.say(source, decoder_input_ids=source[:, :1]).encoder_last_hidden_state
    torch.testing.assert_close(pair.ours.encode(source).states, theirs, **TOLERANCE)


@torch.no_grad()
def test_logits(pair):
    source, target = pair.tokens(2, 13), pair.tokens(2, 17)
    expected = pair.say(source, decoder_input_ids=target).logits
    torch.testing.assert_close(pair.ours(source, target), expected, **TOLERANCE)


def test_gradients(pair):
    source, target = pair.tokens(2, 7), pair.tokens(2, 5)
    inputs = {"input_ids": source, "decoder_input_ids": target}
    check_gradients(pair, lambda: pair.ours(source, target), **inputs)


@torch.no_grad()
def test_a_padded_source_counts_as_the_source_alone(pair):
    source, target = pair.tokens(3, 9), pair.tokens(3, 5)
    ours = pair.ours(source, target, positions_from_padding(SOURCE))
    for row, real in enumerate(SOURCE.bool()):
        one = slice(row, row + 1)
        alone = pair.say(source[one, real], decoder_input_ids=target[one]).logits
        torch.testing.assert_close(ours[one], alone, **TOLERANCE)
    theirs = pair.say(source[:2], attention_mask=SOURCE[:2], decoder_input_ids=target[:2]).logits
    torch.testing.assert_close(ours[:2], theirs, **TOLERANCE)


@torch.no_grad()
def test_a_target_padded_on_the_left_counts_as_the_target_alone(pair):
    source, target = pair.tokens(2, 7), pair.tokens(2, 9)
    mask = torch.tensor([[1] * 9, [0] * 4 + [1] * 5])
    ours = pair.ours(source, target, positions=positions_from_padding(mask))
    for row, real in enumerate(mask.bool()):
        one = slice(row, row + 1)
        alone = pair.say(source[one], decoder_input_ids=target[one, real]).logits[0]
        torch.testing.assert_close(ours[row, real], alone, **TOLERANCE)


@torch.no_grad()
def test_a_cached_step_equals_the_full_pass_and_theirs(pair):
    source, target = pair.tokens(2, 9), pair.tokens(2, 13)
    full = pair.say(source, decoder_input_ids=target).logits
    encoded, cache, their_cache = pair.ours.encode(source), pair.ours.make_cache(2, 13), None
    fixed = encoded.nbytes
    for start, end in ((0, 4), *((i, i + 1) for i in range(4, 13))):
        ours = pair.ours.decode(encoded, target[:, start:end], cache=cache)
        said = pair.say(
            source, decoder_input_ids=target[:, start:end], past_key_values=their_cache, use_cache=True
        )
        their_cache = said.past_key_values
        torch.testing.assert_close(ours, full[:, start:end], **TOLERANCE)
        torch.testing.assert_close(ours, said.logits, **TOLERANCE)
        assert encoded.nbytes == fixed
    last = pair.ours.decode(encoded, target[:, -1:], cache=pair.ours.make_cache(2, 1), last_only=True)
    assert last.shape == (2, 1, pair.spec.vocab)


@torch.no_grad()
@pytest.mark.parametrize("tokens", [1, 4, 13])
def test_bytes_of_both_caches_equal_the_formula(pair, tokens):
    source, target = pair.tokens(2, 9), pair.tokens(2, tokens)
    encoded, cache = pair.ours.encode(source), pair.ours.make_cache(2, tokens)
    pair.ours.decode(encoded, target, cache=cache)
    formula = partial(cache_bytes, pair.spec, batch=2, tokens=tokens, bytes_per_element=8)
    assert cache.nbytes + encoded.nbytes == formula(source_tokens=9)
    assert encoded.nbytes == 9 * (formula(source_tokens=2) - formula(source_tokens=1))
    theirs = pair.say(source, decoder_input_ids=target, use_cache=True).past_key_values
    halves = (theirs.self_attention_cache, theirs.cross_attention_cache)
    held = [sum(layer.keys.nbytes + layer.values.nbytes for layer in half.layers) for half in halves]
    assert held == [cache.nbytes, encoded.nbytes]


def test_greedy_generation_equals_theirs(pair):
    source = pair.tokens(2, 9)
    start = pair.theirs.config.decoder_start_token_id
    with torch.no_grad():
        encoded = pair.ours.encode(source)
    reader, prompt = partial(pair.ours.decode, encoded), torch.full((2, 1), start)
    steps = (cached_step(reader, pair.ours.make_cache(2, 8)), recomputing_step(reader))
    cached, recomputed = (generate(step, prompt, max_new_tokens=8) for step in steps)
    assert torch.equal(cached, recomputed)
    logits, tokens = [], prompt
    for _ in range(8):
        logits = pair.say(source, decoder_input_ids=tokens).logits[:, -1]
        tokens = torch.cat((tokens, logits.argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(cached, tokens[:, 1:])


def test_sines_stand_in_halves():
    places = torch.arange(5)[None]
    table = sinusoidal(places, 6, layout="halves", dtype=torch.float64)[0]
    angles = places[0, :, None] / 10_000 ** (torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    torch.testing.assert_close(table, torch.cat((angles.sin(), angles.cos()), dim=1), **TOLERANCE)
