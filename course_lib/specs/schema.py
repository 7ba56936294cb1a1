"""What a model is, as far as its costs and its parts go: frozen records, one per kind of part.

A `ModelSpec` is a stack of `LayerSpec`s between an embedding and a head. A layer mixes tokens (attention,
latent attention, a state space, RWKV), may read an encoder (`cross`), then works on each token by itself.

Symbols: d model width, h heads, g KV groups (`kv_heads`), k head width (`head_dim`), v value width, f FFN
width, e experts, n state, r latent rank (`kv_rank`; DeepSeek's d_c). Widths in elements, contexts in tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from course_lib.specs.frozen import Sized
from course_lib.specs.provenance import NOTHING_PUBLISHED, Published, Source


@dataclass(frozen=True, kw_only=True)
class NormSpec:
    """A normalisation. `offset` 1.0 is Gemma's gain (1 + w); `bias` is LayerNorm's shift."""

    kind: Literal["rmsnorm", "layernorm"]
    eps: float
    bias: bool = False
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RopeSpec(Sized):
    """Rotary positions: the first `dim` of each head turn at base `theta`.

    `pairing` "half" turns (x_i, x_{i + dim/2}); "interleaved" turns (x_{2i}, x_{2i+1}). `scaling` holds the
    options of a context extension, its `rope_type` ("linear", "llama3", "yarn", ...) among them.
    """

    theta: float
    dim: int
    pairing: Literal["half", "interleaved"] = "half"
    scaling: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionSpec(Sized):
    """Softmax attention: g = h is MHA, g = 1 is MQA. Caches g (k + v) elements per token.

    `window` w: a query at t sees keys t-w+1 .. t; without `causal`, those at most w // 2 away. `qk_norm`:
    over each head's k, or over all heads at once ("width"). `scale` None means k ** -0.5. `alibi`: scores
    fall with the distance. `relative_buckets`: rows of a learned bias table which this layer owns (T5 keeps
    one a stack, in its first layer, and the others read it); distances from `relative_max_distance` on share
    a row.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None = None
    bias_qkv: bool = False
    bias_out: bool = False
    qk_norm: Literal["none", "head", "width"] = "none"
    rope: RopeSpec | None = None
    softcap: float | None = None
    scale: float | None = None
    sinks: bool = False
    causal: bool = True
    alibi: bool = False
    relative_buckets: int = 0
    relative_max_distance: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = self.heads, self.kv_heads
        if all(isinstance(n, int) for n in counts) and self.heads % self.kv_heads:
            raise ValueError(f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}")


@dataclass(frozen=True, kw_only=True)
class LatentAttentionSpec(Sized):
    """Multi-head latent attention: caches kv_rank + rope_dim elements per token, for all heads together.

    Each head's query and key are [nope_dim without position, rope_dim with]; the rotary key is shared by the
    heads. `q_rank` None: queries are projected straight from the width. `norm` stands on the latents.
    """

    heads: int
    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    rope: RopeSpec
    norm: NormSpec
    scale: float | None = None
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class SSMSpec(Sized):
    """A selective state space: Mamba ("mamba1", uses `dt_rank`) or Mamba-2 ("mamba2", uses heads and groups).

    `inner` is the expanded width; its state holds inner * state elements and the convolution's last inputs.
    `inner_norm`: Jamba's norms on dt, B and C.
    """

    kind: Literal["mamba1", "mamba2"]
    inner: int
    state: int
    conv: int
    dt_rank: int | None = None
    heads: int | None = None
    head_dim: int | None = None
    groups: int | None = None
    bias: bool = False
    conv_bias: bool = True
    inner_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class RWKVSpec(Sized):
    """RWKV-4 time mixing at the given inner width: a per-channel decay, with no heads."""

    width: int


@dataclass(frozen=True, kw_only=True)
class FFNSpec(Sized):
    """Per-token network: "mlp" W2 a(W1 x), "glu" W2 (a(Wg x) * W1 x), or RWKV's "channel_mix"."""

    kind: Literal["mlp", "glu", "channel_mix"]
    activation: str
    width: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class MoESpec(Sized):
    """A router picks `top_k` of `experts` for each token; `shared` experts serve every token.

    The shared experts run as one FFN of `shared_width` (their widths summed), gated by a learned scalar where
    `shared_gate`. `groups` and `top_groups` limit the pick to the best groups. `selection_bias`: a balancing
    bias which changes the pick but not the weights (a buffer, not a parameter).
    """

    experts: int
    top_k: int
    expert: FFNSpec
    shared: int = 0
    shared_width: int = 0
    shared_gate: bool = False
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    renormalise: bool = True
    scale: float = 1.0
    groups: int = 1
    top_groups: int = 1
    router_bias: bool = False
    selection_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = self.top_k, self.experts
        if all(isinstance(n, int) for n in counts) and self.top_k > self.experts:
            raise ValueError(f"top_k={self.top_k} is more than experts={self.experts}")


Mixer = AttentionSpec | LatentAttentionSpec | SSMSpec | RWKVSpec


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One block. Norms: "pre" and "post" one a sublayer, "sandwich" two.

    "parallel": all parts read one norm, and their outputs are added together; "parallel_two": each its own.
    `mixer_norm` False: the mixer reads the stream as it is (ModernBERT's first layer).
    """

    mixer: Mixer
    norm: NormSpec
    ffn: FFNSpec | MoESpec | None = None
    cross: AttentionSpec | None = None
    norm_layout: Literal["pre", "post", "sandwich", "parallel", "parallel_two"] = "pre"
    mixer_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpec(Sized):
    """The way in. In an encoder-decoder each stack has its own positions and `norm`, and one word table.

    `tied`: the head is the word table. `learned_positions` counts rows, `position_offset` the first of them
    that no position reads. `sinusoidal`: the layout of positions that are not learned. `scale` multiplies the
    words. `head_shift`: a number a word is added to the logits that is no parameter (BART, Marian).
    """

    tied: bool = False
    learned_positions: int = 0
    position_offset: int = 0
    sinusoidal: Literal["interleaved", "halves"] | None = None
    token_types: int = 0
    norm: NormSpec | None = None
    scale: float = 1.0
    head_bias: bool = False
    head_shift: bool = False


@dataclass(frozen=True, kw_only=True)
class TransformSpec(Sized):
    """What a masked model does to a vector before it scores the words: norm(activation(W x))."""

    activation: str
    norm: NormSpec
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class PatchSpec(Sized):
    """An image cut into (image / patch)^2 squares, each mapped to the width, and a learned class token."""

    image: int
    patch: int
    channels: int = 3
    bias: bool = True
    class_token: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Sized):
    """A whole model: `layers` is its stack, or its decoder where `encoder` is filled.

    `head` says what follows the last layer: "lm" logits over the vocabulary, "mlm" the same behind a
    `transform`, "pooler" a tanh layer on the first token, "classifier" and "projection" a map to `outputs`,
    or "none". `logit_scale` multiplies the logits. A two-tower model (CLIP) has its image tower in `vision`.
    """

    name: str
    family: str
    width: int
    vocab: int = 0
    layers: tuple[LayerSpec, ...]
    encoder: tuple[LayerSpec, ...] = ()
    embeddings: EmbeddingSpec = EmbeddingSpec()
    final_norm: NormSpec | None = None
    head: Literal["lm", "mlm", "pooler", "classifier", "projection", "none"] = "lm"
    transform: TransformSpec | None = None
    outputs: int = 0
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    context: int | None = None
    patches: PatchSpec | None = None
    vision: "ModelSpec | None" = None
    published: Published = NOTHING_PUBLISHED
    sources: tuple[Source, ...] = ()
