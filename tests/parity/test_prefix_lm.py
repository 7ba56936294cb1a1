"""A prefix language model equals Llama under a mask of four axes, and PaliGemma's text model."""

from functools import partial

import pytest
import torch
from transformers import (
    Gemma2Config,
    LlamaConfig,
    LlamaForCausalLM,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
)
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.paligemma import modeling_paligemma

from course_lib.generate.decode import cached_step, generate, recomputing_step
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.models.prefix_lm import PrefixLM, answers
from course_lib.specs.from_hf import spec_from_hf_config
from tests.parity.against_transformers import TOLERANCE, Pair, in_float64

SIZES = {"hidden_size": 18, "intermediate_size": 23, "num_hidden_layers": 3, "vocab_size": 29}
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}


@pytest.fixture(scope="module")
def pair():
    pair = Pair(LlamaConfig(**SIZES, **HEADS), LlamaForCausalLM)
    pair.prefix_lm = PrefixLM(pair.spec).double().eval()
    pair.prefix_lm.load_state_dict(pair.ours.state_dict())
    return pair


def additive(prefix: int, tokens: int) -> torch.Tensor:
    """[1 1 t t]: minus infinity for every later token, unless both stand in the prefix."""
    mask = torch.zeros(1, 1, tokens, tokens, dtype=torch.float64)
    for query in range(tokens):
        for key in range(query + 1, tokens):
            if max(query, key) >= prefix:
                mask[0, 0, query, key] = float("-inf")
    return mask


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 1, 5, 11])
def test_llama_under_a_mask_of_four_axes(pair, prefix):
    tokens = pair.tokens(2, 11)
    expected = pair.their_logits(tokens, attention_mask=additive(prefix, 11))
    torch.testing.assert_close(pair.prefix_lm(tokens, prefix_lengths=prefix), expected, **TOLERANCE)


@torch.no_grad()
def test_rows_of_unlike_prefix_and_padding(pair):
    tokens, lengths = pair.tokens(3, 11), torch.tensor([2, 7, 0])
    mask = torch.stack([(torch.arange(11) >= pad).long() for pad in (0, 3, 6)])
    ours = pair.prefix_lm(tokens, positions_from_padding(mask), prefix_lengths=lengths)
    for row, real in enumerate(mask.bool()):
        alone = tokens[row : row + 1, real]
        expected = pair.their_logits(alone, attention_mask=additive(int(lengths[row]), alone.shape[1]))
        torch.testing.assert_close(ours[row, real], expected[0], **TOLERANCE)


@torch.no_grad()
def test_a_prefix_of_nothing_is_the_causal_model(pair):
    tokens = pair.tokens(2, 9)
    assert torch.equal(pair.prefix_lm(tokens, prefix_lengths=0), pair.ours(tokens))


def test_gradients(pair):
    tokens, mask = pair.tokens(2, 9), additive(4, 9)
    direction = torch.randn(2, 9, 29).double()
    with in_float64(pair.modeling):
        logits = pair.theirs(tokens, attention_mask=mask, use_cache=False).logits
        theirs = torch.autograd.grad((logits * direction).sum(), list(pair.theirs.parameters()))
    names = [name for name, _ in pair.theirs.named_parameters()]
    expected = CausalLM(pair.spec).double()
    load_hf_weights(expected, dict(zip(names, theirs, strict=True)))  # their gradients, under our names
    (pair.prefix_lm(tokens, prefix_lengths=4) * direction).sum().backward()
    for name, parameter in pair.prefix_lm.named_parameters():
        want = expected.get_parameter(name)
        limits = {"rtol": 1e-10, "atol": 1e-10 * max(1.0, want.abs().max().item())}
        torch.testing.assert_close(parameter.grad, want.detach(), **limits)
    pair.prefix_lm.zero_grad()


@torch.no_grad()
def test_cached_steps_equal_the_full_pass(pair):
    tokens, cache = pair.tokens(2, 11), pair.prefix_lm.make_cache(2, 11)
    full = pair.their_logits(tokens, attention_mask=additive(4, 11))
    for start, end in ((0, 6), (6, 9), (9, 10), (10, 11)):
        ours = pair.prefix_lm(tokens[:, start:end], cache=cache, prefix_lengths=4)
        torch.testing.assert_close(ours, full[:, start:end], **TOLERANCE)


def test_generation_with_and_without_a_cache(pair):
    prompt, model = pair.tokens(2, 5), partial(pair.prefix_lm, prefix_lengths=5)
    steps = cached_step(model, pair.prefix_lm.make_cache(2, 12)), recomputing_step(model)
    cached, recomputed = (generate(step, prompt, max_new_tokens=6) for step in steps)
    assert torch.equal(cached, recomputed)


@torch.no_grad()
def test_a_prefix_in_two_calls_is_refused(pair):
    tokens, cache = pair.tokens(2, 9), pair.prefix_lm.make_cache(2, 9)
    with pytest.raises(
        ValueError, match="row 0 are 0 to 3: a call with a cache has to hold the whole prefix of 5"
    ):
        pair.prefix_lm(tokens[:, :4], cache=cache, prefix_lengths=5)
    assert cache.length == 0
    pair.prefix_lm(tokens[:, :2], cache=cache, prefix_lengths=2)
    with pytest.raises(
        ValueError, match="row 0 are 2 to 8: a call with a cache has to hold the whole prefix"
    ):
        pair.prefix_lm(tokens[:, 2:], cache=cache, prefix_lengths=5)


@torch.no_grad()
def test_the_last_score_alone(pair):
    tokens = pair.tokens(2, 7)
    ours = pair.prefix_lm(tokens, prefix_lengths=4, last_only=True)
    torch.testing.assert_close(ours, pair.prefix_lm(tokens, prefix_lengths=4)[:, -1:], **TOLERANCE)


def test_what_training_counts():
    positions = torch.tensor([[0, 1, 2, 3, 4], [-1, -1, 0, 1, 2]])
    expected = [[0, 1, 1, 1, 0], [0, 0, 1, 1, 0]]
    assert answers(positions, torch.tensor([2, 0])).int().tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 4, 9])
def test_paligemma_reads_its_prefix_so(prefix):
    """PaliGemma 2 without an image: `token_type_ids` are 0 in the prefix. Its text model is Gemma 2."""
    torch.manual_seed(0)
    text = Gemma2Config(**SIZES, **HEADS, sliding_window=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    vision = SiglipVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    config = PaliGemmaConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=18)
    config._attn_implementation = "eager"
    with in_float64(modeling_paligemma), in_float64(modeling_gemma2):
        theirs = PaliGemmaForConditionalGeneration(config).double().eval()
        for parameter in theirs.parameters():
            parameter.data = torch.randn_like(parameter) * 0.3
        tokens = torch.randint(3, 29, (2, 9))
        types = (torch.arange(9) >= prefix).long().expand(2, 9)
        expected = theirs(tokens, token_type_ids=types, attention_mask=torch.ones_like(tokens)).logits
    ours = PrefixLM(spec_from_hf_config(text.to_dict())).double().eval()
    state = {f"model.{name}": tensor for name, tensor in theirs.model.language_model.state_dict().items()}
    load_hf_weights(ours, state)
    torch.testing.assert_close(ours(tokens, prefix_lengths=prefix), expected, **TOLERANCE)
