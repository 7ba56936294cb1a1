"""Encoder-decoder (T5, BART, Marian) from a specification: an encoder for the source, a
decoder with cross-attention to it.

Symbols: b batch, s tokens of the source, t tokens of the target, d model width. One
class serves T5, BART and Marian. The encoder runs once. Each decoder layer makes its
keys and values of the source once, too (`EncoderOutput`); from then on a step costs one
token, and only the decoder's own cache grows.

Terms:
    encoder-decoder, sequence-to-sequence model, seq2seq: an encoder for the source, and
        a decoder that attends to it while it writes -> EncoderDecoder
    encoder output: the source's states, and every decoder layer's keys and values of
        them, made once -> EncoderOutput
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.cross import EncoderKV
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.per_forward import PerForward
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


@dataclass(frozen=True, eq=False)
class EncoderOutput(Sequence[EncoderKV]):
    """An encoded source: its vectors, and what each decoder layer keeps of them.

    Attributes:
        states: the encoder's vectors [b s d].
        layers: keys, values and positions for each decoder layer, in order.
    """

    states: Float[Tensor, "b s d"]
    layers: tuple[EncoderKV, ...]

    def __getitem__(self, index: int) -> EncoderKV:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[EncoderKV]:
        return iter(self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all layers' keys and values; they stay the same however long the
        target gets.
        """
        return sum(layer.nbytes for layer in self.layers)


class EncoderDecoder(nn.Module):
    """Logits for the token after each given target token, given a source.

    Args:
        spec: from `load_spec`, `spec_from_hf_config`, or written by hand; its `encoder`
            is filled.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the spec has a part that this model does not build; the message
        names the field.

    *Cost*: `param_count(spec).total` parameters; `cache_bytes(spec, tokens=t,
        source_tokens=s)` bytes.
    *Source*: Vaswani et al. 2017, arXiv:1706.03762; Raffel et al. 2020,
        arXiv:1910.10683 (T5); Lewis et al. 2019, arXiv:1910.13461 (BART);
        Junczys-Dowmunt et al. 2018, arXiv:1804.00344 (Marian).

    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 5}
    >>> config |= {"num_heads": 2, "num_layers": 2, "vocab_size": 7}
    >>> model = EncoderDecoder(spec_from_hf_config(config))
    >>> source, target = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0, 5]])
    >>> model(source, target).shape
    torch.Size([1, 2, 7])

    To write a target, encode once and give the decoder's step to `generate`:

    >>> from functools import partial
    >>> from course_lib.generate.decode import cached_step, generate
    >>> with torch.no_grad():
    ...     encoded = model.encode(source)
    >>> cache = model.make_cache(batch=1, capacity=8)
    >>> step = cached_step(partial(model.decode, encoded), cache)
    >>> generate(step, torch.tensor([[0]]), max_new_tokens=4).shape
    torch.Size([1, 4])
    """

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        super().__init__()
        _check_supported(spec)
        self.spec = spec
        self.source_embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.encoder = build_blocks(spec.width, spec.encoder)
        self.decoder = build_blocks(spec.width, spec.layers)
        self.encoder_norm = build_norm(spec.width, spec.final_norm)
        self.decoder_norm = build_norm(spec.width, spec.final_norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        self.embed.tokens = self.source_embed.tokens
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        initialise(self, std)
        shift = torch.zeros(1, spec.vocab) if spec.embeddings.head_shift else None
        self.register_buffer("head_shift", shift)

    def forward(
        self,
        source: Int[Tensor, "b s"],
        tokens: Int[Tensor, "b t"],
        source_positions: Int[Tensor, "b s"] | None = None,
        positions: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t vocab"]:
        """Score the vocabulary after each target token, all at once, as in training.

        Args:
            source, source_positions: as in `encode`.
            tokens, positions: as in `decode`; the target, beginning with the model's
                start token.
        """
        return self.decode(self.encode(source, source_positions), tokens, positions)

    def encode(
        self, source: Int[Tensor, "b s"], positions: Int[Tensor, "b s"] | None = None
    ) -> EncoderOutput:
        """Encode the source.

        Args:
            source: its tokens.
            positions: their places, -1 for padding on either side; 0 to s - 1 when left
                out.

        Raises:
            ValueError: `positions` has another shape than `source`, or one lies beyond
            a learned table.
        """
        positions = checked_positions(source, positions)
        x, per_forward = self.source_embed(source, positions), PerForward()
        for block in self.encoder:
            x = block(x, positions, None, per_forward)
        states = self.encoder_norm(x)
        return EncoderOutput(
            states,
            tuple(block.cross.encoder_kv(states, positions) for block in self.decoder),
        )

    def decode(
        self,
        encoded: EncoderOutput,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        cache: ModelCache | None = None,
        *,
        last_only: bool = False,
    ) -> Float[Tensor, "b out vocab"]:
        """Score the vocabulary after each token, which attends to the source and to
        the target so far.

        Args:
            encoded: from `encode`.
            tokens: new tokens; with a cache, those that follow the ones it holds.
            positions: their places in each row, -1 for padding on the left; each row
                goes on where the cache ends when left out.
            cache: from `make_cache`; it takes in the new tokens.
            last_only: score after the last token alone.

        Raises:
            ValueError: `positions` has another shape than `tokens`, or `cache` has
                another number of layers; or the cache is full; or a position lies
                beyond a learned table.
        """
        if cache is not None and len(cache) != len(self.decoder):
            raise ValueError(
                f"cache has {len(cache)} layers: this model has {len(self.decoder)}"
            )
        positions = checked_positions(
            tokens, positions, 0 if cache is None else cache.length
        )
        x, per_forward = self.embed(tokens, positions), PerForward()
        caches = [None] * len(self.decoder) if cache is None else cache
        for block, source, own in zip(self.decoder, encoded, caches, strict=True):
            x = block(x, positions, own, per_forward, source=source)
        logits = self.head(
            self.decoder_norm(x[:, -1:] if last_only else x) * self.spec.logit_scale
        )
        return logits if self.head_shift is None else logits + self.head_shift

    def make_cache(self, batch: int, capacity: int) -> ModelCache:
        """An empty cache for `batch` targets of at most `capacity` tokens. The source
        is not in it.

        Raises:
            ValueError: `batch` or `capacity` is below 1.
        """
        return build_cache(
            self.spec.width, self.spec.layers, batch, capacity, self.head.weight
        )


def _check_supported(spec: ModelSpec) -> None:
    """Refuse what this model would leave out in silence."""
    supported = {"head": "lm", "logit_softcap": None, "patches": None, "vision": None}
    supported |= {"sides": ()}
    check_fields(spec, supported)
    if not spec.encoder or any(is_causal(layer.mixer) for layer in spec.encoder):
        raise ValueError(
            "encoder: supported is a stack whose layers attend to both sides"
        )
    if any(layer.cross is None or not is_causal(layer.mixer) for layer in spec.layers):
        raise ValueError(
            "layers: supported is a causal stack whose layers all have cross-attention"
        )
