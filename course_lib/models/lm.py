"""Causal language model (decoder-only) from a specification: embed, run the blocks,
norm, score the vocabulary.

Symbols: b batch, t tokens, d model width, l layers. One class serves GPT-2, GPT-J,
GPT-NeoX, BLOOM, Falcon, PaLM, Cohere, Llama, Mistral, Qwen2, Qwen3, Gemma 2 and 3
(text), GLM-4, DeepSeek's dense layers with latent attention, Mamba, Falcon Mamba,
Mamba-2, Jamba, RWKV-4, RecurrentGemma, LFM2, Qwen3-Next, Kimi Linear. What differs
between them is in the specification, not in the code.

Terms:
    causal language model, decoder-only, autoregressive model: embedding, blocks under a
        causal mask, norm, scores of the vocabulary -> CausalLM
    LM head, unembedding, logits: the matrix from the last vector to a score for each
        entry of the vocabulary -> CausalLM.forward
    tied embeddings, weight tying, tied head: the LM head is the token embedding,
        transposed -> CausalLM
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.masks import MaskMod
from course_lib.layers.per_forward import Auxiliary, PerForward
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    build_cache,
    build_norm,
    check_fields,
    initialise,
)
from course_lib.specs.records import ModelSpec, is_causal

Logits = Float[Tensor, "b out vocab"]


class CausalLM(nn.Module):
    """Logits for the token after each given token.

    Args:
        spec: from `load_spec`, `spec_from_hf_config`, or written by hand.
        std: the first scale of every matrix, as in `initialise`.

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

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        super().__init__()
        _check_supported(spec)
        self.spec = spec
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.blocks = build_blocks(spec.width, spec.layers)
        self.final_norm = build_norm(spec.width, spec.final_norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        mask_mod: MaskMod | None = None,
        last_only: bool = False,
        return_auxiliary: bool = False,
    ) -> Logits | tuple[Logits, Auxiliary]:
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
            return_auxiliary: also return what layers leave beside the stream, such as
                losses that balance experts.

        Returns:
            logits [b t vocab], or [b 1 vocab] with `last_only`; with `return_auxiliary`
            (logits, auxiliary).

        Raises:
            ValueError: `positions` has another shape than `tokens`, or `cache` has
                another number of layers; or the cache is full; or a position lies
                beyond a learned table.
        """
        positions = self._positions(tokens, positions, cache)
        per_forward = PerForward(tokens, positions)
        logits = self.run(
            self.embed(tokens, positions),
            positions,
            cache,
            mask_mod=mask_mod,
            last_only=last_only,
            per_forward=per_forward,
        )
        return (logits, per_forward.auxiliary) if return_auxiliary else logits

    def run(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: ModelCache | None = None,
        *,
        mask_mod: MaskMod | None = None,
        last_only: bool = False,
        per_forward: PerForward | None = None,
    ) -> Logits:
        """The same from the vectors that enter the first layer."""
        options = {"mask_mod": mask_mod, "per_forward": per_forward}
        hidden = self.hidden(x, positions, cache, **options)
        return self.score(hidden[:, -1:] if last_only else hidden)

    def hidden(
        self,
        x: Float[Tensor, "b t d"],
        positions: Int[Tensor, "b t"],
        cache: ModelCache | None = None,
        *,
        mask_mod: MaskMod | None = None,
        per_forward: PerForward | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Run the blocks and the norm behind them: the vectors that are scored."""
        per_forward = PerForward() if per_forward is None else per_forward
        caches = [None] * len(self.blocks) if cache is None else cache
        for layer, (block, own) in enumerate(zip(self.blocks, caches, strict=True)):
            per_forward.layer = layer
            x = block(x, positions, own, per_forward, mask_mod=mask_mod)
        return self.final_norm(x)

    def score(self, hidden: Float[Tensor, "b t d"]) -> Logits:
        """Logits of vectors from `hidden`."""
        logits = self.head(hidden)
        if self.spec.logit_scale != 1.0:
            logits = logits * self.spec.logit_scale
        cap = self.spec.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache for `batch` rows of at most `capacity` tokens, in this model's
        dtype and on its device.

        A layer with a window shorter than that gets a ring of its window, a state space
        a state of one size; the others hold every token.

        Raises:
            ValueError: `batch` or `capacity` is below 1.
        """
        return build_cache(
            self.spec.width, self.spec.layers, batch, capacity, self.head.weight
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


def _check_supported(spec: ModelSpec) -> None:
    """Refuse what this model would leave out in silence."""
    supported = {"encoder": (), "head": "lm", "patches": None, "vision": None}
    supported |= {"sides": ()}
    check_fields(spec, supported)
    if spec.embeddings.token_types:
        raise ValueError(f"token_types={spec.embeddings.token_types}: supported is 0")
    for layer in spec.layers:
        if not is_causal(layer.mixer):
            raise ValueError(
                "causal=False: a causal language model supports only causal layers"
            )
        if layer.cross is not None:
            raise ValueError(
                "cross is set: only layers without cross-attention are supported"
            )
