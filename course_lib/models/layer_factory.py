"""Layer factory: from a specification to norms, rotary positions, attention and
feed-forward networks.

A field of a spec that no layer implements is a ValueError that names it: nothing is
left out in silence.

Terms:
    layer factory: builds norm, attention and feed-forward network of a layer from its
        record -> build_mixer, build_ffn, build_norm
    weight initialisation, initial scale: the standard deviation of the weights before
        training -> initialise
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from course_lib.costs.mixers.indexer import token_elements
from course_lib.layers.attention.cross import CrossAttention
from course_lib.layers.attention.variants import is_variant
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Cache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.norms import LayerNorm, RMSNorm
from course_lib.layers.positions.bias import AlibiBias, RelativeBias
from course_lib.layers.recurrent.channel_mixing import ChannelMix
from course_lib.models.attention_factory import (
    build_attention,
    build_latent_attention,
    head_options,
    variant_options,
)
from course_lib.models.fan_in import fan_in
from course_lib.models.ffn_factory import NETWORKS, build_moe, build_network
from course_lib.models.fixed_factors import factors_of
from course_lib.models.parallel_mixers import ParallelMixers
from course_lib.models.recurrent_factory import (
    RECURRENT,
    build_recurrent,
    build_recurrent_state,
)
from course_lib.models.state_space_factory import build_state, build_state_space
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    JointSpec,
    LatentAttentionSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    NormSpec,
    SSMSpec,
)

OWN_START = ("a_log",)  # decay rates, which begin as their layer sets them
InitialScale = float | str | Callable[[str], float]


def initialise(
    model: nn.Module,
    std: InitialScale = "fan_in",
    *,
    generator: torch.Generator | None = None,
) -> None:
    """Draw every matrix and table anew, in the order of `model.named_parameters()`, and
    set the biases of matrices to zero. Gains and shifts of norms stay as they are, and
    so do the decay rates of state spaces.

    Args:
        model: whose parameters.
        std: "fan_in" (see `models.fan_in`); a number for all; or a function from a
            parameter's name to its standard deviation.
        generator: of the random numbers; torch's own when left out.

    Raises:
        ValueError: `std` is another word.

    >>> layer = nn.Linear(400, 100)
    >>> initialise(layer)
    >>> 0.049 < layer.weight.std().item() < 0.051  # 1 / sqrt(400)
    True
    """
    if isinstance(std, str) and std != "fan_in":
        raise ValueError(
            f"std={std!r}: allowed are a number, 'fan_in', or a function of the name"
        )
    scale = fan_in(model) if std == "fan_in" else std
    for name, matrix in model.named_parameters():
        if name.endswith("_bias"):  # of stacked experts
            nn.init.zeros_(matrix)
        elif matrix.ndim >= 2 and not name.endswith(OWN_START):
            own = scale(name) if callable(scale) else scale
            nn.init.normal_(matrix, std=own, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def build_norm(width: int, spec: NormSpec | None) -> nn.Module:
    """The norm that `spec` describes; where there is none, the
    identity. A ValueError for a kind that is not built."""
    if spec is None:
        return nn.Identity()
    if not spec.gain:
        raise ValueError("gain=False: supported is True")
    if spec.kind == "rmsnorm":
        return RMSNorm(width, spec.eps, offset=spec.offset)
    if spec.kind == "layernorm":
        return LayerNorm(width, spec.eps, bias=spec.bias)
    raise ValueError(f"kind={spec.kind!r}: supported are rmsnorm and layernorm")


def build_ffn(width: int, spec: FFNSpec | MoESpec | None) -> nn.Module:
    """The feed-forward part that `spec` describes; a ValueError for a kind that is not
    built. Channel mixing needs a layer whose mixer is RWKV's: see `Block`.
    """
    if isinstance(spec, FFNSpec) and spec.kind == "channel_mix":
        if spec.activation != "squared_relu" or spec.bias:
            raise ValueError(
                f"ffn=channel_mix with activation={spec.activation!r}, "
                f"bias={spec.bias}: supported are 'squared_relu' and False"
            )
        return ChannelMix(width, spec.width)
    if isinstance(spec, FFNSpec):
        return build_network(width, spec)
    if isinstance(spec, MoESpec):
        return build_moe(width, spec)
    raise ValueError(
        f"ffn={type(spec).__name__}: supported are FFNSpec ({', '.join(NETWORKS)}, "
        "channel_mix) and MoESpec"
    )


def build_mixer(
    width: int, layer: LayerSpec, position_bias: nn.Module | None = None
) -> nn.Module:
    """The part that mixes tokens; `position_bias` is one that its stack shares.

    Raises:
        ValueError: the mixer is neither attention, latent attention nor one of the
            layers with a state that are built, or has a part that is not built.
    """
    factors_of(layer.sides)  # refuses a side part that is not built
    if isinstance(layer.mixer, AttentionSpec):
        return build_attention(width, layer.mixer, layer.norm, position_bias)
    if isinstance(layer.mixer, LatentAttentionSpec):
        return build_latent_attention(width, layer.mixer)
    if isinstance(layer.mixer, SSMSpec):
        return build_state_space(width, layer.mixer, layer.norm)
    if isinstance(layer.mixer, RECURRENT):
        return build_recurrent(width, layer)
    if isinstance(layer.mixer, JointSpec):
        attention = replace(layer, mixer=layer.mixer.attention)
        state = replace(layer, mixer=layer.mixer.state)
        parts = build_mixer(width, attention, position_bias), build_mixer(width, state)
        return ParallelMixers(parts)
    raise _not_built(layer.mixer)


def _not_built(mixer: object) -> ValueError:
    states = ", ".join(kind.__name__ for kind in (SSMSpec, *RECURRENT, JointSpec))
    return ValueError(
        f"mixer={type(mixer).__name__}: supported are AttentionSpec, "
        f"LatentAttentionSpec, {states}"
    )


def build_cross(width: int, layer: LayerSpec) -> CrossAttention | None:
    """The part that attends to a source, if the layer has one."""
    if layer.cross is None:
        return None
    spec = layer.cross
    if spec.shared_kv:
        raise ValueError("shared_kv=True: supported in cross-attention is False")
    if is_variant(spec.qk_norm, **variant_options(spec)):
        raise ValueError(
            "cross: clip, temperature, chunks and norms behind RoPE are not built here"
        )
    return CrossAttention(
        width,
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
        **head_options(spec, layer.norm),
    )


def build_position_bias(spec: Mixer) -> nn.Module | None:
    """The bias on the scores that a layer owns: ALiBi's, T5's table, or none; a
    ValueError for a mixer that has no scores and is not built.
    """
    if isinstance(spec, (LatentAttentionSpec, SSMSpec, *RECURRENT)):
        return None
    if isinstance(spec, JointSpec):
        return build_position_bias(spec.attention)
    if not isinstance(spec, AttentionSpec):
        raise _not_built(spec)
    if spec.alibi:
        return AlibiBias(spec.heads)
    if not spec.relative_buckets:
        return None
    return RelativeBias(
        spec.heads,
        buckets=spec.relative_buckets,
        max_distance=spec.relative_max_distance,
        bidirectional=not spec.causal,
    )


def build_layer_cache(
    width: int, layer: LayerSpec, batch: int, capacity: int, **like
) -> Cache:
    """The cache that one layer of a model of `width` needs; `like` holds dtype and
    device.

    A layer with a window shorter than the capacity gets a ring of its window; the other
    attention layers hold every token, and a layer with a state its state.
    """
    spec = layer.mixer
    if isinstance(spec, SSMSpec):
        return build_state(spec, batch, **like)
    if isinstance(spec, RECURRENT):
        return build_recurrent_state(width, layer, batch, **like)
    if isinstance(spec, JointSpec):
        parts = (replace(layer, mixer=part) for part in (spec.attention, spec.state))
        sizes = batch, capacity
        return ModelCache([build_layer_cache(width, x, *sizes, **like) for x in parts])
    if isinstance(spec, LatentAttentionSpec):
        index = token_elements(spec.indexer)  # an index key lies behind the rotary one
        sizes = spec.kv_rank, spec.rope_dim + index
        return LatentCache(batch, capacity, *sizes, **like)
    if not isinstance(spec, AttentionSpec):
        raise _not_built(spec)
    sizes = spec.kv_heads, spec.head_dim, 0 if spec.shared_kv else spec.value_dim
    if spec.window is not None and spec.window < capacity:
        return RingCache(batch, spec.window, *sizes, **like)
    return ContiguousCache(batch, capacity, *sizes, **like)


def build_cache(
    width: int,
    layers: Sequence[LayerSpec],
    batch: int,
    capacity: int,
    like: torch.Tensor,
) -> ModelCache:
    """An empty cache for a stack of layers of `width`, in the dtype and on the device
    of `like`.

    Raises:
        ValueError: `batch` or `capacity` is below 1.
    """
    kind = {"dtype": like.dtype, "device": like.device}
    return ModelCache(
        [build_layer_cache(width, layer, batch, capacity, **kind) for layer in layers]
    )


def check_fields(spec: ModelSpec, supported: Mapping[str, object]) -> None:
    """Refuse a spec in which a field has another value than the one that a model
    supports: it would be left out in silence.
    """
    for name, want in supported.items():
        if (got := getattr(spec, name)) != want:
            raise ValueError(f"{name}={got!r}: supported is {want!r}")
