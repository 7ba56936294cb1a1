"""No silent zero: a function over a closed union of records knows each member, and refuses the rest by name.

A new member fails here until it has an example below, and then until each function prices it, names it, or
refuses it with its name. `Foreign` has every field that a record has: what asks for fields alone takes it in.
"""

import ast
from collections.abc import Callable
from dataclasses import fields, make_dataclass, replace
from inspect import unwrap
from typing import get_args, get_type_hints

import pytest
import torch

from course_lib.costs import cache, devices, flops, held, latency, params, roofline, stored, summary
from course_lib.costs.ends import head_params, head_weights
from course_lib.costs.feed_forward import dense
from course_lib.costs.feed_forward import dispatch as feed_forward
from course_lib.costs.hardware import load_hardware
from course_lib.costs.mixers import dispatch as mixers
from course_lib.costs.norms import block_norms
from course_lib.course.calculators.filled import filled
from course_lib.course.calculators.symbolic import symbolic
from course_lib.course.cli.describe import ffn_text, mixer_kind, mixer_text
from course_lib.course.cli.kv import kv_facts
from course_lib.course.gallery.attention import score_rows
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.ends import end_part
from course_lib.course.gallery.feed_forward import ffn_part, network_text
from course_lib.course.gallery.mixers import mixer_part_of
from course_lib.course.gallery.norms import layout_row, norm_text
from course_lib.course.gallery.recurrent import state_space_rows
from course_lib.layers.positions.absolute import sinusoidal
from course_lib.models.attention_factory import mask_mod_of
from course_lib.models.build import build_model
from course_lib.models.layer_factory import (
    build_cross,
    build_ffn,
    build_layer_cache,
    build_mixer,
    build_norm,
    build_position_bias,
)
from course_lib.models.recurrent_factory import RECURRENT
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    IndexerSpec,
    JointSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LayerSpec,
    LightningSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    NormSpec,
    Quantisation,
    RGLRUSpec,
    RNNSpec,
    RopeSpec,
    RWKVSpec,
    ShortConvSpec,
    SideSpec,
    SSMSpec,
    is_causal,
    window_of,
)

from .repository import matching, text

D, TOKENS, POSITIONS = 14, 23, torch.zeros(1, 3, dtype=torch.long)
NORM = NormSpec(kind="rmsnorm", eps=1e-6)
FFN = FFNSpec(kind="glu", activation="silu", width=17)
MIXERS = {
    AttentionSpec: AttentionSpec(heads=6, kv_heads=3, head_dim=4, value_dim=5, window=7, output_gate=True),
    LatentAttentionSpec: LatentAttentionSpec(
        heads=3,
        q_rank=9,
        kv_rank=11,
        nope_dim=5,
        rope_dim=4,
        value_dim=7,
        rope=RopeSpec(theta=1e4, dim=4, pairing="interleaved"),
        norm=NORM,
    ),
    SSMSpec: SSMSpec(kind="mamba1", d_inner=10, state=3, conv=4, dt_rank=2),
    RWKVSpec: RWKVSpec(width=13),
    GatedDeltaNetSpec: GatedDeltaNetSpec(key_heads=2, value_heads=6, key_dim=3, value_dim=5, conv=4),
    KimiDeltaSpec: KimiDeltaSpec(heads=3, head_dim=5, conv=4, gate_rank=2),
    LightningSpec: LightningSpec(heads=3, head_dim=5),
    RGLRUSpec: RGLRUSpec(width=15, blocks=3, conv=4),
    ShortConvSpec: ShortConvSpec(conv=3),
    RNNSpec: RNNSpec(kind="lstm", width=9),
}
MIXERS[JointSpec] = JointSpec(attention=MIXERS[AttentionSpec], state=MIXERS[SSMSpec])
INDEXED = replace(MIXERS[LatentAttentionSpec], indexer=IndexerSpec(heads=3, head_dim=5, top_k=4))
FFNS = {
    type(None): None,
    FFNSpec: FFN,
    MoESpec: MoESpec(
        experts=5,
        top_k=2,
        expert=replace(FFN, width=8),
        shared=1,
        shared_width=9,
        shared_gate=True,
        router_bias=True,
    ),
}
BUILT = (AttentionSpec, LatentAttentionSpec, SSMSpec, *RECURRENT, JointSpec)
"""What a model can be built of; the rest is refused by name until a layer for it is written."""
NAMES = ("weights", "vectors", "flops_per_pair", "step_flops", "token_elements", "state_elements")
OF_MIXERS_ALONE = ("cache_bytes", "cache_bytes, ring", "kv_facts", "on_one_device")
OF_AN_FFN = ("weights", "params", "idle_params", "weights_read")
H100 = load_hardware("H100-SXM")
FP8 = Quantisation(method="fp8", bits=8)


