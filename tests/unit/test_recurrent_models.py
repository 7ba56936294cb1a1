"""Models built from records of mixers with a state: parameters, bytes and cached decode by the formulas."""

from dataclasses import replace

import pytest
import torch

from course_lib.costs.cache import cache_bytes
from course_lib.costs.params import param_count
from course_lib.layers.recurrent.lightning import lightning_slopes
from course_lib.models.block import Block, build_blocks
from course_lib.models.lm import CausalLM
from course_lib.models.recurrent_factory import RECURRENT, build_recurrent
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LayerSpec,
    LightningSpec,
    ModelSpec,
    NormSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
)

NORM = NormSpec(kind="rmsnorm", eps=1e-5)
FFN = FFNSpec(kind="glu", activation="silu", width=17)
ATTENTION = AttentionSpec(heads=2, kv_heads=1, head_dim=4, value_dim=4)
MIXERS = [
    GatedDeltaNetSpec(key_heads=2, value_heads=6, key_dim=3, value_dim=5, conv=4),
    KimiDeltaSpec(heads=3, head_dim=5, conv=4, gate_rank=2),
    LightningSpec(heads=3, head_dim=5),
    RGLRUSpec(width=6, blocks=2, conv=4),
    RWKVSpec(width=13),
    ShortConvSpec(conv=3),
    RNNSpec(kind="gru", width=9),
]


def layer_of(mixer):
    return LayerSpec(mixer=mixer, ffn=FFN, norm=NORM)


def test_every_record_has_an_example():
    assert {type(mixer) for mixer in MIXERS} == set(RECURRENT)


@pytest.mark.parametrize("mixer", MIXERS, ids=lambda mixer: type(mixer).__name__)
def test_a_hybrid_of_it_and_attention_is_built_counted_and_decoded(mixer):
    layers = tuple(map(layer_of, (mixer, ATTENTION, mixer)))
    sizes = {"width": 14, "vocab": 19, "final_norm": NORM}
    spec = ModelSpec(name="toy", family="toy", layers=layers, **sizes)
    model = CausalLM(spec).double()
    assert sum(p.numel() for p in model.parameters()) == param_count(spec).total
    tokens, cache = torch.randint(19, (2, 9)), model.make_cache(2, 9)
    wide = {"bytes_per_element": 8, "state_bytes_per_element": 8}
    assert cache.nbytes == cache_bytes(spec, batch=2, tokens=9, **wide)
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in tokens.split([4, 1, 1, 3], 1)]
        torch.testing.assert_close(torch.cat(parts, 1), model(tokens))


def test_channel_mixing_keeps_its_last_input_beside_that_of_the_time_mixing():
    torch.manual_seed(0)
    mixing = FFNSpec(kind="channel_mix", activation="squared_relu", width=17)
    layer = LayerSpec(mixer=RWKVSpec(width=13), ffn=mixing, norm=NORM)
    block = Block(14, layer).double()
    x, state = torch.randn(2, 9, 14).double(), block.mixer.make_state(2, torch.float64)
    positions = torch.arange(9).repeat(2, 1)
    positions[1, :4] = -1
    whole = block(x, positions)
    parts = zip(x.split([2, 4, 1, 2], 1), positions.split([2, 4, 1, 2], 1), strict=True)
    found = torch.cat([block(one, places, state) for one, places in parts], 1)
    torch.testing.assert_close(found[positions >= 0], whole[positions >= 0])
    torch.testing.assert_close(block(x[1:, 4:], positions[1:, 4:])[0], whole[1, 4:])
    assert state.length == 9
    entered = x + block.mixer(block.mixer_norm(x), positions)
    torch.testing.assert_close(state["inputs"][:, 1], block.ffn_norm(entered)[:, -1])


def test_the_norm_has_the_eps_of_its_layer_and_a_foreign_record_is_refused():
    assert build_recurrent(14, layer_of(MIXERS[0])).norm.eps == 1e-5
    with pytest.raises(ValueError, match="mixer=AttentionSpec"):
        build_recurrent(14, layer_of(ATTENTION))


def test_lightning_attention_decays_more_slowly_in_later_layers():
    layers = tuple(map(layer_of, (MIXERS[2], ATTENTION, MIXERS[2])))
    blocks = build_blocks(14, layers)
    for place in (0, 2):
        torch.testing.assert_close(blocks[place].mixer.slopes, lightning_slopes(3, place, 3))


def test_factors_on_the_stream_need_norms_on_the_stream():
    layer = replace(layer_of(ATTENTION), stream_factors=(1.0, 2.0, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"stream_factors=\(1.0, .*='pre': supported is 'stream'"):
        Block(14, layer)
    with pytest.raises(ValueError, match="blocks=4: allowed are divisors of width=6"):
        build_recurrent(14, layer_of(RGLRUSpec(width=6, blocks=4, conv=4)))
