"""Decoding with and without a cache: the same tokens, for different work."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.generate.decode import cached_step, decode_step, generate, prefill, recomputing_step
from course_lib.generate.sampling import Sampler
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 23,
    "vocab_size": 31,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = CausalLM(spec_from_hf_config(CONFIG)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


PROMPT = torch.tensor([[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]])


def steps(model, batch=2, capacity=40):
    return cached_step(model, model.make_cache(batch, capacity)), recomputing_step(model)


def test_the_cache_changes_no_token(model):
    cached, recomputing = steps(model)
    tokens = generate(cached, PROMPT, max_new_tokens=20)
    assert torch.equal(tokens, generate(recomputing, PROMPT, max_new_tokens=20))
    assert tokens.shape == (2, 20) and len(tokens.unique()) > 3


def test_the_cache_changes_no_drawn_token(model):
    drawn = [
        generate(step, PROMPT, max_new_tokens=12, sampler=Sampler(generator=torch.Generator().manual_seed(5)))
        for step in steps(model)
    ]
    assert torch.equal(*drawn)


def test_rows_padded_on_the_left_say_what_they_say_alone(model):
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    for step in steps(model):
        both = generate(step, PROMPT, max_new_tokens=8, positions=positions_from_padding(mask))
        alone = generate(steps(model, batch=1)[0], PROMPT[:1, 2:], max_new_tokens=8)
        assert torch.equal(both[:1], alone)


def test_prefill_and_decode_step_are_the_parts_of_generate(model):
    step, _ = steps(model)
    with torch.no_grad():
        first = prefill(step, PROMPT).argmax(-1)
        second = decode_step(step, first, torch.tensor([5, 5])).argmax(-1)
    tokens = generate(steps(model)[0], PROMPT, max_new_tokens=2)
    assert torch.equal(torch.stack((first, second), dim=1), tokens)


def test_a_row_ends_with_eos_and_the_others_go_on(model):
    free = generate(steps(model)[0], PROMPT, max_new_tokens=20)
    eos = free[0, 4].item()
    first = [row.index(eos) if eos in row else 20 for row in free.tolist()]
    tokens = generate(steps(model)[0], PROMPT, max_new_tokens=20, eos=eos)
    assert tokens.shape[1] == min(20, max(first) + 1) and first[0] != first[1]
    for row, stop in enumerate(first):
        assert torch.equal(tokens[row, : stop + 1], free[row, : min(stop + 1, 20)])
        assert (tokens[row, stop:] == eos).all()


def test_a_step_may_be_any_function():
    """Three rows count up modulo 7; the step sees every token once, at the right place."""
    seen = []

    def step(tokens, positions):
        seen.append((tokens.tolist(), positions.tolist()))
        return torch.nn.functional.one_hot((tokens + 1) % 7, 7).float()

    tokens = generate(step, torch.tensor([[0], [4], [6]]), max_new_tokens=3)
    assert tokens.tolist() == [[1, 2, 3], [5, 6, 0], [0, 1, 2]]
    assert seen[1:] == [([[1], [5], [0]], [[1]] * 3), ([[2], [6], [1]], [[2]] * 3)]


def test_the_cache_saves_the_token_passes(model):
    """n new tokens after t: t + n - 1 token passes with a cache, t + (t + 1) + ... without."""
    flops = []
    for step in steps(model, batch=1):
        with FlopCounterMode(display=False) as counter:
            generate(step, PROMPT[:1], max_new_tokens=10)
        linear = counter.get_flop_counts()["Global"][torch.ops.aten.mm]
        head = 10 * 2 * 16 * 31  # only the last token of a pass is scored
        flops.append((linear - head) / (2 * sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)))
    assert flops == [5 + 9, sum(range(5, 15))]


def test_the_tokens_can_be_trained_on(model):
    tokens = generate(steps(model)[0], PROMPT, max_new_tokens=3)
    model(tokens).sum().backward()
    assert model.embed.tokens.weight.grad[tokens].abs().sum() > 0
    model.zero_grad()


@pytest.mark.parametrize(
    "prompt, options, message",
    [
        (PROMPT, {"max_new_tokens": 0}, "max_new_tokens=0"),
        (PROMPT[:, :0], {"max_new_tokens": 1}, "prompt has shape"),
        (
            PROMPT[:, :2],
            {"max_new_tokens": 1, "positions": torch.tensor([[0, 1], [0, -1]])},
            "positions ends in",
        ),
        (PROMPT, {"max_new_tokens": 40}, "1 new tokens: allowed are at most 0"),
    ],
)
def test_bad_input_is_named(model, prompt, options, message):
    with pytest.raises(ValueError, match=message):
        generate(steps(model)[0], prompt, **options)
