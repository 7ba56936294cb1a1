"""Per-layer embeddings: each layer has a table of its own for the vocabulary, looked up
by the token and let into the stream through a gate.

Symbols: b rows, t tokens, d model width, l layers, p width of a layer's row.

The tables hold vocab l p parameters, of which a token needs l p: they may lie in slow
memory, and cost no matrix product.

Terms:
    per-layer embedding table, PLE: rows for each token and layer, beside the token
        embedding -> PerLayerEmbedding
    per-layer gate: lets a layer's row into the residual stream -> PerLayerGate
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.feed_forward.mlp import activation_named
from course_lib.layers.norms import RMSNorm


class PerLayerEmbedding(nn.Module):
    """The rows of all layers for each token.

    *Equation*: (norm(W x / sqrt(d)) + sqrt(p) table[token]) / sqrt(2), for each layer
        its own p numbers; x is the token's embedding, as it enters the first layer.

    Args:
        vocab, d: tokens, and model width.
        layers, width: l and p.
        eps: of the norm.

    *Cost*: vocab l p + d l p parameters; 2 d l p FLOPs a token.
    *Source*: `transformers` 5.23, `modeling_gemma4.py` (Gemma 3n and 4).
    """

    def __init__(
        self, vocab: int, d: int, layers: int, width: int, *, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.layers, self.width = layers, width
        self.table = nn.Embedding(vocab, layers * width)
        self.project = nn.Linear(d, layers * width, bias=False)
        self.norm = RMSNorm(width, eps)

    def forward(
        self, tokens: Int[Tensor, "b t"], x: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b t l p"]:
        shape = (self.layers, self.width)
        rows = self.table(tokens).unflatten(-1, shape) * self.width**0.5
        projected = self.project(x) * x.shape[-1] ** -0.5
        return (self.norm(projected.unflatten(-1, shape)) + rows) * 2**-0.5


class PerLayerGate(nn.Module):
    """What a layer adds to the stream from its row.

    *Equation*: y = norm(W_out (act(W_gate x) * row)).

    Args:
        d, width: model width, and p.
        activation: a name in `ACTIVATIONS`.
        eps: of the norm.

    *Cost*: 2 d p + d parameters, 4 d p FLOPs a token.
    """

    def __init__(
        self,
        d: int,
        width: int,
        *,
        activation: str = "gelu_pytorch_tanh",
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.act = activation_named(activation)
        self.gate = nn.Linear(d, width, bias=False)
        self.out = nn.Linear(width, d, bias=False)
        self.norm = RMSNorm(d, eps)

    def forward(
        self, x: Float[Tensor, "b t d"], row: Float[Tensor, "b t p"]
    ) -> Float[Tensor, "b t d"]:
        return self.norm(self.out(self.act(self.gate(x)) * row))