def foreign(record: object) -> object:
    """A record of another class, with the fields and values of a known one."""
    names = [field.name for field in fields(record)]
    double = make_dataclass("Foreign", names, frozen=True)
    return double(**{name: getattr(record, name) for name in names})


def model(mixer: object = MIXERS[AttentionSpec], ffn: object = FFN, **parts: object) -> ModelSpec:
    """A language model of two layers that are alike."""
    layer = LayerSpec(mixer=mixer, ffn=ffn, norm=NORM)
    return ModelSpec(name="toy", family="toy", width=D, vocab=19, layers=(layer, layer), **parts)


def of_model(spec: ModelSpec) -> dict[str, Callable[[], object]]:
    """Every count of a whole model, and what builds it from symbols and back."""
    return {
        "param_count": lambda: params.param_count(spec),
        "layer_params": lambda: params.layer_params(spec.layers[0], spec.width),
        "flops_per_token": lambda: flops.flops_per_token(spec, TOKENS),
        "prefill_flops": lambda: flops.prefill_flops(spec, TOKENS),
        "prefill_flops, masks computed": lambda: flops.prefill_flops(spec, TOKENS, skip_masked=False),
        "cache_bytes": lambda: cache.cache_bytes(spec, batch=2, tokens=TOKENS),
        "cache_bytes, ring": lambda: cache.cache_bytes(spec, batch=2, tokens=TOKENS, ring=True, latent=False),
        "weights_read": lambda: roofline.weights_read(spec, batch=3),
        "weights_read, prefill": lambda: roofline.weights_read(spec, batch=3, prefill=True),
        "decode_work": lambda: roofline.decode_work(spec, context=TOKENS),
        "prefill_work": lambda: roofline.prefill_work(spec, TOKENS),
        "device_params": lambda: devices.device_params(spec, 3),
        "on_one_device": lambda: devices.on_one_device(spec, 3),
        "held_again": lambda: held.held_again(spec, 3),
        "stored_weights": lambda: stored.stored_weights(spec, FP8),
        "request_latency": lambda: latency.request_latency(spec, H100, tokens_in=9, tokens_out=5),
        "summary": lambda: summary.summary(spec, TOKENS),
        "symbolic": lambda: symbolic(spec),
        "kv_facts": lambda: kv_facts(spec, TOKENS, 2, 16),
        "describe": lambda: describe(spec),
    }


def of_mixer(mixer: object) -> dict[str, Callable[[], object]]:
    """Every function over `Mixer`, called with one."""
    return {
        "mechanism_of": lambda: mixers.mechanism_of(mixer),
        "mixer_part": lambda: mixers.mixer_part(mixer),
        "mixer_weights": lambda: mixers.mixer_weights(mixer, D),
        "mixer_vectors": lambda: mixers.mixer_vectors(mixer, D),
        "mixer_params": lambda: mixers.mixer_params(mixer, D),
        "attention_flops_per_pair": lambda: mixers.attention_flops_per_pair(mixer),
        "attention_flops_per_pair, absorbed": lambda: mixers.attention_flops_per_pair(mixer, absorbed=True),
        "recurrence_flops": lambda: mixers.recurrence_flops(mixer),
        "token_elements": lambda: mixers.token_elements(mixer),
        "token_elements, expanded": lambda: mixers.token_elements(mixer, latent=False),
        "state_elements": lambda: mixers.state_elements(mixer, D),
        "cached_tokens": lambda: cache.cached_tokens(mixer, TOKENS),
        "cached_tokens, ring": lambda: cache.cached_tokens(mixer, TOKENS, ring=True),
        "window_of": lambda: window_of(mixer),
        "is_causal": lambda: is_causal(mixer),
        "mixer_kind": lambda: mixer_kind(mixer),
        "mixer_part_of": lambda: mixer_part_of(mixer, D, "mixer", ""),
        "mixer_text": lambda: mixer_text(mixer),
        **of_model(model(mixer)),
    }


