"""`generate` says what `transformers` says, token for token: greedy and drawn, with and without a cache."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from course_lib.generate.decode import cached_step, generate, recomputing_step
from course_lib.generate.sampling import Sampler
from course_lib.layers.positions.numbering import positions_from_padding
from tests.parity.against_transformers import Pair, in_float64

NEW = 17
MASK = torch.tensor([[1] * 7, [0] * 3 + [1] * 4, [0] * 6 + [1]])


@pytest.fixture(scope="module")
def pair() -> Pair:
    sizes = {"hidden_size": 18, "intermediate_size": 23, "num_hidden_layers": 3, "vocab_size": 29}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
    return Pair(LlamaConfig(**sizes, **heads, bos_token_id=None, eos_token_id=None), LlamaForCausalLM)


@pytest.fixture(scope="module")
def prompt() -> torch.Tensor:
    return torch.randint(29, MASK.shape, generator=torch.Generator().manual_seed(3))


def our_tokens(pair, prompt, *, cached, **options):
    capacity = prompt.shape[1] + NEW
    step = (
        cached_step(pair.ours, pair.ours.make_cache(len(prompt), capacity))
        if cached
        else recomputing_step(pair.ours)
    )
    return generate(step, prompt, max_new_tokens=NEW, positions=positions_from_padding(MASK), **options)


def their_tokens(pair, prompt, *, cached, eos=None, **options):
    with in_float64(pair.modeling):
        tokens = pair.theirs.generate(
            prompt,
            attention_mask=MASK,
            max_new_tokens=NEW,
            use_cache=cached,
            eos_token_id=eos,
            pad_token_id=0 if eos is None else eos,
            **options,
        )
    return tokens[:, prompt.shape[1] :]


@pytest.mark.parametrize("cached", [True, False])
def test_greedy(pair, prompt, cached):
    theirs = their_tokens(pair, prompt, cached=cached, do_sample=False)
    assert torch.equal(our_tokens(pair, prompt, cached=cached), theirs) and len(theirs.unique()) > 3


def test_greedy_until_eos(pair, prompt):
    eos = their_tokens(pair, prompt, cached=True, do_sample=False)[0, 3].item()
    theirs = their_tokens(pair, prompt, cached=True, eos=eos, do_sample=False)
    assert (
        torch.equal(our_tokens(pair, prompt, cached=True, eos=eos), theirs) and (theirs[0, 3:] == eos).all()
    )


@pytest.mark.parametrize("cached", [True, False])
def test_drawn_from_the_same_random_stream(pair, prompt, cached):
    settings = {"temperature": 1.7, "top_k": 11, "top_p": 0.9}
    torch.manual_seed(8)
    theirs = their_tokens(pair, prompt, cached=cached, do_sample=True, **settings)
    sampler = Sampler(generator=torch.Generator().manual_seed(8), **settings)
    assert torch.equal(our_tokens(pair, prompt, cached=cached, sampler=sampler), theirs)
