"""Prefill that stops at half depth, cached = uncached, causality, bytes, parameters and FLOPs of a
causal encoder-decoder."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib.costs.mixers.attention import key_value_weights
from course_lib.costs.params import param_count
from course_lib.costs.shared_kv import shared_kv_cache_bytes, shared_kv_prefill_flops
from course_lib.generate.decode import cached_step, generate
from course_lib.models.causal_encoder_decoder import CausalEncoderDecoder
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

EXACT = {"rtol": 0, "atol": 1e-12}
EXAMPLES = settings(max_examples=15, deadline=None)
seeds, lengths, halves = st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 3)


def model_of(seed: int, half: int = 2, window: int | None = None) -> CausalEncoderDecoder:
    torch.manual_seed(seed)
    spec = small_llama(24, layers=2 * half, heads=6, kv_heads=2, vocab=19, tied=bool(seed % 2))
    lower = tuple(replace(x, mixer=replace(x.mixer, window=window)) for x in spec.layers[:half])
    model = CausalEncoderDecoder(replace(spec, layers=lower + spec.layers[half:]))
    for weight in model.parameters():  # logits of an order at which a mistake shows
        torch.nn.init.normal_(weight, std=0.4)
    return model.double().eval().requires_grad_(False)


def text(length: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(19, (batch, length))


@EXAMPLES
@given(seed=seeds, length=lengths, half=halves, window=st.sampled_from([None, 3]))
def test_a_prompt_that_stops_at_half_depth_has_the_same_next_token(seed, length, half, window):
    model, tokens = model_of(seed, half, window), text(length)
    passes = []
    model.upper[0].register_forward_pre_hook(lambda _, args: passes.append(args[0].shape[1]))
    whole, stopped = model(tokens), model(tokens, last_only=True)
    assert passes == [length, 1]
    torch.testing.assert_close(stopped, whole[:, -1:], **EXACT)


@EXAMPLES
@given(seed=seeds, length=lengths, half=halves, data=st.data())
def test_cached_equals_uncached_in_any_chunks(seed, length, half, data):
    model, tokens = model_of(seed, half), text(length)
    first = data.draw(st.integers(1, length))
    cache = model.make_cache(2, length)
    said = [model(tokens[:, :first], cache=cache, last_only=True)]
    said += [model(tokens[:, i : i + 1], cache=cache) for i in range(first, length)]
    torch.testing.assert_close(torch.cat(said, 1), model(tokens)[:, first - 1 :], **EXACT)


@EXAMPLES
@given(seed=seeds, length=lengths, data=st.data())
def test_a_token_moves_itself_and_what_follows(seed, length, data):
    model, tokens = model_of(seed), text(length, batch=1)
    changed = data.draw(st.integers(0, length - 1))
    other = tokens.clone()
    other[0, changed] = (other[0, changed] + 1) % 19
    moved = (model(tokens) != model(other)).any(-1)[0]
    assert moved.tolist() == [i >= changed for i in range(length)]


@pytest.mark.parametrize("half", [1, 2, 3])
def test_bytes_and_parameters_are_those_of_the_formula(half):
    model = model_of(0, half)
    held = model.make_cache(batch=3, capacity=11).nbytes
    assert held == shared_kv_cache_bytes(model.spec, batch=3, tokens=11, bytes_per_element=8)
    kv = key_value_weights(model.spec.layers[0].mixer, 24)
    norm = 24  # of the shared keys and values; the upper layers but one have no KV matrices
    expected = param_count(model.spec).total - (half - 1) * kv + norm
    assert sum(weight.numel() for weight in model.parameters()) == expected


@pytest.mark.parametrize("skip_upper", [True, False])
@pytest.mark.parametrize("length", [2, 7, 40])
def test_flops_are_those_of_a_real_pass(skip_upper, length):
    model, tokens = model_of(0), text(length, batch=1)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tokens, last_only=skip_upper)
    head = 0 if skip_upper else 2 * (length - 1) * 24 * 19  # logits of the other tokens
    counted = shared_kv_prefill_flops(model.spec, length, skip_upper=skip_upper, skip_masked=False)
    assert counter.get_total_flops() == counted.total + head


def test_generation_is_that_of_the_uncached_model():
    model, prompt = model_of(3), text(5, batch=1)
    written = generate(cached_step(model, model.make_cache(1, 12)), prompt, max_new_tokens=6)
    for step in range(6):
        row = torch.cat([prompt, written[:, :step]], 1)
        assert model(row)[:, -1].argmax(-1) == written[:, step]


def test_a_decoder_with_keys_of_its_own_may_not_skip():
    torch.manual_seed(0)
    model = CausalLM(small_llama(24, layers=4, vocab=19)).double().eval()
    tokens = text(6, batch=1)
    with torch.no_grad():
        whole = model(tokens)
        x, places = model.embed(tokens, torch.arange(6)[None]), torch.arange(6)[None]
        for block in model.blocks[:2]:
            x = block(x, places)
        x, places = x[:, -1:], places[:, -1:]
        for block in model.blocks[2:]:
            x = block(x, places)
        skipped = model.head(model.final_norm(x))
    assert (skipped - whole[:, -1:]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "fields", [{"layers": 3}, {"layers": 2, "attention_bias": True}, {"layers": 2, "model_type": "qwen3"}]
)
def test_what_it_would_leave_out_is_refused(fields):
    with pytest.raises(ValueError, match="layers"):
        CausalEncoderDecoder(small_llama(24, heads=4, vocab=19, **fields))
