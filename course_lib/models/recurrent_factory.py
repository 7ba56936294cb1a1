"""From a record of a mixer with a state to the layer: gated DeltaNet, Kimi Delta
Attention, lightning attention, short convolution, RWKV-4's time mixing, RG-LRU, GRU and
LSTM; and to the state that it keeps.

Terms:
    recurrent mixer from a record: which layer with a state a specification asks for ->
        build_recurrent
"""

import torch

from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.recurrent.gated_delta_net import GatedDeltaNet, KimiDelta
from course_lib.layers.recurrent.gated_rnn import GRU, LSTM
from course_lib.layers.recurrent.lightning import Lightning
from course_lib.layers.recurrent.mixer import RecurrentMixer
from course_lib.layers.recurrent.rg_lru import RGLRU
from course_lib.layers.recurrent.short_conv import ShortConv
from course_lib.layers.recurrent.time_mixing import RWKV
from course_lib.specs.records import (
    FFNSpec,
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LayerSpec,
    LightningSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
)

RECURRENT = (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    RGLRUSpec,
    RWKVSpec,
    ShortConvSpec,
    RNNSpec,
)
"""The records that are built here."""


def build_recurrent(width: int, layer: LayerSpec) -> RecurrentMixer:
    """The mixer that a layer's record describes; the norm on a delta rule's output has
    the eps of the layer's norm. Lightning attention has the slopes of a first layer
    until a stack gives it its place or a checkpoint brings its own.

    Raises:
        ValueError: the record is none of `RECURRENT`.

    >>> from course_lib.specs.records import NormSpec
    >>> norm = NormSpec(kind="rmsnorm", eps=1e-6)
    >>> layer = LayerSpec(mixer=ShortConvSpec(conv=3), ffn=None, norm=norm)
    >>> build_recurrent(8, layer).state_shapes
    {'inputs': (8, 3)}
    """
    spec, eps = layer.mixer, layer.norm.eps
    if isinstance(spec, GatedDeltaNetSpec):
        heads = spec.key_heads, spec.value_heads, spec.key_dim, spec.value_dim
        eps = eps if spec.norm_eps is None else spec.norm_eps
        options = {"strongest": spec.strongest, "norm_eps": eps}
        return GatedDeltaNet(width, *heads, conv=spec.conv, **options)
    if isinstance(spec, KimiDeltaSpec):
        ranks = {"decay_rank": spec.decay_rank, "gate_rank": spec.gate_rank}
        sizes = spec.heads, spec.head_dim
        return KimiDelta(width, *sizes, conv=spec.conv, norm_eps=eps, **ranks)
    if isinstance(spec, LightningSpec):
        return Lightning(width, spec.heads, spec.head_dim)
    if isinstance(spec, RGLRUSpec):
        plain = isinstance(layer.ffn, FFNSpec)  # Griffin's branch bends as its FFN does
        options = {"activation": layer.ffn.activation} if plain else {}
        return RGLRU(width, spec.width, spec.blocks, spec.conv, **options)
    if isinstance(spec, RWKVSpec):
        return RWKV(width, spec.width)
    if isinstance(spec, ShortConvSpec):
        return ShortConv(width, spec.conv, bias=spec.bias)
    if isinstance(spec, RNNSpec):
        return (GRU if spec.kind == "gru" else LSTM)(width, spec.width)
    raise ValueError(f"mixer={type(spec).__name__}: no layer with a state is known")


def build_recurrent_state(
    width: int, layer: LayerSpec, batch: int, **like
) -> RecurrentState:
    """The state that such a mixer keeps; `like` holds dtype and device."""
    with torch.device("meta"):
        mixer = build_recurrent(width, layer)
    return mixer.make_state(batch, **like)
