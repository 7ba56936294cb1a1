"""Bytes of a file's weights, part by part, as its `quantization_config` stores them.

What a quantisation converts are matrices inside the layers, and the head where it says
so. Norms, biases, convolutions, routers, the token embedding and what the file lists
stay in 16 bits.

Terms:
    stored weights, checkpoint size: bytes of all weights in the precisions that a file
        names -> stored_weights
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from course_lib.costs.ends import head_weights
from course_lib.costs.feed_forward import dense
from course_lib.costs.feed_forward.moe import shared_network
from course_lib.costs.mixers import kimi_delta, short_conv
from course_lib.costs.mixers.attention import key_value_weights
from course_lib.costs.mixers.dispatch import mixer_part, mixer_weights
from course_lib.costs.mixers.latent import down_weights, up_weights
from course_lib.costs.params import param_count
from course_lib.specs.quantisation import converts
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    JointSpec,
    KimiDeltaSpec,
    LatentAttentionSpec,
    LayerSpec,
    LightningSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    Quantisation,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_record

WIDE = 16
"""Bits of what is not quantised."""


def stored_weights(
    spec: ModelSpec, quantisation: Quantisation | None
) -> dict[str, int]:
    """Bytes of the weights by the parts of `param_count`.

    Raises: ValueError naming a record whose modules are not known.

    >>> from course_lib.specs.loader import load_spec
    >>> from course_lib.specs.records import Quantisation
    >>> mxfp4 = Quantisation(method="mxfp4", bits=4.25, experts_only=True)
    >>> sum(stored_weights(load_spec("gpt-oss-120b"), mxfp4).values())
    65248815744
    """
    by_part = param_count(spec).by_part
    bits = {part: WIDE * count for part, count in by_part.items()}
    for part, count in converted(spec, quantisation).items():
        bits[part] -= count * (WIDE - quantisation.bits)
    return {part: round(number / 8) for part, number in bits.items()}


def bits_per_weight(spec: ModelSpec) -> float:
    """Bits of a weight on average, as the model's own file stores it; 16 where it names
    no quantisation.

    >>> from course_lib.specs.loader import load_spec
    >>> bits_per_weight(load_spec("llama-3-8b"))
    16.0
    """
    stored = sum(stored_weights(spec, spec.quantisation).values())
    return 8 * stored / param_count(spec).total


def fewest_bits(spec: ModelSpec) -> float:
    """Bits of the narrowest weights of the model's own file, in which a device may
    multiply them: an average with a wide embedding in it would miss that.

    >>> from course_lib.specs.loader import load_spec
    >>> fewest_bits(load_spec("gpt-oss-20b")), fewest_bits(load_spec("llama-3-8b"))
    (4.25, 16)
    """
    own = spec.quantisation
    return own.bits if converted(spec, own) else WIDE


def converted(spec: ModelSpec, quantisation: Quantisation | None) -> Counter[str]:
    """Matrix weights that the quantisation converts, by part."""
    found: Counter[str] = Counter()
    if quantisation is None or quantisation.bits is None:
        return found
    for stack in (spec.layers, spec.encoder):
        for index, layer in enumerate(stack):
            for part, module, count in modules(layer, spec.width):
                if converts(quantisation, f"model.layers.{index}.{module}"):
                    found[part] += count
    own_head = quantisation.head and "head" in param_count(spec).by_part
    if own_head and converts(quantisation, "lm_head"):
        found["head"] += head_weights(spec)
    return found


def modules(layer: LayerSpec, width: int) -> Iterator[tuple[str, str, int]]:
    """Matrices of a layer that a quantisation may convert: part, module, weights."""
    part = mixer_part(layer.mixer)
    for module, count in _mixer_modules(layer.mixer, width).items():
        yield part, module, count
    if layer.cross is not None:
        for module, count in _mixer_modules(layer.cross, width).items():
            cross = module.replace("self_attn", "cross_attn")
            yield "cross_attention", cross, count
    if isinstance(layer.ffn, MoESpec):
        one = _network("mlp.experts.0", layer.ffn.expert, width)
        for module, count in one.items():
            yield "experts", module, layer.ffn.experts * count
        if layer.ffn.shared:
            shared = _network("mlp.shared_experts", shared_network(layer.ffn), width)
            for module, count in shared.items():
                yield "shared_experts", module, count
    elif layer.ffn is not None:
        for module, count in _network("mlp", layer.ffn, width).items():
            yield "ffn", module, count


def _network(name: str, ffn: FFNSpec, width: int) -> Mapping[str, int]:
    matrices = ("gate_proj", "up_proj", "down_proj")[-dense.MATRICES[ffn.kind] :]
    each = width * ffn.width
    found = {f"{name}.{matrix}": each for matrix in matrices}
    left = dense.weights(ffn, width) - each * len(matrices)
    return found | ({f"{name}.receptance": left} if left else {})


def _mixer_modules(mixer: Mixer, width: int) -> Mapping[str, int]:
    kinds = {
        AttentionSpec: _attention,
        LatentAttentionSpec: _latent,
        SSMSpec: _state_space,
        RWKVSpec: _rwkv,
        GatedDeltaNetSpec: _delta,
        KimiDeltaSpec: _kimi_delta,
        LightningSpec: _lightning,
        RGLRUSpec: _rg_lru,
        ShortConvSpec: _short_conv,
        RNNSpec: _rnn,
        JointSpec: _joint,
    }
    return of_record("mixer", mixer, kinds)(mixer, width)


def _attention(mixer: AttentionSpec, width: int) -> Mapping[str, int]:
    one = mixer.shared_kv or mixer.borrows_kv
    values = 0 if one else mixer.kv_heads * mixer.value_dim
    gate = mixer.heads * mixer.value_dim if mixer.output_gate else 0
    return {
        "self_attn.q_proj": width * (mixer.heads * mixer.head_dim + gate),
        "self_attn.k_proj": key_value_weights(mixer, width) - width * values,
        "self_attn.v_proj": width * values,
        "self_attn.o_proj": width * mixer.heads * mixer.value_dim,
    }


def _latent(mixer: LatentAttentionSpec, width: int) -> Mapping[str, int]:
    down, up = down_weights(mixer, width), up_weights(mixer)
    out = mixer.heads * mixer.value_dim * width
    queries = mixer_weights(mixer, width) - down - up - out
    return {
        "self_attn.q_b_proj": queries,
        "self_attn.kv_a_proj_with_mqa": down,
        "self_attn.kv_b_proj": up,
        "self_attn.o_proj": out,
    }


def _state_space(mixer: SSMSpec, width: int) -> Mapping[str, int]:
    groups = mixer.groups or 0
    channels = mixer.d_inner + 2 * groups * mixer.state
    convolution = mixer.conv * (mixer.d_inner if mixer.kind == "mamba1" else channels)
    return {"mamba.in_proj": mixer_weights(mixer, width) - convolution}


def _rwkv(mixer: RWKVSpec, width: int) -> Mapping[str, int]:
    return {"attention.key": mixer_weights(mixer, width)}


def _delta(mixer: GatedDeltaNetSpec, width: int) -> Mapping[str, int]:
    channels = 2 * mixer.key_heads * mixer.key_dim + mixer.value_heads * mixer.value_dim
    convolution = mixer.conv * channels
    return {"linear_attn.in_proj_qkvz": mixer_weights(mixer, width) - convolution}


def _kimi_delta(mixer: KimiDeltaSpec, width: int) -> Mapping[str, int]:
    convolution = mixer.conv * kimi_delta.conv_channels(mixer)
    return {"self_attn.q_proj": mixer_weights(mixer, width) - convolution}


def _lightning(mixer: LightningSpec, width: int) -> Mapping[str, int]:
    return {"self_attn.qkv_proj": mixer_weights(mixer, width)}


def _rg_lru(mixer: RGLRUSpec, width: int) -> Mapping[str, int]:
    return {"temporal_block.linear_x": 3 * width * mixer.width}


def _short_conv(mixer: ShortConvSpec, width: int) -> Mapping[str, int]:
    convolution = mixer.conv * short_conv.conv_channels(mixer, width)
    return {"conv.in_proj": mixer_weights(mixer, width) - convolution}


def _rnn(mixer: RNNSpec, width: int) -> Mapping[str, int]:
    return {"rnn.weight_ih": mixer_weights(mixer, width)}


def _joint(mixer: JointSpec, width: int) -> Mapping[str, int]:
    return {**_attention(mixer.attention, width), **_state_space(mixer.state, width)}