def of_ffn(ffn: object) -> dict[str, Callable[[], object]]:
    """Every function over the union of feed-forward parts, called with one."""
    return {
        "ffn_weights": lambda: feed_forward.ffn_weights(ffn, D),
        "ffn_params": lambda: feed_forward.ffn_params(ffn, D),
        "idle_params": lambda: feed_forward.idle_params(ffn, D),
        "ffn_weights_read": lambda: feed_forward.ffn_weights_read(ffn, D, 3),
        "ffn_text": lambda: ffn_text(ffn),
        **({} if ffn is None else {"ffn_part": lambda: ffn_part(ffn, D)}),
        **{name: call for name, call in of_model(model(ffn=ffn)).items() if name not in OF_MIXERS_ALONE},
    }


def builders(mixer: object) -> dict[str, Callable[[], object]]:
    """What builds a layer from a mixer's record, without the check of types that only tests have."""
    layer = LayerSpec(mixer=mixer, ffn=FFN, norm=NORM)
    return {
        "build_mixer": lambda: unwrap(build_mixer)(D, layer),
        "build_position_bias": lambda: unwrap(build_position_bias)(mixer),
        "build_layer_cache": lambda: unwrap(build_layer_cache)(D, layer, 1, 8),
        "build_model": lambda: build_model(model(mixer)),
    }


def calls(functions: Callable, examples: dict) -> list:
    """One case a member and function."""
    return [
        pytest.param(call, id=f"{kind.__name__}-{name}")
        for kind, example in examples.items()
        for name, call in functions(example).items()
    ]


def refusals(functions: Callable, examples: dict) -> list:
    """One case a function, for a foreign record that looks like a member."""
    doubles = {kind: foreign(example) for kind, example in examples.items() if example is not None}
    return calls(functions, doubles)


def test_every_member_has_an_example():
    assert set(MIXERS) == set(get_args(Mixer)) == set(mixers.MECHANISMS)
    assert set(FFNS) == set(get_args(get_type_hints(LayerSpec)["ffn"]))
    assert set(feed_forward.MECHANISMS) == set(FFNS) - {type(None)}


@pytest.mark.parametrize("call", [*calls(of_mixer, MIXERS), *calls(of_ffn, FFNS)])
def test_every_function_knows_every_member(call):
    call()


@pytest.mark.parametrize("call", [*refusals(of_mixer, MIXERS), *refusals(of_ffn, FFNS)])
def test_a_foreign_record_is_refused_by_its_name(call):
    with pytest.raises(ValueError, match="=Foreign"):
        call()


@pytest.mark.parametrize("kind", MIXERS)
def test_a_mixer_costs_something_and_keeps_something(kind):
    """A mixer that looks at no pairs has a step of its own, and what it keeps is tokens or a state."""
    mixer = MIXERS[kind]
    assert mixers.mixer_weights(mixer, D) > 0
    pairs, step = mixers.attention_flops_per_pair(mixer) > 0, mixers.recurrence_flops(mixer) > 0
    accumulators, inputs = mixers.state_elements(mixer, D)
    tokens = mixers.token_elements(mixer) > 0
    assert (pairs, step) == (tokens, accumulators > 0)
    assert tokens or accumulators > 0 or inputs > 0
    assert (pairs and step) == (kind is JointSpec)
    assert (inputs > 0) == (accumulators > 0) or kind in (LightningSpec, ShortConvSpec, RNNSpec)


