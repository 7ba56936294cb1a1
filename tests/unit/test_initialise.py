"""The first scale of a model's matrices: an argument, with the random numbers of a loop by hand."""

import pytest
import torch
from torch import nn

from course_lib.models.blank_infilling import BlankInfillingLM
from course_lib.models.build import build_model
from course_lib.models.layer_factory import initialise
from course_lib.models.prefix_lm import PrefixLM
from course_lib.specs.from_hf import spec_from_hf_config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 11,
}
BERT = LLAMA | {"model_type": "bert", "max_position_embeddings": 8}
MASKED = LLAMA | {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]}
T5 = {
    "model_type": "t5",
    "d_model": 12,
    "d_kv": 4,
    "d_ff": 20,
    "num_heads": 2,
    "num_layers": 2,
    "vocab_size": 11,
}
GPT2 = {"model_type": "gpt2", "n_embd": 12, "n_head": 2, "n_layer": 2, "n_positions": 8, "vocab_size": 11}


def blank_infilling(spec, **options):
    return BlankInfillingLM(spec, longest_span=3, **options)


BUILDS = [
    (build_model, LLAMA),
    (build_model, LLAMA | {"tie_word_embeddings": True}),
    (build_model, BERT),
    (build_model, MASKED),
    (build_model, T5),
    (PrefixLM, LLAMA),
    (blank_infilling, GPT2),
]


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("build, config", BUILDS)
def test_an_argument_gives_the_numbers_of_the_loop_by_hand(build, config):
    spec = spec_from_hf_config(config)
    torch.manual_seed(3)
    by_hand = build(spec)
    for matrix in (p for p in by_hand.parameters() if p.ndim == 2):
        nn.init.normal_(matrix, std=12**-0.5)
    after = torch.rand(1)
    torch.manual_seed(3)
    model = build(spec, std=12**-0.5)
    assert same(model, by_hand) and torch.equal(torch.rand(1), after)  # the stream goes on at the same place


def test_left_out_the_scale_is_that_of_gpt_2():
    torch.manual_seed(0)
    spec = spec_from_hf_config(LLAMA | {"hidden_size": 64, "intermediate_size": 128})
    for matrix in (p for p in build_model(spec).parameters() if p.ndim == 2):
        assert 0.017 < matrix.std().item() < 0.023


def test_fan_in_goes_by_the_vector_that_a_matrix_multiplies():
    torch.manual_seed(0)
    model = build_model(
        spec_from_hf_config(LLAMA | {"hidden_size": 100, "intermediate_size": 900}), std="fan_in"
    )
    for matrix in (p for p in model.parameters() if p.ndim == 2):
        assert matrix.std().item() == pytest.approx(matrix.shape[1] ** -0.5, rel=0.1)
    assert model.blocks[0].ffn.down.weight.std() < 0.04 < model.blocks[0].ffn.up.weight.std()


def test_a_function_of_the_name_and_a_generator():
    spec = spec_from_hf_config(LLAMA)
    torch.manual_seed(3)
    by_hand = build_model(spec)
    for name, matrix in by_hand.named_parameters():
        if matrix.ndim == 2:
            half = 0.5 if ".wq." in name or ".wk." in name else 1.0
            nn.init.normal_(matrix, std=half * 12**-0.5)
    torch.manual_seed(3)
    model = build_model(spec, std=lambda name: 12**-0.5 * (0.5 if ".wq." in name or ".wk." in name else 1.0))
    assert same(model, by_hand)
    generator = torch.Generator().manual_seed(4)
    for matrix in (p for p in by_hand.parameters() if p.ndim == 2):
        nn.init.normal_(matrix, std=0.3, generator=generator)
    initialise(model, 0.3, generator=torch.Generator().manual_seed(4))
    assert same(model, by_hand)


def test_gains_and_biases_stay():
    model = build_model(spec_from_hf_config(BERT))
    for parameter in (p for p in model.parameters() if p.ndim == 1):
        nn.init.constant_(parameter, 7.0)
    initialise(model, 0.3)
    assert all(bool((p == 7.0).all()) for p in model.parameters() if p.ndim == 1)


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="std='fan_out'"):
        build_model(spec_from_hf_config(LLAMA), std="fan_out")
