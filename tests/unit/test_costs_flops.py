"""FLOPs: the split of prefill, decode, the two forms of latent attention, and refusals."""

from dataclasses import replace

import pytest

from course_lib.costs.ends import head_weights
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.feed_forward.moe import weights as moe_weights
from course_lib.costs.flops import (
    Flops,
    flops_per_token,
    flops_per_token_split,
    prefill_flops,
    prefill_flops_split,
    visible_pairs,
)
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_vectors,
    mixer_weights,
    recurrence_flops,
)
from course_lib.costs.params import param_count
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import AttentionSpec, FFNSpec, GatedDeltaNetSpec, MoESpec, RWKVSpec, SSMSpec
from tests.unit.costs_models import BERT, DEEPSEEK_V3, LLAMA_70B, MISTRAL_V01, MIXTRAL, T5, VIT

K = 1024


@pytest.mark.parametrize(
    ("tokens", "causal", "full"), [(4 * K, 0.04, 0.07), (32 * K, 0.24, 0.39), (128 * K, 0.56, 0.72)]
)
def test_attention_in_the_prefill_of_a_70b_model(tokens, causal, full):
    """Shares to the hundredth: with the mask skipped, and with every score computed."""
    assert round(prefill_flops_split(LLAMA_70B, tokens).attention_share, 2) == causal
    assert round(prefill_flops_split(LLAMA_70B, tokens, skip_masked=False).attention_share, 2) == full


def test_attention_passes_half_of_the_prefill_at_102k():
    assert prefill_flops_split(LLAMA_70B, 102 * K - 1).attention_share < 0.5
    assert prefill_flops_split(LLAMA_70B, 102 * K).attention_share > 0.5


def test_prefill_grows_faster_than_the_cache_from_32k_to_128k():
    causal = prefill_flops(LLAMA_70B, 128 * K) / prefill_flops(LLAMA_70B, 32 * K)
    full = [prefill_flops(LLAMA_70B, n * K, skip_masked=False) for n in (32, 128)]
    assert causal == pytest.approx(6.87, abs=0.005)
    assert full[1] / full[0] == pytest.approx(8.63, abs=0.005)


def test_two_flops_a_weight():
    """Linear FLOPs of a token are twice the parameters, but for word table, norms and idle experts."""
    for spec in (LLAMA_70B, MIXTRAL):
        count = param_count(spec)
        vectors = count.by_part["norm"] + count.by_part["embedding"]
        assert flops_per_token_split(spec, 1).linear == 2 * (count.active - vectors)


def test_weights_of_all_parts_are_the_matrices_of_the_model():
    layers = sum(
        n * (mixer_weights(layer.mixer, LLAMA_70B.width) + ffn_weights(layer.ffn, LLAMA_70B.width))
        for layer, n in unique_layers(LLAMA_70B.layers)
    )
    parts = param_count(LLAMA_70B).by_part
    assert layers == parts["attention"] + parts["ffn"]
    assert head_weights(LLAMA_70B) == parts["head"]


def test_prefill_is_the_sum_of_its_tokens():
    """Token i sees i keys, so a causal prefill with all logits costs what its tokens cost one by one."""
    steps = sum(flops_per_token(LLAMA_70B, i) for i in range(1, 18))
    assert prefill_flops(LLAMA_70B, 17, logit_positions=17) == steps


def test_the_absorbed_form_pays_3_4_times_as_much_for_a_pair():
    mixer = DEEPSEEK_V3.layers[0].mixer
    assert attention_flops_per_pair(mixer) == 2 * 128 * 320
    assert attention_flops_per_pair(mixer, absorbed=True) == 2 * 128 * 1088
    kept, absorbed = (flops_per_token_split(DEEPSEEK_V3, 4 * K, absorbed=form) for form in (False, True))
    assert absorbed.attention / kept.attention == 3.4
    assert absorbed.linear == kept.linear


def test_an_encoder_hides_nothing():
    every = prefill_flops_split(BERT, 128).attention
    assert every == prefill_flops_split(BERT, 128, skip_masked=False).attention == 12 * 128**2 * 4 * 768


def test_an_image_model_runs_its_patches():
    """ViT-L/16 on 197 tokens: the patches, 24 layers, and a class token that no patch projection makes."""
    layers = 24 * (4 * 1024**2 + 2 * 1024 * 4096)
    split = prefill_flops_split(VIT, 197)
    assert split.linear == 2 * (197 * layers + 196 * 1024 * 768 + head_weights(VIT))
    assert split.attention == 24 * 197**2 * 4 * 1024