def test_an_indexer_costs_what_it_scores_and_saves_what_is_not_attended_to():
    """3 heads of 5 score every key; attention looks at 4 of 23."""
    plain, indexed = MIXERS[LatentAttentionSpec], INDEXED
    assert mixers.selection_flops_per_pair(plain) == 0
    assert mixers.selection_flops_per_pair(indexed) == 2 * 3 * (5 + 1)
    assert mixers.token_elements(indexed) == mixers.token_elements(plain) + 5
    assert mixers.mixer_weights(indexed, D) - mixers.mixer_weights(plain, D) == 9 * 15 + 14 * (5 + 3)
    step = flops.flops_per_token_split(model(indexed), TOKENS).attention
    pair = mixers.attention_flops_per_pair(indexed, absorbed=True)
    assert step == 2 * (4 * pair + TOKENS * 36)
    borrowed = replace(indexed, indexer=replace(indexed.indexer, own=False))
    assert mixers.mixer_params(borrowed, D) == mixers.mixer_params(plain, D)
    assert flops.flops_per_token_split(model(borrowed), TOKENS).attention == 2 * 4 * pair


def test_a_side_part_costs_its_weights_and_keeps_its_inputs():
    side = SideSpec(words="gate", weights=11, vectors=5, rows=7, inputs=3)
    layer = LayerSpec(mixer=MIXERS[AttentionSpec], ffn=FFN, norm=NORM, sides=(side,))
    bare, whole = model(), replace(model(), layers=(layer, layer), sides=(side,))
    assert params.param_count(whole).total - params.param_count(bare).total == 3 * 23
    assert params.param_count(whole).by_part["side"] == 3 * 23
    assert flops.flops_per_token(whole, TOKENS) - flops.flops_per_token(bare, TOKENS) == 3 * 22
    assert flops.prefill_flops(whole, TOKENS) - flops.prefill_flops(bare, TOKENS) == 3 * 22 * TOKENS
    kept = [cache.cache_bytes(spec, batch=2, tokens=TOKENS) for spec in (whole, bare)]
    assert kept[0] - kept[1] == 2 * 2 * 2 * 3
    with pytest.raises(ValueError, match="sides=gate: "):
        build_mixer(D, layer)


@pytest.mark.parametrize("kind", MIXERS)
def test_a_mechanism_says_all_its_costs_itself(kind):
    module = mixers.MECHANISMS[kind]
    assert module.PART in ("attention", "state")
    for name in NAMES:
        assert getattr(module, name).__module__ == module.__name__


@pytest.mark.parametrize("kind", feed_forward.MECHANISMS)
def test_a_feed_forward_part_says_all_its_costs_itself(kind):
    module = feed_forward.MECHANISMS[kind]
    for name in OF_AN_FFN:
        assert getattr(module, name).__module__ == module.__name__


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("ffn", FFNS)
def test_symbols_filled_with_the_numbers_cost_the_same(kind, ffn):
    spec = model(MIXERS[kind], FFNS[ffn])
    found = symbolic(spec)
    again = filled(found.spec, found.values)
    assert params.param_count(again) == params.param_count(spec)
    assert flops.flops_per_token(again, TOKENS) == flops.flops_per_token(spec, TOKENS)
    assert cache.cache_bytes(again, batch=2, tokens=TOKENS) == cache.cache_bytes(spec, batch=2, tokens=TOKENS)


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("name", builders(FFN))
def test_a_mixer_is_built_or_refused_by_its_name(kind, name):
    call = builders(MIXERS[kind])[name]
    if kind in BUILT:
        call()
    else:
        with pytest.raises(ValueError, match=f"mixer={kind.__name__}: "):
            call()


@pytest.mark.parametrize("call", refusals(builders, MIXERS))
def test_nothing_is_built_from_a_foreign_mixer(call):
    with pytest.raises(ValueError, match="mixer=Foreign: "):
        call()


def test_a_part_that_is_not_built_is_refused_by_its_name():
    shared = replace(MIXERS[AttentionSpec], value_dim=4, shared_kv=True)
    crossed = LayerSpec(mixer=MIXERS[AttentionSpec], ffn=FFN, norm=NORM, cross=shared)
    with pytest.raises(ValueError, match="shared_kv=True"):
        build_cross(D, crossed)
    for kind in set(MIXERS) - {AttentionSpec}:
        with pytest.raises(ValueError, match=f"mixer={kind.__name__}: "):
            unwrap(mask_mod_of)(MIXERS[kind])
    for ffn, named in ((None, "NoneType"), (foreign(FFNS[MoESpec]), "Foreign"), (foreign(FFN), "Foreign")):
        with pytest.raises(ValueError, match=f"ffn={named}: "):
            unwrap(build_ffn)(D, ffn)
    with pytest.raises(ValueError, match="ffn=channel_mix with activation='silu'"):
        build_ffn(D, replace(FFN, kind="channel_mix"))
    with pytest.raises(ValueError, match="ffn=channel_mix: "):
        build_ffn(D, replace(FFNS[MoESpec], expert=replace(FFN, kind="channel_mix")))


