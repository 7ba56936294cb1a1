"""Encoder (BERT, RoBERTa, ModernBERT) from a specification: every token attends to
every other, in both directions.

Symbols: b batch, t tokens, d model width, l layers. One class serves BERT, RoBERTa and
ModernBERT; what differs between them is in the specification. There is no cache: a new
token changes all earlier vectors.

Terms:
    encoder, encoder-only, bidirectional encoder: a stack in which every token attends
        to every token; BERT and its kin -> Encoder
    masked LM head, MLM head: scores of the vocabulary at each place of an encoder ->
        MaskedLM
    pooled vector, CLS pooling: one vector for a whole text, from its first token ->
        Encoder.pooled
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.feed_forward.mlp import activation_named
from course_lib.layers.per_forward import PerForward
from course_lib.models.block import build_blocks
from course_lib.models.embed import Embedding, checked_positions
from course_lib.models.layer_factory import (
    InitialScale,
    build_norm,
    check_fields,
    initialise,
)
from course_lib.specs.records import ModelSpec, is_causal


class Encoder(nn.Module):
    """A vector for each token, made from the whole text.

    Args:
        spec: from `load_spec`, `spec_from_hf_config`, or written by hand; its layers
            are not causal.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the spec has a part that this model does not build; the message
        names the field.

    *Cost*: `param_count(spec).total` parameters; `prefill_flops(spec, tokens)` FLOPs a
        text.
    *Source*: Devlin et al. 2018, arXiv:1810.04805 (BERT); Liu et al. 2019,
        arXiv:1907.11692 (RoBERTa); Warner et al. 2024, arXiv:2412.13663 (ModernBERT).

    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2}
    >>> config |= {"num_hidden_layers": 2, "intermediate_size": 5, "vocab_size": 7}
    >>> config |= {"max_position_embeddings": 16}
    >>> model = Encoder(spec_from_hf_config(config))
    >>> states = model(torch.tensor([[1, 2, 3]]))
    >>> states.shape, model.pooled(states).shape
    (torch.Size([1, 3, 8]), torch.Size([1, 8]))
    """

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        super().__init__()
        _check_supported(spec)
        self.spec = spec
        self.embed = Embedding(spec.vocab, spec.width, spec.embeddings)
        self.blocks = build_blocks(spec.width, spec.layers)
        self.final_norm = build_norm(spec.width, spec.final_norm)
        self.pooler = (
            nn.Linear(spec.width, spec.width) if spec.head == "pooler" else None
        )
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The last layer's vectors.

        Args:
            tokens: the text.
            positions: their places in each row, -1 for padding on either side
                (`masks.positions_from_padding`); 0 to t - 1 when left out.
            segments: each token's segment, where the model has segments; 0 for all when
                left out.

        Raises:
            ValueError: `positions` has another shape than `tokens`, or one lies beyond
                a learned table; `segments` are given to a model without segments.
        """
        return self.final_norm(self.states(tokens, positions, segments)[-1])

    def states(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
    ) -> list[Float[Tensor, "b t d"]]:
        """The vectors that enter the first layer, then those that leave each: l + 1 in
        all.
        """
        positions = checked_positions(tokens, positions)
        states, per_forward = [self.embed(tokens, positions, segments)], PerForward()
        for block in self.blocks:
            states.append(block(states[-1], positions, None, per_forward))
        return states

    def pooled(self, states: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        """BERT's vector of a text: tanh of a map of its first token's.

        Raises:
            ValueError: the model has no pooler.
        """
        if self.pooler is None:
            raise ValueError(
                f"head={self.spec.head!r}: only a model with head='pooler' has a pooler"
            )
        return torch.tanh(self.pooler(states[:, 0]))


class MaskedLM(Encoder):
    """An encoder that scores for each place which token belongs there: how BERT is
    trained.

    *Equation*: logits = W_tokens norm(act(W x)) + b.

    Args:
        spec: one whose head is "mlm"; `spec_from_hf_config` reads it from a config of a
            `...ForMaskedLM`.
        std: the first scale of every matrix, as in `initialise`.

    Raises:
        ValueError: the spec has another head, or what `Encoder` raises.

    >>> from course_lib.specs.from_hf import spec_from_hf_config
    >>> config = {"architectures": ["ModernBertForMaskedLM"], "vocab_size": 7}
    >>> config |= {"model_type": "modernbert", "num_hidden_layers": 2}
    >>> config |= {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 5}
    >>> MaskedLM(spec_from_hf_config(config))(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    def __init__(self, spec: ModelSpec, *, std: InitialScale = "fan_in") -> None:
        if spec.head != "mlm":
            raise ValueError(f"head={spec.head!r}: supported is 'mlm'")
        super().__init__(spec)
        self.act = activation_named(spec.transform.activation)
        self.transform = nn.Linear(spec.width, spec.width, bias=spec.transform.bias)
        self.transform_norm = build_norm(spec.width, spec.transform.norm)
        self.head = nn.Linear(spec.width, spec.vocab, bias=spec.embeddings.head_bias)
        if spec.embeddings.tied:
            self.head.weight = self.embed.tokens.weight
        initialise(self, std)

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"] | None = None,
        segments: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t vocab"]:
        """Score the vocabulary for every place; arguments and errors are those of
        `Encoder`.
        """
        return self.score(super().forward(tokens, positions, segments))

    def score(self, states: Float[Tensor, "*axes d"]) -> Float[Tensor, "*axes vocab"]:
        """Score the vocabulary for the given vectors: for those of the masked places
        alone, it costs less.
        """
        return self.head(self.transform_norm(self.act(self.transform(states))))


def _check_supported(spec: ModelSpec) -> None:
    """Refuse what an encoder would leave out in silence."""
    supported = {
        "encoder": (),
        "sides": (),
        "patches": None,
        "vision": None,
        "logit_scale": 1.0,
        "logit_softcap": None,
    }
    check_fields(spec, supported)
    if spec.head not in ("none", "pooler", "mlm"):
        raise ValueError(
            f"head={spec.head!r}: supported are 'none', 'pooler' and 'mlm'"
        )
    for layer in spec.layers:
        if is_causal(layer.mixer):
            raise ValueError(
                "causal=True: an encoder supports only layers that attend to both sides"
            )
        if layer.cross is not None:
            raise ValueError(
                "cross is set: only layers without cross-attention are supported"
            )
