"""A model with local and global layers: cached decode equals a full forward, for any chunks and padding."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
CONFIG = {
    "model_type": "gemma3_text",
    "hidden_size": 12,
    "intermediate_size": 13,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "vocab_size": 17,
    "sliding_window_pattern": 2,
}


def model_of(window: int) -> CausalLM:
    torch.manual_seed(window)
    model = CausalLM(spec_from_hf_config(CONFIG | {"sliding_window": window})).double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.5)
    return model


@settings(max_examples=20)
@given(
    window=st.integers(1, 6),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_cached_equals_uncached(window, sizes, pads):
    model, length = model_of(window), sum(sizes)
    tokens = torch.randint(17, (2, length))
    positions = positions_from_padding(torch.arange(length)[None] >= torch.tensor(pads)[:, None])
    cache = model.make_cache(2, length)
    chunks = zip(tokens.split(sizes, dim=1), positions.split(sizes, dim=1), strict=True)
    got = torch.cat([model(*chunk, cache) for chunk in chunks], dim=1)
    torch.testing.assert_close(got, model(tokens, positions), **TOLERANCE)


@settings(max_examples=20)
@given(window=st.integers(1, 6), length=st.integers(2, 9), data=st.data())
def test_logits_do_not_depend_on_later_tokens(window, length, data):
    model, cut = model_of(window), data.draw(st.integers(1, length - 1))
    tokens = torch.randint(17, (1, length))
    other = tokens.clone()
    other[:, cut:] = torch.randint(17, (1, length - cut))
    torch.testing.assert_close(model(tokens)[:, :cut], model(other)[:, :cut], **TOLERANCE)
