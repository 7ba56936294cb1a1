"""The model around the blocks: its cache, its options, and what it refuses."""

import dataclasses

import pytest
import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.masks import CAUSAL, prefix, same_document
from course_lib.layers.positions.numbering import next_positions, packed_positions
from course_lib.models.block import build_blocks
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec
from course_lib.specs.records import EmbeddingSpec, MoESpec

SMALL = {
    "model_type": "llama",
    "hidden_size": 12,
    "intermediate_size": 13,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "vocab_size": 17,
}


def spec_of(**changes):
    return spec_from_hf_config(SMALL | changes)


def test_parameters_are_those_of_the_formula():
    for spec in (spec_of(), spec_of(tie_word_embeddings=True), spec_of(attention_bias=True)):
        assert sum(p.numel() for p in CausalLM(spec).parameters()) == param_count(spec).total


def test_a_published_model_has_its_published_size():
    spec = load_spec("llama-3-8b")
    with torch.device("meta"):
        model = CausalLM(spec)
    assert sum(p.numel() for p in model.parameters()) == param_count(spec).total == 8_030_261_248


PALM = {
    "model_type": "palm",
    "hidden_size": 10,
    "intermediate_size": 13,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 6,
    "vocab_size": 17,
    "max_position_embeddings": 64,
}


def test_palm_is_a_parallel_block_with_one_norm_and_one_kv_head():
    spec = spec_from_hf_config(PALM)
    model = CausalLM(spec).double().requires_grad_(False)
    assert sum(p.numel() for p in model.parameters()) == param_count(spec).total
    block, x = model.blocks[1], torch.randn(2, 5, 10).double()
    positions = next_positions(0, 2, 5)
    normed = block.mixer_norm(x)
    expected = x + block.mixer(normed, positions) + block.ffn(normed)
    torch.testing.assert_close(block(x, positions), expected, rtol=1e-12, atol=1e-12)
    tokens, cache = torch.randint(17, (2, 5)), model.make_cache(2, 5)
    steps = [model(token, cache=cache) for token in tokens.split(1, dim=1)]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(tokens), rtol=1e-10, atol=1e-10)


def test_post_norm_leaves_a_normed_stream():
    layer = dataclasses.replace(spec_of().layers[0], norm_layout="post")
    block = build_blocks(10, (layer,))[0].double().requires_grad_(False)
    x, positions = torch.randn(2, 5, 10).double(), next_positions(0, 2, 5)
    between = block.mixer_norm(x + block.mixer(x, positions))
    expected = block.ffn_norm(between + block.ffn(between))
    torch.testing.assert_close(block(x, positions), expected, rtol=1e-12, atol=1e-12)


def test_a_block_with_cross_attention_reads_its_source_between_the_two_parts():
    layer = spec_of().layers[0]
    layer = dataclasses.replace(layer, cross=dataclasses.replace(layer.mixer, causal=False, rope=None))
    block = build_blocks(10, (layer,))[0].double().requires_grad_(False)
    x, positions = torch.randn(2, 5, 10).double(), next_positions(0, 2, 5)
    source = block.cross.encoder_kv(torch.randn(2, 3, 10).double(), next_positions(0, 2, 3))
    after = x + block.mixer(block.mixer_norm(x), positions)
    after = after + block.cross(block.cross_norm(after), positions, source)
    expected = after + block.ffn(block.ffn_norm(after))
    torch.testing.assert_close(block(x, positions, source=source), expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="source=None"):
        block(x, positions)


