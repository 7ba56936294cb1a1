"""Hash routing: a fixed table says to which experts each token of the vocabulary goes.

Symbols: n tokens, e experts, k picks; table [vocab k].

Nothing is learned about where a token goes, and nothing can collapse: the load depends
on the counts of the words alone. DeepSeek-V4 routes its first layers so, with weights
that are learned.

Terms:
    hash routing, hash layer: experts by a fixed table from token to expert ->
        HashRouter, hash_table
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.feed_forward.router import Router, Routing, score, weigh


def hash_table(
    vocab: int, e: int, k: int, *, generator: torch.Generator | None = None
) -> Int[Tensor, "vocab k"]:
    """A random table: k different experts for each token of the vocabulary.

    >>> hash_table(100, 8, 2).shape
    torch.Size([100, 2])
    """
    return torch.rand(vocab, e, generator=generator).topk(k, -1).indices


class HashRouter(nn.Module):
    """A router that looks its picks up, and weighs them by scores.

    *Equation*: picks = table[token]; w = scale s[picks] / sum s[picks], with the scores
        s of `Router`; or w = scale / k where not `weighted`.

    Args:
        d: model width.
        e: experts.
        table: from token to its picks; a buffer.
        weighted: whether weights are learned (DeepSeek-V4), or all alike (hash layers).
        scoring, renormalise, scale: as in `Router`.

    Raises:
        ValueError: the table names an expert that is not there.

    *Source*: Roller et al. 2021, arXiv:2106.04426.
    """

    needs_tokens = True

    def __init__(
        self,
        d: int,
        e: int,
        table: Int[Tensor, "vocab k"],
        *,
        weighted: bool = True,
        scoring: str = "softmax",
        renormalise: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if table.min() < 0 or table.max() >= e:
            raise ValueError(
                f"table names expert {table.max()}: allowed are 0 to {e - 1}"
            )
        self.d, self.e, self.k, self.weighted = d, e, table.shape[1], weighted
        self.scoring, self.renormalise, self.scale = scoring, renormalise, scale
        self.scorer = Router(d, e, self.k, scoring=scoring)
        self.register_buffer("table", table)

    def forward(self, x: Float[Tensor, "n d"], tokens: Int[Tensor, " n"]) -> Routing:
        """Look the picks of each token up."""
        experts, logits = self.table[tokens], self.scorer.logits(x)
        scores = score(logits, self.scoring)
        if self.weighted:
            weights = weigh(
                scores, experts, renormalise=self.renormalise, scale=self.scale
            )
        else:
            weights = torch.full_like(scores[:, : self.k], self.scale / self.k)
        return Routing(experts, weights.to(x.dtype), scores, logits)
