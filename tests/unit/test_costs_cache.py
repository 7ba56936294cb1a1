"""The cache formulas: the study guide's figures, the published ones, the two conventions, and refusals."""

import pytest

from course_lib.costs.cache import (
    cache_bytes,
    cache_bytes_per_token,
    cache_line,
    cached_tokens,
    kv_cache_bytes,
    score_matrix_bytes,
)
from course_lib.costs.mixers.dispatch import state_elements, token_elements
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import list_specs, load_spec
from course_lib.specs.records import AttentionSpec, GatedDeltaNetSpec, SSMSpec
from tests.unit.costs_models import (
    BERT,
    DEEPSEEK_67B,
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    LLAMA_70B,
    MISTRAL_V01,
    T5,
    with_groups,
)

K, MIB, GIB = 1024, 2**20, 2**30
SHAPE = {"kv_heads": 8, "head_dim": 128, "bytes_per_element": 2}


@pytest.mark.parametrize(("tokens", "layer_mib", "total_gib"), [(32 * K, 128, 10), (128 * K, 512, 40)])
def test_the_budget_of_the_70b_shape(tokens, layer_mib, total_gib):
    assert kv_cache_bytes(batch=1, tokens=tokens, layers=1, **SHAPE) == layer_mib * MIB
    assert kv_cache_bytes(batch=1, tokens=tokens, layers=80, **SHAPE) == total_gib * GIB
    assert cache_bytes(LLAMA_70B, batch=1, tokens=tokens) == total_gib * GIB


def test_eight_requests_or_one_without_groups_take_320_gib():
    assert kv_cache_bytes(batch=8, tokens=128 * K, layers=80, **SHAPE) == 320 * GIB
    assert kv_cache_bytes(batch=1, tokens=128 * K, layers=80, **{**SHAPE, "kv_heads": 64}) == 320 * GIB


def test_the_score_matrix_of_one_head_at_128k():
    assert score_matrix_bytes(128 * K) == 32 * GIB
    assert score_matrix_bytes(128 * K, 4, heads=3, batch=2) == 12 * 32 * GIB


def test_deepseek_v3_keeps_576_values_a_token_and_layer():
    mixer = DEEPSEEK_V3.layers[0].mixer
    assert token_elements(mixer) == 512 + 64
    assert token_elements(mixer, latent=False) == 128 * (128 + 64 + 128)
    assert cache_bytes_per_token(DEEPSEEK_V3) == 61 * 576 * 2 == 70_272
    assert cache_bytes(DEEPSEEK_V3, batch=1, tokens=128 * K) / GIB == 8.578125


def test_latent_attention_keeps_as_much_as_two_and_a_quarter_groups():
    """DeepSeek-V2, section 2.1.4: (512 + 64) values against 2 * 128 for each group of width 128."""
    assert token_elements(DEEPSEEK_V3.layers[0].mixer) / (2 * 128) == 2.25


def test_deepseek_v2_against_67b():
    """The abstract's 93.3% holds for the deployed cache, whose elements take 6 bits (section 3.2.3)."""
    before = cache_bytes_per_token(DEEPSEEK_67B)
    assert 1 - cache_bytes_per_token(DEEPSEEK_V2) / before == pytest.approx(0.822, abs=5e-4)
    assert 1 - cache_bytes_per_token(DEEPSEEK_V2, bytes_per_element=6 / 8) / before == pytest.approx(
        0.933, abs=5e-4
    )


@pytest.mark.parametrize(
    ("tokens", "between", "ring"), [(1, 1, 1), (6, 6, 6), (7, 6, 7), (8, 6, 7), (99, 6, 7)]
)
def test_a_window_between_steps_and_as_a_ring(tokens, between, ring):
    mixer = AttentionSpec(heads=2, kv_heads=1, head_dim=4, value_dim=4, window=7)
    assert cached_tokens(mixer, tokens) == between
    assert cached_tokens(mixer, tokens, ring=True) == ring


def test_mistral_stops_growing_at_its_window():
    full = 2 * 32 * 8 * 128 * 2  # bytes a token
    assert cache_bytes_per_token(MISTRAL_V01) == full
    assert cache_bytes(MISTRAL_V01, batch=1, tokens=32 * K, ring=True) == 4096 * full == GIB // 2
    assert cache_bytes(MISTRAL_V01, batch=1, tokens=32 * K) == 4095 * full


def test_an_encoder_keeps_nothing():
    assert cache_bytes(BERT, batch=4, tokens=512) == 0


def test_an_encoder_decoder_keeps_both_sides():
    one = 12 * 12 * 64 * 2 * 2  # layers, heads, width, key and value, bytes
    assert cache_bytes(T5, batch=1, tokens=10, source_tokens=500) == 510 * one
    assert cache_bytes(T5, batch=1, tokens=10) == 20 * one


def test_state_spaces_keep_a_fixed_state():
    mamba = SSMSpec(kind="mamba1", d_inner=40, state=3, conv=4, dt_rank=2)
    assert state_elements(mamba, width=20) == (120, 160)
    assert token_elements(mamba) == 0