def words(record: type, field: str) -> tuple[str, ...]:
    """The words that a field of a record may hold, as its annotation lists them."""
    found = get_type_hints(record)[field]
    listed = get_args(found)
    return tuple(word for one in listed for word in (get_args(one) or (one,)) if isinstance(word, str))


def in_an_encoder(layout: str) -> LayerSpec:
    return LayerSpec(mixer=MIXERS[AttentionSpec], ffn=FFN, norm=NORM, norm_layout=layout)


SSM2 = SSMSpec(kind="mamba2", d_inner=10, state=3, conv=4, heads=5, head_dim=2, groups=1)
OF_WORDS = {
    "head": (ModelSpec, [lambda word: head_weights(model(head=word, outputs=3))]),
    "head, params": (ModelSpec, [lambda word: head_params(model(head=word, outputs=3))]),
    "head, rows": (ModelSpec, [lambda word: end_part(model(head=word, outputs=3))]),
    "kind of an FFN": (
        FFNSpec,
        [
            lambda word: dense.weights(replace(FFN, kind=word), D),
            lambda word: dense.vectors(replace(FFN, kind=word), D),
            lambda word: network_text(replace(FFN, kind=word)),
        ],
    ),
    "kind of a state space": (
        SSMSpec,
        [
            lambda word: mixers.mixer_weights(replace(SSM2, kind=word, dt_rank=2), D),
            lambda word: mixers.mixer_vectors(replace(SSM2, kind=word, dt_rank=2), D),
            lambda word: mixers.state_elements(replace(SSM2, kind=word, dt_rank=2), D),
            lambda word: mixer_kind(replace(SSM2, kind=word)),
            lambda word: list(state_space_rows(replace(SSM2, kind=word))),
        ],
    ),
    "qk_norm": (
        AttentionSpec,
        [
            lambda word: mixers.mixer_vectors(replace(MIXERS[AttentionSpec], qk_norm=word), D),
            lambda word: list(score_rows(replace(MIXERS[AttentionSpec], qk_norm=word))),
        ],
    ),
    "norm_layout": (
        LayerSpec,
        [lambda word: block_norms(in_an_encoder(word)), lambda word: layout_row(in_an_encoder(word))],
    ),
    "kind of a norm": (
        NormSpec,
        [
            lambda word: build_norm(D, replace(NORM, kind=word)),
            lambda word: norm_text(replace(NORM, kind=word)),
        ],
    ),
    "sinusoidal": (EmbeddingSpec, [lambda word: sinusoidal(POSITIONS, 8, layout=word)]),
}


@pytest.mark.parametrize("name", OF_WORDS)
def test_every_word_of_a_field_is_known_and_another_is_refused(name):
    record, functions = OF_WORDS[name]
    field = {"kind": "kind", "head": "head"}.get(name.split()[0].strip(","), name)
    known = words(record, field)
    assert len(known) > 1
    for function in functions:
        for word in known:
            function(word)
        with pytest.raises(ValueError, match="'foreign'"):
            function("foreign")


FIELDS = {field.name for record in (*MIXERS, FFNSpec, MoESpec, NormSpec) for field in fields(record)}
OVER_SPECS = matching(r"course_lib/(specs|costs|layers|models|course/(cli|calculators))/.*\.py")


@pytest.mark.parametrize("path", OVER_SPECS, ids=str)
def test_no_field_of_a_record_has_a_silent_default(path):
    """`getattr(mixer, "window", None)` takes a record without a window for one that sees everything."""
    for node in ast.walk(ast.parse(text(path.as_posix()))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            named = isinstance(node.args[1], ast.Constant) and node.args[1].value in FIELDS
            assert not (named and len(node.args) == 3), f"line {node.lineno}"
