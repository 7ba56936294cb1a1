"""What must hold of the cost formulas for any model, length and batch."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from course_lib.costs.cache import cache_bytes, kv_cache_bytes
from course_lib.costs.devices import SPLITS, device_params, splits_evenly
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.flops import flops_per_token, prefill_flops, visible_pairs
from course_lib.costs.hardware import Hardware
from course_lib.costs.held import held_again
from course_lib.costs.latency import request_latency
from course_lib.costs.mixers.dispatch import attention_flops_per_pair, token_elements
from course_lib.costs.params import param_count
from course_lib.costs.roofline import decode_roofline, decode_step_time, prefill_time, weights_read
from course_lib.costs.serving import concurrent_requests, equal_context, max_concurrency, weight_bytes
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LatentAttentionSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
    SSMSpec,
)

SIZES = st.integers(1, 9)
LENGTHS = st.integers(1, 300)
WINDOWS = st.none() | st.integers(1, 40)
NORM = NormSpec(kind="rmsnorm", eps=1e-6)
TOY = Hardware("toy", peak_flops=3e6, bandwidth_bytes_per_s=1e6, memory_bytes=1e7)


@st.composite
def attentions(draw, windows=WINDOWS):
    groups, share = draw(SIZES), draw(SIZES)
    sizes = {"head_dim": draw(SIZES), "value_dim": draw(SIZES), "window": draw(windows)}
    return AttentionSpec(heads=groups * share, kv_heads=groups, **sizes)


@st.composite
def latents(draw):
    """Latent attention whose latent is narrower than the keys and values multiplied out of it."""
    heads, nope, value = draw(st.integers(2, 9)), draw(SIZES), draw(SIZES)
    rank = draw(st.integers(1, heads * (nope + value)))
    sizes = {"q_rank": draw(st.none() | SIZES), "kv_rank": rank, "rope_dim": 2 * draw(SIZES)}
    rope = RopeSpec(theta=1e4, dim=sizes["rope_dim"])
    return LatentAttentionSpec(heads=heads, nope_dim=nope, value_dim=value, rope=rope, norm=NORM, **sizes)


@st.composite
def state_spaces(draw):
    return SSMSpec(kind="mamba1", d_inner=draw(SIZES), state=draw(SIZES), conv=4, dt_rank=draw(SIZES))


@st.composite
def experts(draw):
    count = draw(SIZES)
    network = FFNSpec(kind="glu", activation="silu", width=draw(SIZES))
    return MoESpec(experts=count, top_k=draw(st.integers(1, count)), expert=network)


NETWORKS = st.builds(FFNSpec, kind=st.sampled_from(["mlp", "glu"]), activation=st.just("gelu"), width=SIZES)


@st.composite
def models(draw, mixers=None):
    kinds = attentions() | latents() | state_spaces() if mixers is None else mixers
    layer = st.builds(LayerSpec, mixer=kinds, norm=st.just(NORM), ffn=NETWORKS | experts())
    stack = tuple(draw(st.lists(layer, min_size=1, max_size=4)))
    tied = EmbeddingSpec(tied=draw(st.booleans()))
    return ModelSpec(name="any", family="any", width=draw(SIZES), vocab=11, layers=stack, embeddings=tied)


@given(models(), SIZES, LENGTHS)
def test_a_cache_is_linear_in_the_batch(spec, batch, tokens):
    assert cache_bytes(spec, batch=batch, tokens=tokens) == batch * cache_bytes(spec, batch=1, tokens=tokens)


@given(models(), LENGTHS, LENGTHS, st.booleans())
def test_a_cache_never_shrinks_with_tokens(spec, tokens, more, ring):
    before = cache_bytes(spec, batch=1, tokens=tokens, ring=ring)
    assert before <= cache_bytes(spec, batch=1, tokens=tokens + more, ring=ring)


@given(models(), LENGTHS)
def test_a_ring_holds_one_slot_more_a_full_window(spec, tokens):
    full = sum(
        token_elements(layer.mixer)
        for layer in spec.layers
        if (window := getattr(layer.mixer, "window", None)) and tokens >= window
    )
    rings = cache_bytes(spec, batch=1, tokens=tokens, ring=True)
    assert rings == cache_bytes(spec, batch=1, tokens=tokens) + 2 * full


@given(models(attentions(windows=st.integers(1, 40))), st.integers(40, 10**6))
def test_windows_stop_all_growth(spec, tokens):
    assert cache_bytes(spec, batch=1, tokens=tokens) == cache_bytes(spec, batch=1, tokens=40)
    assert flops_per_token(spec, tokens) == flops_per_token(spec, 40)


@given(attentions(windows=st.none()), LENGTHS, st.data())
def test_a_window_as_long_as_the_text_is_no_window(mixer, tokens, data):
    window = data.draw(st.integers(tokens + 1, 400))
    same = replace(mixer, window=window)
    plain, windowed = (
        ModelSpec(name="any", family="any", width=6, layers=(LayerSpec(mixer=kind, norm=NORM),), head="none")
        for kind in (mixer, same)
    )
    assert cache_bytes(plain, batch=1, tokens=tokens) == cache_bytes(windowed, batch=1, tokens=tokens)
    assert prefill_flops(plain, tokens) == prefill_flops(windowed, tokens)


@given(SIZES, SIZES, SIZES, LENGTHS)
def test_fewer_key_heads_never_cost_more(groups, share, width, tokens):
    sizes = {"batch": 1, "tokens": tokens, "head_dim": width, "layers": 3, "bytes_per_element": 2}
    mqa, gqa, mha = (kv_cache_bytes(kv_heads=heads, **sizes) for heads in (1, groups, groups * share))
    assert mqa <= gqa <= mha
    assert mha == groups * share * mqa


@given(latents())
def test_a_latent_is_smaller_than_what_it_is_multiplied_out_to(mixer):
    assert token_elements(mixer) < token_elements(mixer, latent=False)


@given(latents())
def test_the_absorbed_form_does_more_only_where_the_rank_is_wide(mixer):
    wide = 2 * mixer.kv_rank > mixer.nope_dim + mixer.value_dim
    assert (attention_flops_per_pair(mixer, absorbed=True) > attention_flops_per_pair(mixer)) == wide


@given(models(), LENGTHS, st.integers(1, 8))
def test_the_general_form_counts_bytes_by_their_width(spec, tokens, width):
    narrow = cache_bytes(spec, batch=1, tokens=tokens, bytes_per_element=1, state_bytes_per_element=1)
    wide = cache_bytes(spec, batch=1, tokens=tokens, bytes_per_element=width, state_bytes_per_element=width)
    assert wide == width * narrow


@given(LENGTHS, st.none() | st.integers(1, 400))
def test_pairs_are_counted_one_by_one(tokens, window):
    seen = [(t, s) for t in range(tokens) for s in range(t + 1) if window is None or s > t - window]
    assert visible_pairs(tokens, window) == len(seen)


@given(models(attentions() | state_spaces()), st.integers(1, 60))
def test_a_prefill_is_its_tokens_one_by_one(spec, tokens):
    steps = sum(flops_per_token(spec, context) for context in range(1, tokens + 1))
    assert prefill_flops(spec, tokens, logit_positions=tokens) == steps


@given(models(), LENGTHS)
def test_skipping_hidden_scores_saves_less_than_all(spec, tokens):
    assert prefill_flops(spec, tokens) <= prefill_flops(spec, tokens, skip_masked=False)


@given(SIZES, SIZES, st.integers(1, 50))
def test_experts_met_lie_between_the_pick_and_all(top_k, spare, batch):
    found = expected_active_experts(top_k + spare, top_k, batch)
    assert top_k - 1e-9 <= found <= top_k + spare
    assert found <= expected_active_experts(top_k + spare, top_k, batch + 1) + 1e-9


@given(models(), st.integers(1, 20))
def test_a_batch_reads_at_least_what_one_token_reads(spec, batch):
    assert weights_read(spec, batch=1) - 1e-9 <= weights_read(spec, batch=batch)


@given(models(), SIZES, LENGTHS, LENGTHS)
def test_a_step_never_gets_faster_with_context(spec, batch, context, more):
    early, late = (decode_step_time(spec, TOY, batch=batch, context=n) for n in (context, context + more))
    assert early <= late


@given(models(), LENGTHS, st.integers(1, 16))
def test_devices_share_arithmetic_evenly_and_bytes_at_best(spec, context, devices):
    one = decode_roofline(spec, TOY, context=context)
    for split in SPLITS:
        if not splits_evenly(spec, devices, split):
            continue
        many = decode_roofline(spec, TOY, context=context, devices=devices, split=split)
        assert many.compute_s == pytest.approx(one.compute_s / devices, rel=1e-12)
        assert one.memory_s / devices * (1 - 1e-12) <= many.memory_s <= one.memory_s * (1 + 1e-12)


@given(models(), st.integers(1, 16), st.sampled_from(SPLITS))
def test_devices_hold_at_least_one_copy_and_at_most_a_copy_each(spec, devices, split):
    if not splits_evenly(spec, devices, split):
        with pytest.raises(ValueError, match="a divisor or a multiple of kv_heads"):
            device_params(spec, devices, split=split)
        return
    held = devices * device_params(spec, devices, split=split)
    total = param_count(spec).total
    assert total <= held * (1 + 1e-12) and held <= devices * total * (1 + 1e-12)
    extra = sum(one.params * (one.copies - 1) for one in held_again(spec, devices, split=split))
    assert held == pytest.approx(total + extra, rel=1e-12)


@given(models(), LENGTHS, st.integers(1, 80), SIZES)
def test_a_request_is_its_prefill_and_its_steps(spec, tokens_in, tokens_out, batch):
    """To 1e-12, for at most 80 additions."""
    steps = sum(decode_step_time(spec, TOY, batch=batch, context=tokens_in + i) for i in range(1, tokens_out))
    expected = prefill_time(spec, TOY, tokens_in, batch=batch) + steps
    found = request_latency(spec, TOY, tokens_in=tokens_in, tokens_out=tokens_out, batch=batch)
    assert found == pytest.approx(expected, rel=1e-12)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**4))
def test_what_fits_fits_and_one_more_does_not(memory, weights, cache):
    fit = concurrent_requests(memory_bytes=memory, weight_bytes=weights, cache_bytes_per_request=cache)
    assert fit == 0 or weights + fit * cache <= memory
    assert weights + (fit + 1) * cache > memory


@given(models(attentions() | latents()), LENGTHS, LENGTHS)
def test_longer_contexts_never_raise_concurrency(spec, context, more):
    room = replace(TOY, memory_bytes=weight_bytes(spec) + 10**5)
    assume(cache_bytes(spec, batch=1, tokens=context))  # windows of 1 alone keep nothing between steps
    short, long = (max_concurrency(spec, room, n) for n in (context, context + more))
    assert long <= short


@given(models(), SIZES)
def test_the_cache_passes_the_weights_at_the_context_it_is_said_to(spec, batch):
    context = equal_context(spec, batch)
    if context is None:
        assert batch * cache_bytes(spec, batch=1, tokens=10**9) < weight_bytes(spec)
    else:
        assert cache_bytes(spec, batch=batch, tokens=context) >= weight_bytes(spec)
        assert context == 1 or cache_bytes(spec, batch=batch, tokens=context - 1) < weight_bytes(spec)
