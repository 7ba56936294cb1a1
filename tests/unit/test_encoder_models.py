"""Encoders and encoder-decoders: what reads what, what is kept, and what is refused."""

import dataclasses

import pytest
import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.models.blank_infilling import BlankInfillingLM
from course_lib.models.build import build_model
from course_lib.models.embed import checked_positions
from course_lib.models.encoder import Encoder, MaskedLM
from course_lib.models.encoder_decoder import EncoderDecoder
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec

BERT = {"model_type": "bert", "hidden_size": 9, "num_attention_heads": 3, "num_hidden_layers": 2}
BERT |= {"intermediate_size": 7, "vocab_size": 13, "max_position_embeddings": 11}
MODERN = {"model_type": "modernbert", "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 4}
MODERN |= {"intermediate_size": 7, "vocab_size": 13, "local_attention": 4, "global_attn_every_n_layers": 9}
T5 = {
    "model_type": "t5",
    "d_model": 9,
    "d_kv": 5,
    "d_ff": 7,
    "num_heads": 3,
    "num_layers": 2,
    "vocab_size": 13,
}
LLAMA = {"model_type": "llama", "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2}
LLAMA |= {"intermediate_size": 7, "vocab_size": 13}


def moved(model, tokens, place):
    """Which places' results change when one token does."""
    other = tokens.clone()
    other[:, place] = (other[:, place] + 1) % 13
    with torch.no_grad():
        return ((model(tokens) - model(other)).abs().amax(-1)[0] > 1e-12).tolist()


def test_every_place_reads_every_token():
    model, tokens = Encoder(spec_from_hf_config(BERT)).double(), torch.randint(13, (1, 9))
    assert all(moved(model, tokens, place) == [True] * 9 for place in (0, 4, 8))


def test_local_layers_reach_two_places_further_each():
    """After one global layer (the first) every place reads all; three local ones alone reach 3 * 2 places."""
    spec = spec_from_hf_config(MODERN)
    local = dataclasses.replace(spec, layers=spec.layers[1:])
    tokens = torch.randint(13, (1, 17))
    reach = moved(Encoder(local).double(), tokens, 8)
    assert reach == [abs(place - 8) <= 6 for place in range(17)]
    assert moved(Encoder(spec).double(), tokens, 8) == [True] * 17


def test_scores_of_chosen_places_are_those_of_all():
    spec = spec_from_hf_config(BERT | {"architectures": ["BertForMaskedLM"]})
    model, tokens = MaskedLM(spec).double(), torch.randint(13, (2, 7))
    chosen = torch.rand(2, 7) < 0.5
    states = Encoder.forward(model, tokens)
    torch.testing.assert_close(model.score(states[chosen]), model(tokens)[chosen], rtol=1e-12, atol=1e-12)


def test_the_target_reads_the_whole_source_and_its_own_past():
    model = EncoderDecoder(spec_from_hf_config(T5)).double()
    source, target = torch.randint(13, (1, 6)), torch.randint(13, (1, 5))
    assert all(moved(lambda s: model(s, target), source, place) == [True] * 5 for place in range(6))
    assert moved(lambda t: model(source, t), target, 2) == [False, False, True, True, True]
    last = model.decode(model.encode(source), target, last_only=True)
    torch.testing.assert_close(last, model(source, target)[:, -1:], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_source_is_kept_once_for_every_layer():
    spec = spec_from_hf_config(T5)
    model = EncoderDecoder(spec)
    encoded = model.encode(torch.randint(13, (2, 6)))
    assert len(encoded) == len(list(encoded)) == len(spec.layers)
    assert encoded[1] is encoded.layers[1]
    cache = model.make_cache(2, 8)
    assert cache_bytes(spec, batch=2, tokens=8, source_tokens=6, bytes_per_element=4) == (
        cache.nbytes + encoded.nbytes
    )
    model.decode(encoded, torch.randint(13, (2, 8)), cache=cache)
    with pytest.raises(ValueError, match="allowed are at most 0"):
        model.decode(encoded, torch.randint(13, (2, 1)), cache=cache)


def test_words_and_biases_are_shared_as_in_t5():
    model = EncoderDecoder(spec_from_hf_config(T5))
    assert model.head.weight is model.embed.tokens.weight is model.source_embed.tokens.weight
    assert model.encoder[0].mixer.position_bias is model.encoder[1].mixer.position_bias
    assert model.encoder[0].mixer.position_bias is not model.decoder[0].mixer.position_bias


@pytest.mark.parametrize("name", ["bert-large", "roberta-base", "modernbert-base", "t5-base", "bart-large"])
def test_published_models_have_the_parameters_of_the_formula(name):
    spec = load_spec(name)
    with torch.device("meta"):
        model = build_model(spec)
    assert sum(p.numel() for p in model.parameters()) == param_count(spec).total


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (BERT, Encoder),
        (BERT | {"architectures": ["BertForMaskedLM"]}, MaskedLM),
        (MODERN, Encoder),
        (T5, EncoderDecoder),
        (LLAMA, CausalLM),
    ],
)
def test_the_class_that_fits(config, kind):
    assert type(build_model(spec_from_hf_config(config))) is kind


@pytest.mark.parametrize(
    ("build", "config", "changes", "message"),
    [
        (Encoder, LLAMA, {"head": "none"}, "causal=True"),
        (Encoder, LLAMA, {}, "head='lm': supported are 'none', 'pooler' and 'mlm'"),
        (Encoder, BERT, {"logit_scale": 2.0}, "logit_scale=2.0"),
        (Encoder, BERT, {"logit_softcap": 3.0}, "logit_softcap=3.0"),
        (Encoder, T5, {}, r"encoder=\("),
        (MaskedLM, BERT, {}, "head='pooler': supported is 'mlm'"),
        (EncoderDecoder, LLAMA, {}, "encoder: supported is a stack whose layers attend to both sides"),
        (EncoderDecoder, T5, {"head": "none"}, "head='none'"),
    ],
)
def test_what_a_class_does_not_build_is_named(build, config, changes, message):
    with pytest.raises(ValueError, match=message):
        build(dataclasses.replace(spec_from_hf_config(config), **changes))


def test_stacks_that_do_not_fit_are_named():
    spec = spec_from_hf_config(T5)
    with pytest.raises(ValueError, match="layers: supported is a causal stack"):
        EncoderDecoder(dataclasses.replace(spec, layers=spec.encoder))
    for wrong in ({"cross": None}, {"mixer": spec.encoder[0].mixer}):  # causal alone, cross-attention alone
        layers = tuple(dataclasses.replace(layer, **wrong) for layer in spec.layers)
        with pytest.raises(ValueError, match="layers: supported is a causal stack"):
            EncoderDecoder(dataclasses.replace(spec, layers=layers))
    with pytest.raises(ValueError, match="encoder: supported"):
        EncoderDecoder(dataclasses.replace(spec, encoder=spec.layers))
    with pytest.raises(ValueError, match="cross is set"):
        encoder = dataclasses.replace(spec.encoder[0], cross=spec.layers[0].cross)
        Encoder(dataclasses.replace(spec, encoder=(), head="none", logit_scale=1.0, layers=(encoder,)))


def test_shapes_and_lengths_that_do_not_fit_are_named():
    model, pair = Encoder(spec_from_hf_config(BERT)), EncoderDecoder(spec_from_hf_config(T5))
    tokens = torch.zeros(1, 4, dtype=torch.long)
    with pytest.raises(
        ValueError, match=r"positions has shape \(1, 3\): allowed is that of tokens, \(1, 4\)"
    ):
        checked_positions(tokens, tokens[:, :3])
    with pytest.raises(ValueError, match="segments is given"):
        Encoder(spec_from_hf_config(MODERN))(tokens, segments=tokens)
    with pytest.raises(ValueError, match="only a model with head='pooler'"):
        Encoder(spec_from_hf_config(MODERN)).pooled(torch.zeros(1, 4, 12))
    with pytest.raises(ValueError, match="positions reach 11: this table's last one is 10"):
        model(torch.zeros(1, 12, dtype=torch.long))
    with pytest.raises(ValueError, match="cache has 2 layers: this model has 3"):
        longer = EncoderDecoder(spec_from_hf_config(T5 | {"num_decoder_layers": 3}))
        longer.decode(longer.encode(tokens), tokens, cache=pair.make_cache(1, 4))


def test_blank_infilling_wants_layers_without_positions():
    spec = spec_from_hf_config(LLAMA)
    embeddings = dataclasses.replace(spec.embeddings, learned_positions=8)
    spec = dataclasses.replace(spec, embeddings=embeddings)
    with pytest.raises(ValueError, match="rope=RopeSpec"):
        BlankInfillingLM(spec, longest_span=3)
    kinds = (
        ({"window": 4}, "window=4"),
        ({"alibi": True}, "alibi=True"),
        ({"relative_buckets": 8}, "buckets=8"),
    )
    for own, message in kinds:
        layers = tuple(
            dataclasses.replace(layer, mixer=dataclasses.replace(layer.mixer, rope=None, **own))
            for layer in spec.layers
        )
        with pytest.raises(ValueError, match=message):
            BlankInfillingLM(dataclasses.replace(spec, layers=layers), longest_span=3)


def test_blank_infilling_has_a_row_for_each_place_in_the_longest_span():
    spec = spec_from_hf_config(LLAMA)
    embeddings = dataclasses.replace(spec.embeddings, learned_positions=8)
    layers = tuple(
        dataclasses.replace(layer, mixer=dataclasses.replace(layer.mixer, rope=None)) for layer in spec.layers
    )
    model = BlankInfillingLM(
        dataclasses.replace(spec, embeddings=embeddings, layers=layers), longest_span=999
    )
    assert model.within.table.weight.shape == (1000, 12)
    assert model.within.table.weight.std().item() == pytest.approx(12**-0.5, rel=0.05)  # of 12,000 draws
    tokens = torch.tensor([[1, 2, 3]])
    assert model(tokens, tokens, tokens, prefix_lengths=1, last_only=True).shape == (1, 1, 13)