def test_the_delta_rule_keeps_a_matrix_a_head():
    mixer = GatedDeltaNetSpec(key_heads=2, value_heads=6, key_dim=3, value_dim=5, conv=4)
    assert state_elements(mixer, width=20) == (6 * 3 * 5, 4 * (2 * 2 * 3 + 6 * 5))
    assert token_elements(mixer) == 0


def test_states_have_their_own_width():
    spec = spec_from_hf_config(
        {"model_type": "mamba", "hidden_size": 20, "num_hidden_layers": 3, "vocab_size": 7, "state_size": 3}
    )
    accumulators, inputs = 3 * 40 * 3, 3 * 40 * 4
    assert cache_bytes(spec, batch=2, tokens=9) == 2 * (4 * accumulators + 2 * inputs)
    assert cache_bytes(spec, batch=2, tokens=9, state_bytes_per_element=2) == 2 * 2 * (accumulators + inputs)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch=0: a whole number of at least 1"),
        ({"tokens": 1.5}, "tokens=1.5: a whole number of at least 1"),
        ({"tokens": "32K"}, "tokens='32K': a whole number of at least 1"),
        ({"tokens": True}, "tokens=True: a whole number of at least 1"),
        ({"bytes_per_element": 0}, "bytes_per_element=0: a finite number above 0"),
        ({"bytes_per_element": float("nan")}, "bytes_per_element=nan: a finite number above 0"),
    ],
)
def test_refusals(wrong, message):
    with pytest.raises(ValueError, match=message):
        cache_bytes(LLAMA_70B, **{"batch": 1, "tokens": 8, **wrong})
    shape = {"batch": 1, "tokens": 8, "layers": 80, **SHAPE}
    with pytest.raises(ValueError, match=message):
        kv_cache_bytes(**{**shape, **wrong})


def test_more_refusals():
    with pytest.raises(ValueError, match="source_tokens=0: a whole number of at least 1"):
        cache_bytes(T5, batch=1, tokens=8, source_tokens=0)
    with pytest.raises(ValueError, match="heads=-1: a whole number of at least 1"):
        score_matrix_bytes(8, heads=-1)
    with pytest.raises(ValueError, match="state_bytes_per_element=-4: a finite number above 0"):
        cache_bytes(T5, batch=1, tokens=8, state_bytes_per_element=-4)
    with pytest.raises(ValueError, match="bytes_per_element=None: a finite number above 0"):
        cache_bytes_per_token(T5, bytes_per_element=None)


@pytest.mark.parametrize("name", list_specs())
def test_every_published_model(name):
    """Whole bytes, linear in the batch, and growing by the stated bytes where nothing is windowed."""
    spec = load_spec(name)
    one, two = cache_bytes(spec, batch=1, tokens=1000), cache_bytes(spec, batch=2, tokens=1000)
    assert isinstance(one, int)
    assert two == 2 * one
    if not spec.encoder and all(getattr(layer.mixer, "window", None) is None for layer in spec.layers):
        assert cache_bytes(spec, batch=1, tokens=1001) - one == cache_bytes_per_token(spec)


@pytest.mark.parametrize(
    ("name", "saving"),
    [
        ("mistral-7b-v0.1", 4),
        ("llama-3-8b", 4),
        ("qwen2-7b", 7),
        ("llama-3-70b", 8),
        ("gemma-2-9b", 2),
        ("glm-4.5", 12),
        ("llama-3.1-405b", 16),
        ("qwen3-235b-a22b", 16),
        ("llama-2-7b", 1),
        ("palm-540b", 48),
    ],
)
def test_what_sharing_key_heads_saves(name, saving):
    spec = load_spec(name)
    full = with_groups(spec, spec.layers[0].mixer.heads)
    assert cache_bytes_per_token(full) == saving * cache_bytes_per_token(spec)


@pytest.mark.parametrize("name", list_specs())
def test_two_numbers_say_what_every_model_keeps_of_a_long_request(name):
    spec = load_spec(name)
    line = cache_line(spec, source_tokens=100)
    for tokens in (line.from_tokens, line.from_tokens + 1, line.from_tokens + 128 * K):
        expected = cache_bytes(spec, batch=1, tokens=tokens, source_tokens=100, ring=True)
        assert line.at(tokens) == expected


def test_a_fixed_part_and_a_slope_by_hand():
    gemma = cache_line(load_spec("gemma-3-27b"))  # 52 layers of 1,024 tokens, 10 of all; 16 heads of 128
    token = 2 * 16 * 128 * 2
    assert (gemma.fixed_bytes, gemma.bytes_per_token) == (52 * 1024 * token, 10 * token)
    assert gemma.from_tokens == 1024
    with pytest.raises(ValueError, match="tokens=1023"):
        gemma.at(1023)
    assert cache_line(load_spec("mamba-2.8b")).bytes_per_token == 0


def test_an_encoder_decoder_needs_the_length_of_its_source():
    with pytest.raises(ValueError, match="source_tokens=None"):
        cache_line(load_spec("t5-base"))


def test_the_figures_of_a_public_calculator():
    """hf-mem, pull request 70: gpt-oss-20b, 32 requests of 8,192 tokens, before and after the change."""
    spec = load_spec("gpt-oss-20b")
    assert round(32 * cache_line(spec).at(8192) / GIB, 2) == 6.09
    assert 32 * cache_bytes_per_token(spec) * 8192 == 12 * GIB
