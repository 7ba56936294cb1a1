"""A published model with symbols in the place of its numbers.

`symbolic(spec)` gives a model of the same structure: the same kinds of layers, each
once with the number of such layers as a symbol, and every size a symbol. A cost
function that is called with it gives the formula of all models of that structure.
`filled.filled` puts numbers back. What no cost reads (rotations, scales, caps) is left
out.

Equal numbers in the same place share a symbol: a window of 4,096 in all windowed layers
is one input. A value head that is as wide as a key head is written d_k.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import sympy

from course_lib.costs.stack import unique_layers
from course_lib.course.calculators.inputs import Input, count_of_layers, find_input
from course_lib.course.calculators.symbolic_states import state_symbols
from course_lib.specs.loader import load_spec
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
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
    NormSpec,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
    window_of,
)
from course_lib.specs.unions import of_record

# The kinds of a layer's parts: a tag for the letter, and words for the label.
MIXERS = {
    "attn": "full attention",
    "win": "windowed attention",
    "attnkv": "full attention on borrowed keys",
    "winkv": "windowed attention on borrowed keys",
    "mla": "latent attention",
    "ssm": "a state space",
    "rwkv": "time mixing",
    "delta": "gated DeltaNet",
    "kda": "Kimi Delta Attention",
    "lightning": "lightning attention",
    "lru": "RG-LRU",
    "shortconv": "a short convolution",
    "rnn": "a gated recurrent network",
    "joint": "attention beside a state space",
}
BORROWING = {"attnkv", "winkv"}
FFNS = {"dense": "a dense FFN", "moe": "experts", "none": "no FFN"}


@dataclass(frozen=True, eq=False)  # one is itself: what is made of it is kept
class SymbolicModel:
    """A model's structure: `spec` with symbols, its `inputs`, and the model's own
    numbers (`values`); `split` is what several devices split of it.
    """

    spec: ModelSpec
    inputs: tuple[Input, ...]
    values: Mapping[str, int]
    split: str = "heads"


class _Namer:
    """Hands out symbols: one for each name and value, a numbered one where the value
    differs.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, Input] = {}
        self.values: dict[str, int] = {}

    def __call__(self, name: str, value: int | None) -> sympy.Symbol | None:
        if value is None:
            return None
        number, found = 1, name
        while self.values.get(found, value) != value:
            number += 1
            found = f"{name}_{number}"
        return self.enter(find_input(found), value)

    def enter(self, entry: Input, value: int) -> sympy.Symbol:
        self.inputs[entry.name], self.values[entry.name] = entry, value
        return entry.symbol


@cache
def symbolic_model(name: str, split: str = "heads") -> SymbolicModel:
    """Return the structure of a published model by the model's name, to be served by
    devices which split that.
    """
    return replace(symbolic(load_spec(name)), split=split)


def symbolic(spec: ModelSpec) -> SymbolicModel:
    """Return a decoder's structure, with a symbol for every number that a cost depends
    on.

    Args: `spec` of a language model that is one stack of layers.
    Returns: the structure, its inputs and the model's values for them.
    Raises: ValueError if the model has an encoder, an image tower or no language head.

    >>> model = symbolic(load_spec("llama-3-8b"))
    >>> model.values["kv_heads"], model.spec.layers[next(iter(model.spec.layers))]
    (8, layers)
    """
    if (
        spec.encoder
        or spec.vision is not None
        or spec.patches is not None
        or spec.head != "lm"
    ):
        raise ValueError(
            f"spec={spec.name!r}: a language model that is "
            "one stack of layers is allowed"
        )
    namer = _Namer()
    width = namer("width", spec.width)
    kinds: dict[LayerSpec, int] = {}
    for layer, count in unique_layers(spec.layers):
        kind = _layer(namer, layer, spec.width, width)
        kinds[kind] = kinds.get(kind, 0) + count
    layers = {
        kind: namer.enter(_count_input(kind, kinds), count)
        for kind, count in kinds.items()
    }
    named = replace(
        spec,
        name="symbols",
        family="symbols",
        width=width,
        vocab=namer("vocab", spec.vocab),
        layers=MappingProxyType(layers),
        embeddings=_embeddings(namer, spec.embeddings),
        context=None,
        logit_softcap=None,
    )
    return SymbolicModel(
        named, tuple(namer.inputs.values()), MappingProxyType(namer.values)
    )


