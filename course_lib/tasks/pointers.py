"""Pointer chasing on a graph: each node points to another one, and the answer is the
colour of the node that is reached from a given one in some steps.

Symbols: b graphs, n nodes, c colours.

    red A -> C    blue B -> C    green C -> A
    two steps from B: B -> C -> A, so the answer is red

What colour a node has does not say where it points, so a model that knows all nodes and
no edge can only guess among the colours that are there.

Terms:
    pointer chasing, multi-hop question: the answer is a fact about a node some edges
        away -> pointer_chasing
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Generator, Tensor


class Pointers(NamedTuple):
    """Graphs with a question each.

    Attributes:
        colours: of the nodes.
        points_to: the node to which each node points, never itself.
        asked: the node to start from.
        steps: how many edges to follow from it.
        answers: the colour of the node that is reached.
    """

    colours: Int[Tensor, "b n"]
    points_to: Int[Tensor, "b n"]
    asked: Int[Tensor, " b"]
    steps: Int[Tensor, " b"]
    answers: Int[Tensor, " b"]


def pointer_chasing(
    graphs: int,
    generator: Generator,
    *,
    nodes: int = 6,
    colours: int = 4,
    most_steps: int = 2,
) -> Pointers:
    """Draw graphs and a question about each, of 1 to `most_steps` steps.

    Raises:
        ValueError: `nodes` or `colours` is below 2, or `most_steps` below 1.

    >>> drawn = pointer_chasing(3, torch.Generator().manual_seed(0))
    >>> drawn.colours.shape, drawn.answers.shape
    (torch.Size([3, 6]), torch.Size([3]))
    """
    if min(nodes, colours) < 2 or most_steps < 1:
        raise ValueError(
            f"nodes={nodes}, colours={colours}, most_steps={most_steps}: allowed are "
            "nodes and colours from 2, most_steps from 1"
        )
    draw = {"generator": generator}
    painted = torch.randint(colours, (graphs, nodes), **draw)
    away = torch.randint(1, nodes, (graphs, nodes), **draw)
    points_to = (torch.arange(nodes) + away) % nodes
    asked = torch.randint(nodes, (graphs,), **draw)
    steps = torch.randint(1, most_steps + 1, (graphs,), **draw)
    rows, reached = torch.arange(graphs), asked
    for step in range(most_steps):
        reached = torch.where(step < steps, points_to[rows, reached], reached)
    return Pointers(painted, points_to, asked, steps, painted[rows, reached])


def edges_of(points_to: Int[Tensor, "b n"]) -> Int[Tensor, "2 e"]:
    """The edges of all graphs as parts of one: a node hears of the node to which it
    points. Node i of graph j has the number j n + i.

    >>> edges_of(torch.tensor([[1, 0], [1, 0]])).tolist()
    [[1, 0, 3, 2], [0, 1, 2, 3]]
    """
    graphs, nodes = points_to.shape
    first = nodes * torch.arange(graphs, device=points_to.device)[:, None]
    targets = torch.arange(graphs * nodes, device=points_to.device)
    return torch.stack([(points_to + first).flatten(), targets])
