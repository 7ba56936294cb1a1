"""The first scale of a model's matrices: an argument, with the random numbers of a loop by hand."""

import pytest
import torch
from torch import nn

from course_lib.models.blank_infilling import BlankInfillingLM
from course_lib.models.build import build_model
from course_lib.models.causal_encoder_decoder import CausalEncoderDecoder
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
    by_hand = build(spec)
    torch.manual_seed(3)
    for matrix in (p for p in by_hand.parameters() if p.ndim == 2):
        nn.init.normal_(matrix, std=12**-0.5)
    model = build(spec)
    torch.manual_seed(3)
    initialise(model, 12**-0.5)
    assert same(model, by_hand)
    assert (
        0.2 < torch.cat([p.flatten() for p in build(spec, std=0.3).parameters() if p.ndim == 2]).std() < 0.4
    )


def stds(model):
    return {name: matrix.std().item() for name, matrix in model.named_parameters() if matrix.ndim == 2}


WIDE = LLAMA | {"hidden_size": 100, "intermediate_size": 900, "num_hidden_layers": 3}


def test_left_out_the_scale_is_by_fan_in_and_what_writes_to_the_stream_is_smaller():
    torch.manual_seed(0)
    model = build_model(spec_from_hf_config(WIDE))
    for name, matrix in model.named_parameters():
        if matrix.ndim == 2:
            writes = 6 if name.endswith(("wo.weight", "down.weight")) else 1
            assert matrix.std().item() == pytest.approx((matrix.shape[1] * writes) ** -0.5, rel=0.1), name
    torch.manual_seed(0)
    assert same(model, build_model(spec_from_hf_config(WIDE), std="fan_in"))


def test_each_stack_counts_its_own_writes():
    torch.manual_seed(0)
    found = stds(build_model(spec_from_hf_config(T5 | {"d_model": 200, "d_kv": 100, "d_ff": 400})))
    fan = {name: std for name, std in found.items() if name.endswith(("wo.weight", "down.weight"))}
    assert {name.split(".")[0] for name in fan} == {"encoder", "decoder"}
    for name, std in fan.items():
        width, writes = 400 if "down" in name else 200, 4 if name.startswith("encoder") else 6
        assert std == pytest.approx((width * writes) ** -0.5, rel=0.1), name


def test_halves_of_a_causal_encoder_decoder_write_to_one_stream():
    torch.manual_seed(0)
    spec = spec_from_hf_config(WIDE | {"num_hidden_layers": 4})
    model = CausalEncoderDecoder(spec)
    found = stds(model)
    writes = [name for name in found if name.endswith(("wo.weight", "down.weight"))]
    assert len(writes) == 8 and {name.split(".")[0] for name in writes} == {"lower", "upper"}
    for name in writes:
        fan = 900 if "down" in name else 100
        assert found[name] == pytest.approx((fan * 8) ** -0.5, rel=0.1), name


def test_scores_start_at_size_one_where_they_are_not_scaled():
    torch.manual_seed(0)
    model = build_model(spec_from_hf_config(T5 | {"d_model": 200, "d_kv": 64}))
    attention = model.encoder[0].mixer
    assert attention.scale == 1.0
    x = torch.randn(1, 400, 200)
    scores = (attention.queries(x)[:, :, 0] @ attention.keys(x)[:, :, 0].mT).std().item()
    assert scores == pytest.approx(1.0, rel=0.2)


def test_the_loss_of_an_untrained_model_is_near_that_of_guessing():
    torch.manual_seed(0)
    model = build_model(spec_from_hf_config(WIDE | {"vocab_size": 500, "num_hidden_layers": 12}))
    logits = model(torch.randint(500, (8, 32)))
    assert 0.8 < logits.std().item() < 1.25


def test_a_function_of_the_name_and_a_generator():
    spec = spec_from_hf_config(LLAMA)
    by_hand = build_model(spec)
    torch.manual_seed(3)
    for name, matrix in by_hand.named_parameters():
        if matrix.ndim == 2:
            half = 0.5 if ".wq." in name or ".wk." in name else 1.0
            nn.init.normal_(matrix, std=half * 12**-0.5)
    model = build_model(spec)
    torch.manual_seed(3)
    initialise(model, lambda name: 12**-0.5 * (0.5 if ".wq." in name or ".wk." in name else 1.0))
    assert same(model, by_hand)
    generator = torch.Generator().manual_seed(4)
    for matrix in (p for p in by_hand.parameters() if p.ndim == 2):
        nn.init.normal_(matrix, std=0.3, generator=generator)
    initialise(model, 0.3, generator=torch.Generator().manual_seed(4))
    assert same(model, by_hand)


def test_gains_and_shifts_of_norms_stay_and_biases_of_matrices_become_zero():
    model = build_model(spec_from_hf_config(BERT))
    for parameter in (p for p in model.parameters() if p.ndim == 1):
        nn.init.constant_(parameter, 7.0)
    initialise(model, 0.3)
    biases = {id(m.bias) for m in model.modules() if isinstance(m, nn.Linear)}
    for parameter in (p for p in model.parameters() if p.ndim == 1):
        assert bool((parameter == (0.0 if id(parameter) in biases else 7.0)).all())


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="std='fan_out'"):
        build_model(spec_from_hf_config(LLAMA), std="fan_out")