def _layer(
    namer: _Namer, layer: LayerSpec, width: int, symbol: sympy.Symbol
) -> LayerSpec:
    if layer.cross is not None:
        raise ValueError(f"layer={layer!r}: a layer without cross attention is allowed")
    mixer = _mixer(namer, layer.mixer, width, symbol)
    return replace(
        layer, mixer=mixer, ffn=_ffn(namer, layer.ffn), norm=_norm(layer.norm)
    )


def _norm(norm: NormSpec) -> NormSpec:
    return replace(norm, eps=0.0, offset=0.0)


def _mixer(namer: _Namer, mixer: Mixer, width: int, symbol: sympy.Symbol) -> Mixer:
    match mixer:
        case AttentionSpec(heads=h, kv_heads=g, head_dim=k, value_dim=v, window=w):
            head_dim = namer("head_dim", k)
            return replace(
                mixer,
                heads=namer("heads", h),
                kv_heads=namer("kv_heads", g),
                head_dim=head_dim,
                value_dim=head_dim if v == k else namer("value_dim", v),
                window=namer("window", w),
                rope=None,
                scale=None,
                softcap=None,
            )
        case LatentAttentionSpec():
            same = {"q_rank", "kv_rank", "nope_dim", "rope_dim", "value_dim", "heads"}
            symbols = {name: namer(name, getattr(mixer, name)) for name in sorted(same)}
            indexer = mixer.indexer and replace(
                mixer.indexer,
                heads=namer("index_heads", mixer.indexer.heads),
                head_dim=namer("index_dim", mixer.indexer.head_dim),
                top_k=namer("index_top_k", mixer.indexer.top_k),
            )
            plain = {"norm": _norm(mixer.norm), "scale": None, "rope": None}
            return replace(mixer, **symbols, **plain, indexer=indexer)
        case JointSpec(attention=attention, state=state):
            return replace(
                mixer,
                attention=_mixer(namer, attention, width, symbol),
                state=_mixer(namer, state, width, symbol),
            )
    return state_symbols(namer, mixer, width, symbol)


def _ffn(namer: _Namer, ffn: FFNSpec | MoESpec | None) -> FFNSpec | MoESpec | None:
    match ffn:
        case None:
            return None
        case FFNSpec(width=width):
            return replace(ffn, width=namer("ffn_width", width), activation="any")
        case MoESpec(expert=expert):
            return replace(
                ffn,
                experts=namer("experts", ffn.experts),
                top_k=namer("top_k", ffn.top_k),
                expert=replace(
                    expert, width=namer("expert_width", expert.width), activation="any"
                ),
                shared_width=namer("shared_width", ffn.shared_width or None) or 0,
                groups=1,
                top_groups=1,
                latent=namer("expert_latent", ffn.latent or None) or 0,
            )
    raise ValueError(f"ffn={type(ffn).__name__}: no symbols are known for it")


def _embeddings(namer: _Namer, embeddings: EmbeddingSpec) -> EmbeddingSpec:
    rows = namer("learned_positions", embeddings.learned_positions or None) or 0
    return replace(embeddings, learned_positions=rows, scale=1.0)


MIXER_TAGS = {
    LatentAttentionSpec: "mla",
    SSMSpec: "ssm",
    RWKVSpec: "rwkv",
    GatedDeltaNetSpec: "delta",
    KimiDeltaSpec: "kda",
    LightningSpec: "lightning",
    RGLRUSpec: "lru",
    ShortConvSpec: "shortconv",
    RNNSpec: "rnn",
    JointSpec: "joint",
}
FFN_TAGS = {type(None): "none", FFNSpec: "dense", MoESpec: "moe"}


def _tags(layer: LayerSpec) -> tuple[str, str]:
    window = window_of(layer.mixer)
    name = "attn" if window is None else "win"
    if isinstance(layer.mixer, AttentionSpec) and layer.mixer.borrows_kv:
        name += "kv"
    attention = {AttentionSpec: name}
    return (
        of_record("mixer", layer.mixer, attention | MIXER_TAGS),
        of_record("ffn", layer.ffn, FFN_TAGS),
    )


def _count_input(kind: LayerSpec, kinds: Mapping[LayerSpec, int]) -> Input:
    """Return the input for a kind's number of layers, named by what tells it from the
    other kinds.
    """
    if len(kinds) == 1:
        return find_input("layers")
    differs = [len({_tags(other)[part] for other in kinds}) > 1 for part in range(2)]
    tags = _tags(kind)
    words = MIXERS[tags[0]], FFNS[tags[1]]
    tag = "_".join(tag for tag, kept in zip(tags, differs, strict=True) if kept)
    return count_of_layers(
        tag, ", ".join(word for word, kept in zip(words, differs, strict=True) if kept)
    )
