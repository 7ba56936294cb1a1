"""Attention patterns as graphs: pairs, and how many layers lie between two tokens.

Symbols: n tokens, l layers, W window. In one layer a query takes from the keys that it
attends to, so that in l layers it depends on what lies at most l edges away. The
residual stream carries a token's own vector, 0 edges away.

    full, causal      1 layer between any token and one before it
    window W          ceil(distance / (W - 1)) layers; l layers reach l (W - 1) + 1 back
    a global token    2 layers between any two, through it (without a causal mask)
    random blocks     few: a random graph has short paths

That a path exists says what a token could depend on, not what a trained model will
carry along it.

Terms:
    edges of a pattern, attention graph: pairs of a query and a key it attends to ->
        edges
    hops, shortest path between tokens, diameter of a pattern: the fewest layers from
        one token to another, and the most of any pair -> hops, diameter, mean_hops
    receptive field, reach of a window: what a token can depend on after l layers ->
        receptive_field, window_reach
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def edges(mask: Bool[Tensor, "t s"]) -> int:
    """Pairs that attend: what a kernel has to compute at the least."""
    return int(mask.sum())


def hops(mask: Bool[Tensor, "n n"]) -> Int[Tensor, "n n"]:
    """For each query and token, the fewest layers after which the one depends on the
    other: 0 for itself, -1 for never.

    *Cost*: 2 n^3 FLOPs a layer, for as many layers as the diameter.

    >>> step = torch.ones(3, 3, dtype=torch.bool).tril().triu(-1)  # window 2
    >>> hops(step).tolist()
    [[0, -1, -1], [1, 0, -1], [2, 1, 0]]
    """
    found = torch.eye(len(mask), dtype=torch.bool, device=mask.device)
    fewest, layers = found.long() - 1, 0
    while True:
        layers += 1
        further = (mask.float() @ found.float()) > 0
        new = further & ~found
        if not new.any():
            return fewest
        fewest[new] = layers
        found |= new


def diameter(mask: Bool[Tensor, "n n"]) -> int:
    """The most layers between any two tokens that are connected at all."""
    return int(hops(mask).max())


def mean_hops(mask: Bool[Tensor, "n n"]) -> float:
    """The mean over all pairs of different tokens that are connected; nan if none
    is.
    """
    fewest = hops(mask)
    return float(fewest[fewest > 0].double().mean())


def receptive_field(mask: Bool[Tensor, "n n"], layers: int) -> Int[Tensor, " n"]:
    """How many tokens each token can depend on after `layers` layers, itself among
    them. ValueError: `layers` is below 0.
    """
    if layers < 0:
        raise ValueError(f"layers={layers}: allowed are whole numbers from 0")
    fewest = hops(mask)
    return ((fewest >= 0) & (fewest <= layers)).sum(-1)


def window_reach(window: int, layers: int) -> int:
    """Tokens that the last of many can depend on through `layers` windows of W.

    *Equation*: l (W - 1) + 1: each layer adds the W - 1 keys before the oldest so far.
        Not l W: a query counts itself in each window.

    Raises:
        ValueError: `window` or `layers` is below 1.

    >>> window_reach(4096, 32)
    131041
    """
    for name, number in (("window", window), ("layers", layers)):
        if number < 1:
            raise ValueError(f"{name}={number}: allowed are whole numbers from 1")
    return layers * (window - 1) + 1