def test_an_encoder_decoder_runs_both_stacks():
    both = prefill_flops(T5, 3, source_tokens=7)
    longer = prefill_flops(T5, 3, source_tokens=8)
    assert longer - both == 12 * (
        2
        * (4 * 768**2 + 2 * 768 * 3072 + 2 * 768**2)  # the encoder's layer, and the keys and values it gives
        + 4 * 768 * (8**2 - 7**2)  # the encoder's pairs
        + 4 * 768 * 3  # the three target tokens' pairs
    )


def test_recurrences():
    assert recurrence_flops(SSMSpec(kind="mamba1", d_inner=40, state=3, conv=4, dt_rank=2)) == 5 * 120
    assert recurrence_flops(RWKVSpec(width=20)) == 160
    assert attention_flops_per_pair(RWKVSpec(width=20)) == 0


def test_flops_add_by_part():
    assert Flops(3, 4) + Flops(10, 20) == Flops(13, 24)
    assert Flops(3, 1).total == 4
    assert Flops(3, 1).attention_share == 0.25


def test_a_mixture_pays_its_pick_its_shared_experts_and_its_router():
    expert = FFNSpec(kind="glu", activation="silu", width=5)
    moe = MoESpec(experts=7, top_k=2, expert=expert, shared=1, shared_width=11, shared_gate=True)
    assert ffn_weights(moe, 4) == 2 * (3 * 4 * 5) + 3 * 4 * 11 + 4 + 4 * 7
    assert moe_weights(moe, 4, experts=7) - moe_weights(moe, 4) == 5 * (3 * 4 * 5)
    assert ffn_weights(None, 4) == 0


def test_experts_met_from_one_token_to_many():
    assert expected_active_experts(256, 8, 1) == 8
    assert expected_active_experts(8, 2, 2) == 3.5
    assert expected_active_experts(256, 8, 1000) == pytest.approx(256, rel=1e-12)
    assert expected_active_experts(4, 4, 3) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flops_per_token(LLAMA_70B, 0), "context=0: a whole number of at least 1"),
        (lambda: prefill_flops(LLAMA_70B, 2.0), "tokens=2.0: a whole number of at least 1"),
        (lambda: prefill_flops(LLAMA_70B, 4, logit_positions=5), "logit_positions=5: at most tokens=4"),
        (lambda: prefill_flops(T5, 4, source_tokens=0), "source_tokens=0: a whole number of at least 1"),
        (lambda: visible_pairs(4, window=0), "window=0: a whole number of at least 1"),
        (lambda: expected_active_experts(8, 9, 1), "top_k=9: at most experts=8"),
        (lambda: expected_active_experts(8, 2, 0), "batch=0: a whole number of at least 1"),
        (lambda: mixer_weights("attention", 8), "mixer=str: known are AttentionSpec, LatentAttentionSpec"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("context", [1, 4095, 4096, 4097, 20_000])
def test_a_window_bounds_the_pairs_of_a_decode_step(context):
    """Mistral's 32 layers of 32 heads see min(context, 4096) keys, the new token's own among them."""
    found = flops_per_token_split(MISTRAL_V01, context).attention
    assert found == 32 * min(context, 4096) * 2 * 32 * (128 + 128)
    assert found == prefill_attention(MISTRAL_V01, context) - prefill_attention(MISTRAL_V01, context - 1)


def prefill_attention(spec, tokens):
    return prefill_flops_split(spec, tokens).attention if tokens else 0


def test_recurrence_of_the_delta_rule():
    """Per element of the state: 1 to forget, 2 to recall, 2 to correct, 2 to answer."""
    mixer = GatedDeltaNetSpec(key_heads=2, value_heads=6, key_dim=3, value_dim=5, conv=4)
    assert recurrence_flops(mixer) == 6 * 7 * (3 * 5)
    assert attention_flops_per_pair(mixer) == 0


def test_an_output_gate_is_one_more_projection_of_queries():
    plain = AttentionSpec(heads=6, kv_heads=2, head_dim=5, value_dim=3)
    gated = replace(plain, output_gate=True)
    assert mixer_weights(gated, 7) - mixer_weights(plain, 7) == 7 * 6 * 3
    assert mixer_vectors(gated, 7) == mixer_vectors(plain, 7) == 0
    biased = (mixer_vectors(replace(one, bias_qkv=True), 7) for one in (gated, plain))
    assert next(biased) - next(biased) == 6 * 3
    assert attention_flops_per_pair(gated) == attention_flops_per_pair(plain)


@pytest.mark.parametrize("tokens", [1, 2, 5, 9])
@pytest.mark.parametrize("window", [None, 1, 2, 3, 6, 40])
def test_pairs_of_a_window_on_both_sides(tokens, window):
    reach = tokens if window is None else window // 2
    pairs = sum(abs(q - k) <= reach for q in range(tokens) for k in range(tokens))
    assert visible_pairs(tokens, window, causal=False) == pairs