@pytest.mark.parametrize("config", [SMALL, PALM | {"vocab_size": 17}])
def test_a_prefix_is_read_whole_with_a_cache_and_without(config):
    model, tokens = CausalLM(spec_from_hf_config(config)).double(), torch.randint(17, (2, 7))
    model.requires_grad_(False)
    mask_mod, cache = prefix(torch.tensor([0, 3])), model.make_cache(2, 7)
    whole = model(tokens, mask_mod=mask_mod)
    torch.testing.assert_close(whole[0], model(tokens)[0], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(whole[1], model(tokens)[1])
    steps = [model(part, cache=cache, mask_mod=mask_mod) for part in tokens.split([4, 1, 2], dim=1)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-10, atol=1e-10)


def test_packed_documents_are_as_if_alone_also_with_learned_positions():
    gpt2 = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 6, "vocab_size": 17}
    model = CausalLM(spec_from_hf_config(gpt2)).double().requires_grad_(False)
    tokens, documents = torch.randint(17, (1, 8)), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    packed = model(tokens, packed_positions(documents), mask_mod=CAUSAL & same_document(documents))
    alone = torch.cat([model(part) for part in tokens.split([3, 5], dim=1)], dim=1)
    torch.testing.assert_close(packed, alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("std, low, high", [(0.02, -0.05, 0.05), ("fan_in", 0.3, 0.7)])
def test_a_fresh_model_guesses_evenly_or_with_logits_of_size_one(std, low, high):
    """Logits of size 1 that know nothing cost half a nat more than none."""
    torch.manual_seed(0)
    model, tokens = CausalLM(spec_of(), std=std), torch.randint(17, (16, 24))
    loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    assert low < loss.item() - torch.log(torch.tensor(17.0)).item() < high


def test_every_parameter_learns():
    model = CausalLM(spec_of(attention_bias=True))
    model(torch.randint(17, (2, 5))).square().sum().backward()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert not still


def test_last_only_scores_the_last_token():
    model, tokens = CausalLM(spec_of()), torch.randint(17, (2, 5))
    torch.testing.assert_close(model(tokens, last_only=True), model(tokens)[:, -1:])


def test_positions_go_on_where_the_cache_ends():
    model, tokens = CausalLM(spec_of()).double().requires_grad_(False), torch.randint(17, (1, 5))
    cache = model.make_cache(1, 5)
    model(tokens[:, :3], cache=cache)
    assert cache.length == 3
    got = model(tokens[:, 3:], cache=cache)
    torch.testing.assert_close(got, model(tokens)[:, 3:], rtol=1e-10, atol=1e-10)


def test_windowed_layers_get_rings_and_the_others_do_not():
    spec = spec_of(model_type="gemma2", sliding_window=4)
    cache = CausalLM(spec).make_cache(batch=2, capacity=9)
    assert [type(layer) for layer in cache] == [RingCache, ContiguousCache, RingCache]
    assert cache.nbytes == cache_bytes(spec, batch=2, tokens=9, bytes_per_element=4, ring=True)


def test_a_window_past_the_capacity_needs_no_ring():
    cache = CausalLM(spec_of(model_type="mistral", sliding_window=9)).make_cache(batch=2, capacity=9)
    assert all(isinstance(layer, ContiguousCache) for layer in cache)


def test_a_window_one_short_of_the_capacity_is_a_ring_already():
    cache = CausalLM(spec_of(model_type="mistral", sliding_window=8)).make_cache(batch=2, capacity=9)
    assert all(isinstance(layer, RingCache) for layer in cache)
    assert cache.nbytes == 3 * 2 * 8 * 2 * (6 + 6) * 4


def test_logits_are_scaled_before_they_are_capped():
    spec = spec_of()
    plain, both = CausalLM(spec), CausalLM(dataclasses.replace(spec, logit_scale=4.0, logit_softcap=0.5))
    both.load_state_dict(plain.state_dict())
    tokens = torch.randint(17, (2, 5))
    expected = 0.5 * torch.tanh(4.0 * plain.double()(tokens) / 0.5)
    torch.testing.assert_close(both.double()(tokens), expected, rtol=1e-10, atol=1e-12)


def test_the_cache_has_the_dtype_of_the_model():
    model = CausalLM(spec_of())
    assert model.bfloat16().make_cache(1, 4).nbytes * 2 == model.float().make_cache(1, 4).nbytes


def test_latent_layers_get_latent_caches():
    spec = load_spec("deepseek-v3")
    dense = dataclasses.replace(spec, layers=spec.layers[:1], vocab=5)
    with torch.device("meta"):
        model = CausalLM(dense)
    cache = model.make_cache(batch=1, capacity=3)
    assert [type(layer) for layer in cache] == [LatentCache]
    assert cache.nbytes == 3 * 576 * 4


def test_a_full_cache_is_refused():
    model = CausalLM(spec_of())
    cache = model.make_cache(1, 3)
    with pytest.raises(ValueError, match="allowed are at most 3"):
        model(torch.zeros(1, 4, dtype=torch.long), cache=cache)


def test_positions_of_another_shape_are_refused():
    tokens = torch.zeros(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"positions has shape \(1, 3\)"):
        CausalLM(spec_of())._positions(
            tokens, tokens[:, :3], None
        )  # under tests, forward checks shapes first


def test_a_cache_of_another_depth_is_refused():
    model, deeper = CausalLM(spec_of()), CausalLM(spec_of(num_hidden_layers=5))
    with pytest.raises(ValueError, match="cache has 5 layers: this model has 3"):
        model(torch.zeros(1, 1, dtype=torch.long), cache=deeper.make_cache(1, 1))


def test_an_empty_model_cache_is_refused():
    with pytest.raises(ValueError, match="layers is empty"):
        ModelCache([])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("head", "pooler"),
        ("encoder", spec_of().layers),
        ("vision", spec_of()),
    ],
)
def test_an_unsupported_model_is_refused_by_field(field, value):
    with pytest.raises(ValueError, match=f"{field}="):
        CausalLM(dataclasses.replace(spec_of(), **{field: value}))


def test_segments_are_refused():
    with pytest.raises(ValueError, match="token_types=2"):
        CausalLM(dataclasses.replace(spec_of(), embeddings=EmbeddingSpec(token_types=2)))


def changed_layer(**changes):
    spec = spec_of()
    return dataclasses.replace(spec, layers=(dataclasses.replace(spec.layers[0], **changes),))


def test_an_unsupported_layer_is_refused_by_field():
    layer = spec_of().layers[0]
    mixing = dataclasses.replace(layer.ffn, kind="channel_mix")
    experts = MoESpec(experts=4, top_k=2, expert=mixing)
    one_sided = dataclasses.replace(layer.mixer, causal=False)
    for changes, named in (
        ({"norm_layout": "around"}, "norm_layout='around'"),
        ({"cross": layer.mixer}, "cross is set"),
        ({"ffn": experts}, "ffn=channel_mix: "),
        ({"ffn": mixing}, "ffn=channel_mix with mixer=AttentionSpec"),
        ({"ffn": None, "norm_layout": "post"}, "ffn=None"),
        ({"mixer": one_sided}, "causal=False"),
    ):
        with pytest.raises(ValueError, match=named):
            CausalLM(changed_layer(**changes))


def test_an_unknown_rope_scaling_is_refused():
    scaling = {"rope_type": "axial", "factor": 8.0}
    with pytest.raises(ValueError, match="'axial': supported are default, linear"):
        CausalLM(spec_of(rope_scaling=scaling, max_position_embeddings=64))
