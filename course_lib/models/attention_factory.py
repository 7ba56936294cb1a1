"""From a record of attention to the layer: grouped, with keys and values in one, with
what single families add, or latent.

A field that no layer implements is a ValueError that names it.

Terms:
    attention from a record: which class of attention a specification asks for ->
        build_attention
"""

from dataclasses import replace

from torch import nn

from course_lib.layers.attention.indexer import IndexedLatentAttention, Indexer
from course_lib.layers.attention.latent import LatentAttention
from course_lib.layers.attention.layer import Attention
from course_lib.layers.attention.shared_kv import SharedKVAttention
from course_lib.layers.attention.variants import VariantAttention, is_variant
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, MaskMod, local_window
from course_lib.layers.positions.rope import Rope
from course_lib.specs.records import (
    AttentionSpec,
    LatentAttentionSpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import GROWTH, ORIGINAL


def build_rope(spec: RopeSpec | None) -> Rope | None:
    """The rotary positions that `spec` describes; a ValueError for a scaling that is
    not supported.
    """
    if spec is None:
        return None
    scaling, growth = dict(spec.scaling or {}), None
    if beta := scaling.pop(GROWTH, None):
        growth = (beta, scaling[ORIGINAL])
    options = {"scaling": scaling or None, "growth": growth}
    return Rope(dim=spec.dim, theta=spec.theta, pairing=spec.pairing, **options)


def mask_mod_of(spec: AttentionSpec) -> MaskMod:
    """Which query attends to which key in such a layer, its causal window aside; a
    ValueError for another mixer.

    >>> widths = {"heads": 1, "kv_heads": 1, "head_dim": 2, "value_dim": 2}
    >>> mask_mod_of(AttentionSpec(**widths, causal=False)) is BIDIRECTIONAL
    True
    """
    if not isinstance(spec, AttentionSpec):
        raise ValueError(f"mixer={type(spec).__name__}: no mask is known")
    if spec.causal:
        return CAUSAL
    return BIDIRECTIONAL if spec.window is None else local_window(spec.window // 2)


def build_attention(
    width: int, spec: AttentionSpec, norm: NormSpec, position_bias: nn.Module | None
) -> Attention:
    """The attention that `spec` describes; its norms have the eps and offset of `norm`.

    Raises:
        ValueError: a field of the spec is not built.
    """
    for field in ("borrows_kv", "kept_apart"):
        if getattr(spec, field):
            raise ValueError(f"{field}=True: supported is False")
    options, own = head_options(spec, norm), variant_options(spec)
    kind = SharedKVAttention if spec.shared_kv else Attention
    if is_variant(spec.qk_norm, **own):
        if spec.shared_kv:
            raise ValueError("shared_kv=True: not built with clip, temperature, chunks")
        kind, options = VariantAttention, options | own
    return kind(
        width,
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
        mask_mod=mask_mod_of(spec),
        window=spec.window if spec.causal else None,
        rope=build_rope(spec.rope),
        position_bias=position_bias,
        **options,
    )


def variant_options(spec: AttentionSpec) -> dict:
    """The options that `VariantAttention` alone has."""
    return {
        "clip": spec.clip,
        "temperature": spec.temperature,
        "chunked": spec.chunked,
    }


def head_options(spec: AttentionSpec, norm: NormSpec) -> dict:
    """The options that self-attention and cross-attention share."""
    return {
        "value_dim": spec.value_dim,
        "bias_qkv": spec.bias_qkv,
        "bias_out": spec.bias_out,
        "qk_norm": spec.qk_norm,
        "norm_eps": norm.eps,
        "norm_offset": norm.offset,
        "softcap": spec.softcap,
        "scale": spec.scale,
        "sinks": spec.sinks,
        "output_gate": spec.output_gate,
    }


def build_latent_attention(width: int, spec: LatentAttentionSpec) -> LatentAttention:
    """The latent attention that `spec` describes, whose rotary part turns where there
    is RoPE, with an indexer where there is one.
    """
    kind, own = LatentAttention, {}
    if spec.indexer is not None:
        kind, own = IndexedLatentAttention, {"indexer": build_indexer(width, spec)}
    return kind(
        width,
        spec.heads,
        kv_rank=spec.kv_rank,
        nope_dim=spec.nope_dim,
        rope_dim=spec.rope_dim,
        value_dim=spec.value_dim,
        q_rank=spec.q_rank,
        rope=build_rope(spec.rope),
        turns=spec.rope is not None,
        scale=spec.scale,
        bias=spec.bias,
        norm_eps=spec.norm.eps,
        **own,
    )


def build_indexer(width: int, spec: LatentAttentionSpec) -> Indexer | None:
    """The heads that pick the keys; None where an earlier layer's pick is taken.

    Raises:
        ValueError: the layer has no RoPE or no queries' latent.
    """
    index = spec.indexer
    if spec.rope is None or spec.q_rank is None:
        raise ValueError(f"indexer={index!r}: wanted with it are rope and q_rank")
    if not index.own:
        return None
    return Indexer(
        width,
        spec.q_rank,
        heads=index.heads,
        head_dim=index.head_dim,
        top_k=index.top_k,
        rope=build_rope(replace(spec.rope, pairing=index.pairing)),
    )
