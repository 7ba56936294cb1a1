"""Softmax attention (MHA, GQA, MQA, sliding window), multi-head latent attention (MLA)
and RoPE, as records.

Symbols: h heads, g KV groups (`kv_heads`), k head width (`head_dim`), v value width, r
latent rank (`kv_rank`; DeepSeek's d_c). Widths in elements, windows in tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from course_lib.specs.frozen import Sized
from course_lib.specs.records.norm import NormSpec


@dataclass(frozen=True, kw_only=True)
class RopeSpec(Sized):
    """Rotary positions: the first `dim` of each head turn at base `theta`.

    `pairing` "rotate_half" turns (x_i, x_{i + dim/2}); "interleaved" turns (x_{2i},
    x_{2i+1}). `scaling` holds the options of a context extension, its `rope_type`
    ("linear", "llama3", "yarn", ...) among them. With "proportional", `dim` is the
    whole head and the option `partial_rotary_factor` the share of pairs that turn.
    """

    theta: float
    dim: int
    pairing: Literal["rotate_half", "interleaved"] = "rotate_half"
    scaling: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class AttentionSpec(Sized):
    """Softmax attention: g = h is MHA, g = 1 is MQA. Caches g (k + v) elements per
    token.

    `window` w: a query at t sees keys t-w+1 .. t; without `causal`, those at most w //
    2 away. `qk_norm`: over each head's k, or over all heads at once ("width"); "turned"
    is over each head's k behind RoPE (HunYuan), "length" the same with nothing learned
    (Llama 4). `clip`: queries, keys and values are kept within +- clip (DBRX). `scale`
    None means k ** -0.5. `alibi`: scores fall with the distance. `relative_buckets`:
    rows of a learned bias table which this layer owns (T5 keeps one a stack, in its
    first layer, and the others read it); distances from `relative_max_distance` on
    share a row. `output_gate`: each head's output is multiplied by sigmoid(W x) before
    the output projection (Qwen3-Next). `shared_kv`: one projection makes keys and
    values, and g k elements a token are cached (Gemma 4's K = V). `kept_apart`: both
    are cached all the same, since keys alone are turned. `borrows_kv`: keys and values
    are those of an earlier layer, which alone projects and caches them
    (Gemma 3n). `chunked`: the window is a chunk, whose tokens see no earlier one (Llama
    4). `temperature` (n, a): queries are multiplied by 1 + a ln(1 + floor((t + 1) / n))
    (Llama 4's layers without RoPE).
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None = None
    bias_qkv: bool = False
    bias_out: bool = False
    qk_norm: Literal["none", "head", "width", "turned", "length"] = "none"
    rope: RopeSpec | None = None
    softcap: float | None = None
    scale: float | None = None
    sinks: bool = False
    causal: bool = True
    alibi: bool = False
    relative_buckets: int = 0
    relative_max_distance: int = 128
    output_gate: bool = False
    shared_kv: bool = False
    kept_apart: bool = False
    borrows_kv: bool = False
    chunked: bool = False
    clip: float | None = None
    temperature: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = self.heads, self.kv_heads
        if all(isinstance(n, int) for n in counts) and self.heads % self.kv_heads:
            raise ValueError(
                f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}"
            )
        if self.chunked and (self.window is None or not self.causal):
            raise ValueError("chunked=True: a causal window is wanted with it")
        if self.kept_apart and not self.shared_kv:
            raise ValueError("kept_apart=True: shared_kv=True is wanted with it")
        if self.shared_kv and self.value_dim != self.head_dim:
            raise ValueError(
                f"value_dim={self.value_dim} with shared_kv: allowed is "
                f"head_dim={self.head_dim}"
            )
        if self.shared_kv and self.qk_norm == "width":
            raise ValueError("qk_norm='width' with shared_kv: allowed are none, head")


@dataclass(frozen=True, kw_only=True)
class IndexerSpec(Sized):
    """DeepSeek's sparse attention (DSA): small heads score every key, and a query
    attends to the `top_k` best.

    One index key of `head_dim` a token is cached, for all index heads. `own` False: the
    layer takes the pick of an earlier one and has no index of its own. `pairing`: which
    coordinates of the index turn together, as in `RopeSpec`.

    Source: DeepSeek-AI 2025, DeepSeek-V3.2, arXiv 2512.02556.
    """

    heads: int
    head_dim: int
    top_k: int
    own: bool = True
    pairing: Literal["rotate_half", "interleaved"] = "rotate_half"


@dataclass(frozen=True, kw_only=True)
class LatentAttentionSpec(Sized):
    """Multi-head latent attention: caches kv_rank + rope_dim elements per token, for
    all heads together.

    Each head's query and key are [nope_dim without position, rope_dim with]; the rotary
    key is shared by the heads. `q_rank` None: queries are projected straight from the
    width. `norm` stands on the latents. `indexer`: which keys a query attends to.
    """

    heads: int
    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    rope: RopeSpec | None
    norm: NormSpec
    scale: float | None = None
    bias: bool = False
    indexer: IndexerSpec | None = None
