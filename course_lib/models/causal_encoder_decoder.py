"""Causal encoder-decoder (decoder-decoder, YOCO): the upper half of a causal stack
attends to one set of keys and values, made once from the output of the lower half.

Symbols: b batch, t new tokens, s tokens so far, d model width, L layers, g KV groups, k
key width. YOCO calls the halves self-decoder and cross-decoder, and projects one set of
keys and values for all of the upper half; DeepSeek-V4.1 calls the halves causal encoder
and decoder, and projects those of each upper layer from H_(L/2), the vectors that leave
the lower half.

An upper layer makes nothing that another token attends to. So the tokens of a prompt
pass the lower half, the last of them the upper half as well, and the logits after it
are the same. The cache holds the lower layers' keys and values, and one set for the
whole upper half.

Terms:
    causal encoder-decoder, decoder-decoder, YOCO: a causal stack whose upper half
        attends to keys and values made once, at half depth -> CausalEncoderDecoder
    shared KV, keys from half the depth: one set of keys and values, projected from the
        lower half's output, for all upper layers -> SharedKV, SharedKVBlock
    prefill early exit, encoder-only prefill: prompt tokens skip the upper half, which
        leaves nothing for later tokens -> CausalEncoderDecoder.forward
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend
from course_lib.layers.caches.contract import Entries, LayerCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.masks import CAUSAL
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.rope import apply_rope
from course_lib.models.attention_factory import build_rope
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    build_cache,
    build_ffn,
    build_norm,
    check_fields,
    initialise,
)
from course_lib.specs.records import AttentionSpec, LayerSpec, ModelSpec


class SharedKV(nn.Module):
    """Keys and values of all upper layers, from the vectors that leave the lower half.

    *Equation*: K = rope(norm(x) W_K), V = norm(x) W_V.
    """

    def __init__(self, width: int, layer: LayerSpec) -> None:
        super().__init__()
        mixer = layer.mixer
        self.key_width, self.value_width = mixer.head_dim, mixer.value_dim
        self.norm, self.rope = build_norm(width, layer.norm), build_rope(mixer.rope)
        self.wk = nn.Linear(width, mixer.kv_heads * mixer.head_dim, bias=False)
        self.wv = nn.Linear(width, mixer.kv_heads * mixer.value_dim, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: LayerCache | None = None,
    ) -> Entries:
        """Keys [b s g k], values [b s g v] and positions [b s] of all tokens so far."""
        x = self.norm(x)
        keys = _turned(self.wk(x).unflatten(-1, (-1, self.key_width)), positions, self)
        values = self.wv(x).unflatten(-1, (-1, self.value_width))
        new = keys, values, positions
        return new if cache is None else cache.update(*new)


class SharedKVBlock(nn.Module):
    """An upper layer: queries of its own, keys and values of `SharedKV`, then a
    feed-forward network, each added to the residual stream.
    """

    def __init__(self, width: int, layer: LayerSpec) -> None:
        super().__init__()
        mixer = layer.mixer
        self.key_width, self.rope = mixer.head_dim, build_rope(mixer.rope)
        self.wq = nn.Linear(width, mixer.heads * mixer.head_dim, bias=False)
        self.wo = nn.Linear(mixer.heads * mixer.value_dim, width, bias=False)
        self.norm, self.ffn_norm = (build_norm(width, layer.norm) for _ in range(2))
        self.ffn = build_ffn(width, layer.ffn)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        shared: Entries,
    ) -> Float[Tensor, "b t d"]:
        """Let each token attend to the shared keys of its past."""
        keys, values, key_positions = shared
        queries = self.wq(self.norm(x)).unflatten(-1, (-1, self.key_width))
        queries = _turned(queries, positions, self)
        mask = CAUSAL.mask(positions, key_positions)
        mixed, _ = attend(queries, keys, values, mask)
        x = x + self.wo(mixed.flatten(2))
        return x + self.ffn(self.ffn_norm(x))


class CausalEncoderDecoder(nn.Module):
    """Logits for the token after each given token, from a stack whose upper half shares
    one set of keys and values.

    Args:
        spec: of a causal model with pre-norm attention layers without biases; the first
            half of its layers is the lower half. Lower layers may have windows.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the number of layers is odd, or a layer has a part that this model
        does not build; the message names the field.

    *Cost*: `shared_kv_prefill_flops` and `shared_kv_cache_bytes` of
        `course_lib.costs.shared_kv`.
    *Source*: Sun et al. 2024, arXiv:2405.05254 (YOCO: one set of keys and values);
        DeepSeek-AI 2026, DeepSeek-V4.1-Flash, section 2.2 (the causal encoder-decoder).

    >>> import torch
    >>> from course_lib.specs.small import small_llama
    >>> model = CausalEncoderDecoder(small_llama(8, layers=4, heads=2, vocab=7))
    >>> tokens = torch.tensor([[1, 2, 3]])
    >>> model(tokens).shape, model(tokens, last_only=True).shape
    (torch.Size([1, 3, 7]), torch.Size([1, 1, 7]))
    """

    one_stream = ("lower", "upper")  # both halves add to the same residual stream

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        super().__init__()
        _check_supported(spec)
        self.spec, half = spec, len(spec.layers) // 2
        lower, upper = spec.layers[:half], spec.layers[half:]
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.lower = build_blocks(spec.width, lower)
        self.shared_kv = SharedKV(spec.width, upper[0])
        self.upper = nn.ModuleList(SharedKVBlock(spec.width, x) for x in upper)
        self.final_norm = build_norm(spec.width, spec.final_norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=False)
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """Score the vocabulary after each token.

        Args:
            tokens, positions, cache: as in `CausalLM`.
            last_only: score after the last token alone. The others then stop at half
                the depth: the prefill of a prompt.

        Raises:
            ValueError: as in `CausalLM`.
        """
        if cache is not None and len(cache) != len(self.lower) + 1:
            raise ValueError(
                f"cache has {len(cache)} layers: this model has {len(self.lower) + 1}"
            )
        positions = checked_positions(
            tokens, positions, 0 if cache is None else cache.length
        )
        *own, for_shared = [None] * (len(self.lower) + 1) if cache is None else cache
        x, per_forward = self.embed(tokens, positions), PerForward()
        for block, kept in zip(self.lower, own, strict=True):
            x = block(x, positions, kept, per_forward)
        shared = self.shared_kv(x, positions, for_shared)
        if last_only:  # nothing above attends to the other tokens' upper layers
            x, positions = x[:, -1:], positions[:, -1:]
        for block in self.upper:
            x = block(x, positions, shared)
        return self.head(self.final_norm(x))

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache: one a lower layer, and one for all upper layers together.

        Raises:
            ValueError: `batch` or `capacity` is below 1.
        """
        kept = self.spec.layers[: len(self.lower) + 1]
        return build_cache(self.spec.width, kept, batch, capacity, self.head.weight)


def _turned(heads: Tensor, positions: Tensor, layer: nn.Module) -> Tensor:
    """Queries or keys, rotated to their positions where the layer has RoPE."""
    if layer.rope is None:
        return heads
    cos, sin = layer.rope.tables(positions, heads.dtype)
    return apply_rope(heads, cos, sin, layer.rope.pairing)


def _check_supported(spec: ModelSpec) -> None:
    """Refuse what this model would leave out in silence."""
    supported = {"encoder": (), "head": "lm", "patches": None, "vision": None}
    supported |= {"logit_softcap": None, "logit_scale": 1.0, "sides": ()}
    check_fields(spec, supported)
    if len(spec.layers) % 2:
        raise ValueError(f"layers={len(spec.layers)}: supported is an even number")
    for layer in spec.layers[len(spec.layers) // 2 :]:
        plain = isinstance(layer.mixer, AttentionSpec) and layer.norm_layout == "pre"
        if not plain or layer.mixer.window is not None or layer.cross is not None:
            raise ValueError("layers: the upper half supports pre-norm attention alone")
        if (
            layer.mixer.bias_qkv
            or layer.mixer.bias_out
            or layer.mixer.qk_norm != "none"
        ):
            raise ValueError("layers: the upper half supports no biases and no QK norm")
