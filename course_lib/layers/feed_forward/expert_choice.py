"""Expert choice: each expert picks the tokens with the highest scores for it, so that
all experts have equally many.

Symbols: t tokens that compete with each other, e experts, c tokens an expert takes; S
[t e] scores, softmax over the experts.

Loads are even by construction, without a balance loss. What a token gets depends on all
tokens it competes with, those after it too: the layer is not causal, and a model that
was trained with it cannot be decoded token by token. A token may get many experts, or
none.

Terms:
    expert choice: each expert picks its best tokens -> ExpertChoice, expert_choice
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.feed_forward.dispatch import capacity_of
from course_lib.layers.feed_forward.router import NO_EXPERT, Router, Routing


def expert_choice(
    scores: Float[Tensor, "*b t e"], capacity: int
) -> Bool[Tensor, "*b t e"]:
    """Which tokens each expert picks: its `capacity` best ones, or all there are.

    >>> expert_choice(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), 1).int()
    tensor([[1, 0],
            [0, 0],
            [0, 1]], dtype=torch.int32)
    """
    best = scores.topk(min(capacity, scores.shape[-2]), dim=-2).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-2, best, True)


class ExpertChoice(nn.Module):
    """A router in which experts pick tokens.

    *Equation*: S = softmax(x W^T); expert i takes its c = factor n / e best tokens,
        with the weights S.

    Args:
        d: model width.
        e: experts.
        factor: how many experts a token has on average, the paper's c.

    The routing has e places for each token: `NO_EXPERT` where it was not picked.
    Padding competes like any token: hand in rows without it.

    Raises:
        ValueError: the factor is not between 0 and e.

    *Cost*: d e parameters, 2 d e FLOPs a token; experts as in token choice with k =
        factor.
    *Source*: Zhou et al. 2022, section 3.2, arXiv:2202.09368.
    """

    def __init__(self, d: int, e: int, factor: float = 2.0) -> None:
        super().__init__()
        if not 0 < factor <= e:
            raise ValueError(f"factor={factor}: allowed are numbers above 0, to e={e}")
        self.d, self.e, self.factor = d, e, factor
        self.scorer = Router(d, e, 1)

    def forward(self, x: Float[Tensor, "n d"]) -> Routing:
        """Let the experts pick; all n tokens compete."""
        logits = self.scorer.logits(x)
        scores = logits.softmax(-1)
        capacity = capacity_of(len(x), self.e, 1, self.factor)
        picked = expert_choice(scores, capacity)
        every = torch.arange(self.e, device=x.device).expand_as(picked)
        return Routing(
            experts=every.masked_fill(~picked, NO_EXPERT),
            weights=(scores * picked).to(x.dtype),
            scores=scores,
            logits=logits,
        )
