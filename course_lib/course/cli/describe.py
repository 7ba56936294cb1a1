"""Layers in words and in JSON: what mixes the tokens, what works on each, and how many
layers are alike.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

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
    MoESpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_word

NETWORKS = {"gru": "GRU", "lstm": "LSTM"}


def alike(
    layers: tuple[LayerSpec, ...], key: Callable[[LayerSpec], Hashable]
) -> dict[Any, list[int]]:
    """Indices of the layers that share a key, in the order in which the keys first
    appear.
    """
    found: dict[Any, list[int]] = defaultdict(list)
    for index, layer in enumerate(layers):
        found[key(layer)].append(index)
    return dict(found)


def mixer_kind(mixer: Mixer) -> str:
    """One word or two for the kind of a token mixer."""
    match mixer:
        case AttentionSpec(window=None, causal=causal):
            return "attention" if causal else "bidirectional attention"
        case AttentionSpec():
            return "windowed attention"
        case LatentAttentionSpec(indexer=indexer):
            return "latent attention" if indexer is None else "sparse latent attention"
        case SSMSpec(kind=kind):
            return of_word("kind", kind, {"mamba1": "Mamba", "mamba2": "Mamba-2"})
        case RWKVSpec():
            return "RWKV"
        case GatedDeltaNetSpec():
            return "gated DeltaNet"
        case KimiDeltaSpec():
            return "Kimi Delta Attention"
        case LightningSpec():
            return "lightning attention"
        case RGLRUSpec():
            return "RG-LRU"
        case ShortConvSpec():
            return "short convolution"
        case RNNSpec(kind=kind):
            return of_word("kind", kind, NETWORKS)
        case JointSpec(state=state):
            return f"attention beside {mixer_kind(state)}"
    raise ValueError(f"mixer={type(mixer).__name__}: no words are known for it")


def mixer_text(mixer: Mixer) -> str:
    """The sizes of a token mixer, in words."""
    match mixer:
        case AttentionSpec(heads=h, kv_heads=g, head_dim=k, value_dim=v, window=w):
            window = "" if w is None else f", window {w:,}"
            values = "" if v == k else f", values {v} wide"
            gate = ", output gate" if mixer.output_gate else ""
            shared = ", keys and values in one" if mixer.shared_kv else ""
            borrowed = ", keys and values of an earlier layer" * mixer.borrows_kv
            own = f"{h} heads, {g} KV heads, {k} wide{values}{window}"
            return f"{own}{gate}{shared}{borrowed}"
        case LatentAttentionSpec(heads=h, kv_rank=r, rope_dim=p):
            best = "" if mixer.indexer is None else f", best {mixer.indexer.top_k:,}"
            return f"{h} heads, latent {r} + rotary key {p}{best}"
        case SSMSpec(d_inner=inner, state=state):
            return f"{inner:,} channels, state {state}"
        case RWKVSpec(width=width):
            return f"{width:,} channels"
        case GatedDeltaNetSpec(key_heads=g, value_heads=h, key_dim=k, value_dim=v):
            return f"{h} value heads, {g} key heads, state {k} x {v} a head"
        case KimiDeltaSpec(heads=h, head_dim=k) | LightningSpec(heads=h, head_dim=k):
            return f"{h} heads, state {k} x {k} a head"
        case RGLRUSpec(width=width):
            return f"{width:,} channels"
        case ShortConvSpec(conv=conv):
            return f"over {conv} tokens"
        case RNNSpec(width=width):
            return f"a state of {width:,}"
        case JointSpec(attention=attention, state=state):
            return f"{mixer_text(attention)}; {mixer_text(state)}"
    raise ValueError(f"mixer={type(mixer).__name__}: no words are known for it")


def ffn_text(ffn: FFNSpec | MoESpec | None) -> str:
    """The sizes of a layer's per-token part, in words."""
    match ffn:
        case None:
            return "none"
        case FFNSpec(kind=kind, width=width, activation=activation):
            return f"{kind} {width:,}, {activation}"
        case MoESpec(experts=e, top_k=k, expert=expert, shared=shared):
            always = f", {shared} shared" if shared else ""
            return f"{k} of {e} experts{always}, {ffn_text(expert)}"
    raise ValueError(f"ffn={type(ffn).__name__}: no words are known for it")


def plain(value: Any) -> Any:
    """A record as JSON takes it: mappings of its fields, with the kind of record as
    `type`.
    """
    if is_dataclass(value):
        inner = {
            field.name: plain(getattr(value, field.name)) for field in fields(value)
        }
        return {"type": type(value).__name__, **inner}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value
