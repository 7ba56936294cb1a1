"""Transformer-XL's relative positions: the score of a pair has a part for what the key
is and a part for how far back it stands, each with a learned bias.

Symbols: t queries, s keys, the last t of which are the queries' own tokens, h heads, k
head width, d model width; r_n = W_R times a sinusoid of distance n. The paper writes u
and v for the two biases.

    z_ts = (q_t + u) . k_s + (q_t + v) . r_(t - s)

For each query the distances are another run of the same rows: so the products are made
once for all distances, and the rows are shifted against each other.

Terms:
    Transformer-XL positions, relative scores, XLNet: a score from the distance's own
        vector, and two learned biases -> relative_scores, relative_scores_naive
    relative shift: products with all distances, moved so that column s is key s ->
        relative_shift
"""

import torch
from jaxtyping import Float
from torch import Tensor

Queries = Float[Tensor, "b t h k"]
Scores = Float[Tensor, "b h t s"]


def distance_sinusoids(distances: int, d: int) -> Float[Tensor, "distances d"]:
    """Row n: the sines, then the cosines of n / 10000^(2 i / d), i below d / 2.

    *Source*: Vaswani et al. 2017, section 3.5, arXiv:1706.03762, sines first.

    >>> distance_sinusoids(2, 2)
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    places = torch.arange(distances, dtype=torch.get_default_dtype())
    angles = places[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.cat([angles.sin(), angles.cos()], -1)


def relative_scores_naive(
    queries: Queries,
    keys: Float[Tensor, "b s h k"],
    by_distance: Float[Tensor, "s h k"],
    content_bias: Float[Tensor, "h k"],
    place_bias: Float[Tensor, "h k"],
) -> Scores:
    """The equation of this module's header, pair by pair; minus infinity for keys
    ahead. `by_distance`: r_0 to r_(s - 1).

    *Source*: Dai et al. 2019, section 3.3, arXiv:1901.02860.
    """
    t, s = queries.shape[1], keys.shape[1]
    scores = queries.new_full((len(queries), queries.shape[2], t, s), float("-inf"))
    for row in range(t):
        place = s - t + row
        for column in range(place + 1):
            content = (queries[:, row] + content_bias) * keys[:, column]
            back = (queries[:, row] + place_bias) * by_distance[place - column]
            scores[:, :, row, column] = (content + back).sum(-1)
    return scores


def relative_scores(
    queries: Queries,
    keys: Float[Tensor, "b s h k"],
    by_distance: Float[Tensor, "s h k"],
    content_bias: Float[Tensor, "h k"],
    place_bias: Float[Tensor, "h k"],
) -> Scores:
    """The same in two products and a shift; what stands at keys ahead is for the mask
    to hide.

    *Cost*: 4 b h t s k FLOPs, twice those of plain scores.
    """
    content = torch.einsum("bthk,bshk->bhts", queries + content_bias, keys)
    farthest_first = by_distance.flip(0)
    back = torch.einsum("bthk,shk->bhts", queries + place_bias, farthest_first)
    return content + relative_shift(back)


def relative_shift(by_distance: Scores) -> Scores:
    """Move row i of t by t - 1 - i to the left: from columns of distances s - 1 to 0 to
    columns of keys. Done by one column of padding and another reading of the memory.

    *Source*: Dai et al. 2019, appendix B, arXiv:1901.02860.

    >>> relative_shift(torch.tensor([[2, 1, 0], [2, 1, 0]])[None, None].float())[0, 0]
    tensor([[1., 0., 0.],
            [2., 1., 0.]])
    """
    *axes, t, s = by_distance.shape
    padded = torch.cat([torch.zeros_like(by_distance[..., :1]), by_distance], -1)
    return padded.view(*axes, s + 1, t)[..., 1:, :].view(*axes, t, s)
