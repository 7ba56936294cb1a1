"""SparseMixer's router (PhiMoE): two picks in turn, each weighed among the experts that
come close to the best one left.

Symbols: n tokens, e experts, z logits [n e], eps the tolerance.

    m = argmax of the z that are left
    near_i = (z_m - z_i) / max(|z_i|, z_m) <= eps
    w = softmax of z over the near ones, at m

The second weight comes from a softmax of its own, without the first pick. So the
weights of a token do not sum to one, and a pick that no other comes near has weight 1.

Terms:
    SparseMixer: picks in turn, each weighed among the experts near to the best one left
        -> SparseMixer
"""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.feed_forward.router import Picks, Router, Routing, Weights


class SparseMixer(Router):
    """Token choice of k experts in turn, as PhiMoE routes when it is not trained.

    Args:
        d, e, k: as in `Router`.
        tolerance: eps; twice the `router_jitter_noise` of a config.

    Raises:
        ValueError: as in `Router`; the tolerance is not positive.

    *Cost*: that of `Router`.
    *Source*: Liu et al. 2024, arXiv:2409.12136, as `PhimoeTopKRouter` of transformers
        5.23 has it.
    *Differs from source*: in training, too, it picks the best expert and passes the
        gradient of the softmax on. The paper draws the pick there, and estimates the
        gradient.
    """

    def __init__(self, d: int, e: int, k: int = 2, *, tolerance: float = 0.02) -> None:
        super().__init__(d, e, k)
        if not tolerance > 0:
            raise ValueError(f"tolerance={tolerance}: allowed are positive numbers")
        self.tolerance = tolerance

    def forward(self, x: Float[Tensor, "n d"]) -> Routing:
        """Route every token of x."""
        logits = self.logits(x)
        experts, weights = picks_in_turn(logits, self.k, self.tolerance)
        return Routing(experts, weights.to(x.dtype), logits.softmax(-1), logits)


def picks_in_turn(
    logits: Float[Tensor, "n e"], k: int, tolerance: float
) -> tuple[Picks, Weights]:
    """The picks, best first, and their weights.

    >>> picks, weights = picks_in_turn(torch.tensor([[2.0, 2.0, 1.0]]), 2, 0.02)
    >>> picks.tolist(), weights.tolist()
    ([[0, 1]], [[0.5, 1.0]])
    """
    left, experts, weights = logits, [], []
    for _ in range(k):
        best, pick = left.detach().max(-1, keepdim=True)
        short = (best - left.detach()) / logits.detach().abs().clamp_min(best)
        near = left.masked_fill(short > tolerance, float("-inf")).softmax(-1)
        experts.append(pick)
        weights.append(near.gather(-1, pick))
        left = left.scatter(-1, pick, float("-inf"))
    return torch.cat(experts, -1), torch.cat(weights, -1)
