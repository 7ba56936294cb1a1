"""Token embedding, with absolute positions, segment (token-type) embedding and the norm
behind them.

Symbols: b batch, t tokens, d model width. Each token's vector, times a factor, plus a
vector for its position (learned or sinusoidal), plus one for its segment, then a norm:
a model has some of these.

Terms:
    token embedding, embeddings, wte: a learned vector for each entry of the vocabulary
        -> Embedding
    segment embedding, token-type embedding: a learned vector for the sentence or role
        that a token belongs to -> Embedding
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.positions.absolute import LearnedPositions, sinusoidal
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.layer_factory import build_norm
from course_lib.specs.records import EmbeddingSpec


class Embedding(nn.Module):
    """From tokens to the vectors that enter the first layer.

    *Equation*: x = norm(scale * tokens[token] + positions[p] + segments[segment]).

    Args:
        vocab: tokens in the vocabulary.
        width: d.
        spec: which parts there are.

    Raises:
        ValueError: later, a position beyond the learned table, or segments given to a
        model without them.

    *Cost*: vocab d parameters, and d more a row of the other tables.

    >>> import torch
    >>> embed = Embedding(7, 4, EmbeddingSpec(learned_positions=3))
    >>> embed(torch.tensor([[5, 6]]), torch.tensor([[0, 1]])).shape
    torch.Size([1, 2, 4])
    """

    def __init__(self, vocab: int, width: int, spec: EmbeddingSpec) -> None:
        super().__init__()
        self.spec = spec
        self.tokens = nn.Embedding(vocab, width)
        rows = spec.learned_positions
        self.positions = (
            LearnedPositions(rows, width, offset=spec.position_offset) if rows else None
        )
        self.segments = (
            nn.Embedding(spec.token_types, width) if spec.token_types else None
        )
        self.norm = build_norm(width, spec.norm) if spec.norm else None

    def forward(
        self,
        tokens: Int[Tensor, "b t"],
        positions: Int[Tensor, "b t"],
        segments: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Look the tokens up. `segments`: of each token; all in segment 0 when left
        out.
        """
        x = self.tokens(tokens) * self.spec.scale
        if self.positions is not None:
            x = x + self.positions(positions)
        if self.spec.sinusoidal is not None:
            x = x + sinusoidal(
                positions, x.shape[-1], layout=self.spec.sinusoidal, dtype=x.dtype
            )
        if self.segments is None and segments is not None:
            raise ValueError(
                "segments is given: this model has no table of "
                "segments (token_types is 0)"
            )
        if self.segments is not None:
            x = x + (
                self.segments.weight[0] if segments is None else self.segments(segments)
            )
        return x if self.norm is None else self.norm(x)


def checked_positions(
    tokens: Tensor, positions: Tensor | None, start: int = 0
) -> Tensor:
    """The positions as given, or, left out, those of tokens that follow `start` earlier
    ones.

    Raises:
        ValueError: `positions` has another shape than `tokens`.

    >>> import torch
    >>> checked_positions(torch.zeros(1, 3), None, start=2).tolist()
    [[2, 3, 4]]
    """
    if positions is None:
        return next_positions(start, *tokens.shape, device=tokens.device)
    if positions.shape != tokens.shape:
        want, got = tuple(tokens.shape), tuple(positions.shape)
        raise ValueError(
            f"positions has shape {got}: allowed is that of tokens, {want}"
        )
    return positions
