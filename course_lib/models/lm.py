"""A causal language model from a specification: embed, run the blocks, norm, score the
vocabulary.

Symbols: b batch, t tokens, d model width, l layers. One class serves GPT-2, GPT-J,
GPT-NeoX, BLOOM, Falcon, PaLM, Cohere, Llama, Mistral, Qwen2, Qwen3, Gemma 2 and 3
(text), GLM-4, and DeepSeek's dense layers with latent attention. What differs between
them is in the specification, not in the code.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.masks import MaskMod
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    build_norm,
    initialise,
    initialise_module,
)
from course_lib.specs.records import LatentAttentionSpec, LayerSpec, ModelSpec


class ModelCache(Sequence[LayerCache]):
    """One cache a layer, in the order of the layers.

    >>> cache = ModelCache([ContiguousCache(1, 8, 1, 2), RingCache(1, 4, 1, 2)])
    >>> len(cache), cache.length, cache.nbytes  # (8 + 4) slots of 2 + 2 float32 values
    (2, 0, 192)
    """

    def __init__(self, layers: Sequence[LayerCache]) -> None:
        if not layers:
            raise ValueError("layers is empty: a model cache needs at least one layer")
        self._layers = tuple(layers)

    def __getitem__(self, index: int) -> LayerCache:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self._layers)

    @property
    def length(self) -> int:
        """Tokens appended so far in each row, padding included."""
        return self._layers[0].length

    @property
    def nbytes(self) -> int:
        """Bytes that the keys and values of all layers take."""
        return sum(layer.nbytes for layer in self._layers)


class CausalLM(nn.Module):
    """Logits for the token after each given token.

    Args:
        spec: from `load_spec`, `spec_from_hf_config`, or written by hand.
        std: the first scale of every matrix, as in `initialise`; 0.02 when left out.

    Raises:
        ValueError: the spec has a part that this model does not build; the message
        names the field.

    *Cost*: `param_count(spec).total` parameters; `flops_per_token(spec, context)` FLOPs
        a token.

    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 2, "intermediate_size": 5, "vocab_size": 7}
    >>> spec = spec_from_hf_config(config)
    >>> model = CausalLM(spec)
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    def __init__(self, spec: ModelSpec, *, std: InitialScale | None = None) -> None:
        super().__init__()
        _check_supported(spec)
        self.spec = spec
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.blocks = build_blocks(spec.width, spec.layers)
        self.final_norm = (
            build_norm(spec.width, spec.final_norm)
            if spec.final_norm
            else nn.Identity()
        )
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        self.apply(initialise_module)
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        if std is not None:
            initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        mask_mod: MaskMod | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """Score the vocabulary after each token.

        Args:
            tokens: new tokens; with a cache, those that follow the ones it holds.
            positions: their places in each row, -1 for padding on the left. Left out,
                each row goes on where the cache ends, which is right only when nothing
                was padded.
            cache: from `make_cache`; it takes in the new tokens.
            mask_mod: which query attends to which key, in place of the causal mask,
                such as `prefix(p)`, or for packed rows `CAUSAL & same_document(ids)`. A
                layer's window holds on top. The same in every call of a decode, and a
                prefix all in one call.
            last_only: score after the last token alone, as a prefill needs.

        Returns:
            logits [b t vocab], or [b 1 vocab] with `last_only`.

        Raises:
            ValueError: `positions` has another shape than `tokens`, or `cache` has
                another number of layers; or the cache is full; or a position lies
                beyond a learned table.
        """
        positions = self._positions(tokens, positions, cache)
        return self.run(
            self.embed(tokens, positions),
            positions,
            cache,
            mask_mod=mask_mod,
            last_only=last_only,
        )

    def run(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: ModelCache | None = None,
        *,
        mask_mod: MaskMod | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """The same from the vectors that enter the first layer."""
        memo: dict = {}
        for block, kept in zip(
            self.blocks, cache or [None] * len(self.blocks), strict=True
        ):
            x = block(x, positions, kept, memo, mask_mod=mask_mod)
        logits = self.head(self.final_norm(x[:, -1:] if last_only else x))
        if self.spec.logit_scale != 1.0:
            logits = logits * self.spec.logit_scale
        cap = self.spec.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache for `batch` rows of at most `capacity` tokens, in this model's
        dtype and on its device.

        A layer with a window shorter than that gets a ring of its window; the others
        hold every token.

        Raises:
            ValueError: `batch` or `capacity` is below 1.
        """
        like = {"dtype": self.head.weight.dtype, "device": self.head.weight.device}
        return ModelCache(
            [
                build_layer_cache(layer, batch, capacity, **like)
                for layer in self.spec.layers
            ]
        )

    def _positions(
        self, tokens: Tensor, positions: Tensor | None, cache: ModelCache | None
    ) -> Tensor:
        if cache is not None and len(cache) != len(self.blocks):
            raise ValueError(
                f"cache has {len(cache)} layers: this model has {len(self.blocks)}"
            )
        return checked_positions(
            tokens, positions, 0 if cache is None else cache.length
        )


def build_layer_cache(
    layer: LayerSpec, batch: int, capacity: int, **like
) -> LayerCache:
    """The cache that one layer needs; `like` holds dtype and device."""
    spec = layer.mixer
    if isinstance(spec, LatentAttentionSpec):
        return LatentCache(batch, capacity, spec.kv_rank, spec.rope_dim, **like)
    entry = {
        "kv_heads": spec.kv_heads,
        "head_dim": spec.head_dim,
        "value_dim": spec.value_dim,
        **like,
    }
    if spec.window is not None and spec.window < capacity:
        return RingCache(batch, spec.window, **entry)
    return ContiguousCache(batch, capacity, **entry)


def _check_supported(spec: ModelSpec) -> None:
    """Refuse what this model would leave out in silence."""
    supported = {"encoder": (), "head": "lm", "patches": None, "vision": None}
    for field, want in supported.items():
        if getattr(spec, field) != want:
            raise ValueError(f"{field}={getattr(spec, field)!r}: supported is {want!r}")
    if spec.embeddings.token_types:
        raise ValueError(f"token_types={spec.embeddings.token_types}: supported is 0")
    for layer in spec.layers:
        if not getattr(layer.mixer, "causal", True):
            raise ValueError(
                "causal=False: a causal language model supports only causal layers"
            )
        if layer.cross is not None:
            raise ValueError(
                "cross is set: only layers without cross-attention are supported"
            )
