"""Ranking metrics (nDCG, MRR, recall at k): how near the top the right documents stand.

Symbols: q queries, n documents, k how far down one looks. Scores [q n] are put in order
once; every metric is then a function of the gains in that order, one number a query, so
that an interval can be put on its mean (`evaluate.intervals`). The gain of a document
is 0 if it does not answer the query.

    scores   0.2  0.9  0.5        order    b  c  a
    gains    1    0    1          ranked   0  1  1
    reciprocal rank 1/2     recall at 2: 1/2
    nDCG at 3: (1/log2 3 + 1/log2 4) / (1/log2 2 + 1/log2 3)

Ties are broken against the model: of equal scores the document with the smaller gain
stands first. So a model that gives every document the same score finds nothing.

Terms:
    nDCG, normalised discounted cumulative gain: gains of the ranked documents,
        discounted by log2 of the rank, over the best possible sum -> ndcg_at
    MRR, reciprocal rank, mean reciprocal rank: 1 over the rank of the first right
        document -> reciprocal_rank
    recall at k: the share of the right documents among the first k -> recall_at
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def ranked_gains(
    scores: Float[Tensor, "q n"], gains: Float[Tensor, "q n"]
) -> Float[Tensor, "q n"]:
    """Put the gains of each query in the order of its scores, highest first.

    Raises:
        ValueError: the shapes differ, a score is not a number, a gain is negative, or a
        query has no gain.

    >>> scores, gains = torch.tensor([[0.2, 0.9, 0.5]]), torch.tensor([[1.0, 0.0, 2.0]])
    >>> ranked_gains(scores, gains).tolist()
    [[0.0, 2.0, 1.0]]
    """
    if scores.shape != gains.shape:
        raise ValueError(
            f"scores has shape {tuple(scores.shape)}: allowed is that of gains, "
            f"{tuple(gains.shape)}"
        )
    if bool(scores.isnan().any()):
        raise ValueError("scores has a NaN: allowed are numbers")
    if (
        bad := ((gains < 0).any(dim=1) | ~(gains > 0).any(dim=1))
        .nonzero()
        .flatten()
        .tolist()
    ):
        raise ValueError(
            f"gains of query {bad[0]} are {gains[bad[0]].tolist()}: "
            "allowed are numbers from 0, above 0 for one document or more"
        )
    low_first = gains.argsort(dim=1, stable=True)
    order = scores.gather(1, low_first).argsort(dim=1, descending=True, stable=True)
    return gains.gather(1, low_first).gather(1, order)


def one_relevant(index: Int[Tensor, " q"], documents: int) -> Float[Tensor, "q n"]:
    """Gains for queries with one right document each: 1 at `index`, 0 elsewhere.

    Raises:
        ValueError: an index is below 0 or not below `documents`.

    >>> one_relevant(torch.tensor([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if bool(((index < 0) | (index >= documents)).any()):
        raise ValueError(f"index={index.tolist()}: allowed are 0 to {documents - 1}")
    return torch.nn.functional.one_hot(index, documents).double()


def reciprocal_rank(ranked: Float[Tensor, "q n"]) -> Float[Tensor, " q"]:
    """One over the rank of the first document with a gain. Its mean over queries is the
    MRR.

    *Source*: Voorhees 1999, TREC-8 question answering track.

    >>> reciprocal_rank(torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])).tolist()
    [0.5, 1.0]
    """
    first = (ranked > 0).int().argmax(dim=1)
    return 1 / (first + 1).double()


def recall_at(ranked: Float[Tensor, "q n"], k: int) -> Float[Tensor, " q"]:
    """Share of the documents with a gain that stand among the first k.

    Raises:
        ValueError: `k` is below 1.

    >>> recall_at(torch.tensor([[0.0, 1.0, 1.0]]), 2).tolist()
    [0.5]
    """
    relevant = (ranked > 0).double()
    return relevant[:, : _checked(k)].sum(dim=1) / relevant.sum(dim=1)


def ndcg_at(ranked: Float[Tensor, "q n"], k: int) -> Float[Tensor, " q"]:
    """Discounted gain of the first k, over that of the best order.

    *Equation*: DCG = sum over ranks r = 1 .. k of gain_r / log2(r + 1); nDCG = DCG /
        DCG of the best order.

    Raises:
        ValueError: `k` is below 1.

    *Source*: Järvelin and Kekäläinen 2002, with the discount of Burges et al. 2005;
    gains enter as they are, not as 2^gain - 1.

    >>> round(ndcg_at(torch.tensor([[0.0, 1.0, 1.0]]), 3).item(), 4)
    0.6934
    """
    best = ranked.sort(dim=1, descending=True).values
    return _dcg(ranked, _checked(k)) / _dcg(best, k)


def _dcg(ranked: Tensor, k: int) -> Tensor:
    kept = ranked[:, :k].double()
    return (kept / torch.arange(2, kept.shape[1] + 2, dtype=torch.float64).log2()).sum(
        dim=1
    )


def _checked(k: int) -> int:
    if k < 1:
        raise ValueError(f"k={k}: allowed are whole numbers from 1")
    return k
