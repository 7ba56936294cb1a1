"""Clusters of tokens, each with a linear map of its own: a task that needs experts.

Symbols: n tokens, d width, c clusters.

    x = centre of its cluster + noise,    target = map of its cluster times the noise

One linear map for all clusters explains little, and where a token comes from can be
seen on x. A popularity [c] says how often each cluster is met, and changing it is a
change of traffic. Errors are shares of the target's mean square: 1 is what predicting
zero gives.

Terms:
    clusters with own maps, synthetic task for experts: tokens whose target depends on
        the cluster that they come from -> Clusters
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor


class Clusters:
    """The clusters of a seed, and batches drawn from them.

    Args:
        seed: of centres, maps and batches.
        clusters, d: how many, and how wide a token is.

    >>> world = Clusters(0)
    >>> x, y = world.batch(torch.ones(16), 5)
    >>> x.shape, y.shape
    (torch.Size([5, 16]), torch.Size([5, 16]))
    """

    def __init__(self, seed: int, clusters: int = 16, d: int = 16) -> None:
        self.draw = Generator().manual_seed(seed)
        start = torch.randn(clusters, d, generator=self.draw)
        self.centres = 4 * F.normalize(start, dim=-1)
        self.maps = torch.randn(clusters, d, d, generator=self.draw) / d**0.5

    def batch(
        self, popularity: Float[Tensor, " c"], tokens: int = 256
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Tokens and their targets, the next ones of the seed's stream."""
        own = torch.multinomial(popularity, tokens, True, generator=self.draw)
        apart = torch.randn(tokens, self.centres.shape[1], generator=self.draw)
        target = torch.einsum("nij,nj->ni", self.maps[own], apart)
        return self.centres[own] + apart, target


def relative_error(
    made: Float[Tensor, "n d"], target: Float[Tensor, "n d"]
) -> Float[Tensor, ""]:
    """Mean square of what is missed, over that of the target."""
    return (made - target).square().mean() / target.square().mean()
