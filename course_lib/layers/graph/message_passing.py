"""Message passing on a graph is attention under a mask: a node attends to the nodes
that have an edge to it.

Symbols: n nodes, e edges (source j, target i), h heads, k head width, d node width.

    GAT               a_ij = softmax over j of leaky(a_src . W x_j + a_dst . W x_i)
                      y_i  = sum of a_ij W x_j
    TransformerConv   a_ij = softmax over j of (q_i . k_j) / sqrt(k)
                      y_i  = sum of a_ij v_j + W_skip x_i

Over edges the softmax is a sum into each target, which costs e; as a dense matrix it is
masked attention, which costs n^2. A graph in which each node has edges from itself and
all before it is a causal Transformer; one with all edges is an encoder.

Terms:
    message passing, graph neural network, GNN: each node sums what its neighbours
        send, along edges -> edge_softmax, summed_at
    GAT, graph attention network: weights of neighbours from one number of each end of
        an edge -> GraphAttention
    graph Transformer, TransformerConv: scaled dot-product attention along edges ->
        TransformerConv
    adjacency mask: which node attends to which, as a mask -> adjacency
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.layers.attention.forms import attend

Nodes = Float[Tensor, "n d"]
Edges = Int[Tensor, "2 e"]


def adjacency(edges: Edges, nodes: int) -> Bool[Tensor, "n n"]:
    """True at [i, j] where there is an edge from j to i.

    >>> adjacency(torch.tensor([[0, 1], [1, 1]]), 2).int().tolist()
    [[0, 0], [1, 1]]
    """
    mask = torch.zeros(nodes, nodes, dtype=torch.bool, device=edges.device)
    mask[edges[1], edges[0]] = True
    return mask


def edge_softmax(
    scores: Float[Tensor, "e h"], targets: Int[Tensor, " e"], nodes: int
) -> Float[Tensor, "e h"]:
    """Softmax over the edges that end at one node.

    >>> edge_softmax(torch.zeros(3, 1), torch.tensor([0, 0, 1]), 2).flatten()
    tensor([0.5000, 0.5000, 1.0000])
    """
    index = targets[:, None].expand_as(scores)
    low = scores.new_full((nodes, scores.shape[1]), float("-inf"))
    highest = low.scatter_reduce(0, index, scores.detach(), "amax")
    weights = (scores - highest[targets]).exp()
    return weights / summed_at(weights, targets, nodes)[targets]


def summed_at(
    messages: Float[Tensor, "e *shape"], targets: Int[Tensor, " e"], nodes: int
) -> Float[Tensor, "n *shape"]:
    """What arrives at each node: the sum of the messages on its edges; zero without
    one.
    """
    return messages.new_zeros(nodes, *messages.shape[1:]).index_add(
        0, targets, messages
    )


class GraphAttention(nn.Module):
    """A graph attention layer, along edges.

    *Equation*: GAT's, in this module's header; heads side by side, then a bias.

    Args:
        d: of the nodes. heads, head_dim: h and k; h k numbers come out.
        slope: of the leaky ReLU below 0.

    *Cost*: d h k + 3 h k parameters; e h (k + 2) multiply-adds, and n d h k.
    *Source*: Velickovic et al. 2018, section 2.1, arXiv:1710.10903.
    *Differs from source*: no edges are added; GAT's own adds one from each node to
        itself.

    >>> edges = torch.tensor([[0, 1, 2], [1, 1, 0]])
    >>> GraphAttention(4, heads=2, head_dim=3)(torch.zeros(3, 4), edges).shape
    torch.Size([3, 6])
    """

    def __init__(self, d: int, heads: int, head_dim: int, slope: float = 0.2) -> None:
        super().__init__()
        self.heads, self.slope = heads, slope
        self.weights = nn.Linear(d, heads * head_dim, bias=False)
        self.source = nn.Parameter(torch.randn(heads, head_dim) * head_dim**-0.5)
        self.target = nn.Parameter(torch.randn(heads, head_dim) * head_dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(heads * head_dim))

    def forward(self, x: Nodes, edges: Edges) -> Float[Tensor, "n out"]:
        sources, targets = edges
        z, sends, takes = self.parts(x)
        scores = F.leaky_relu(sends[sources] + takes[targets], self.slope)
        weights = edge_softmax(scores, targets, len(x))
        y = summed_at(weights[..., None] * z[sources], targets, len(x))
        return y.flatten(1) + self.bias

    def dense(self, x: Nodes, mask: Bool[Tensor, "n n"]) -> Float[Tensor, "n out"]:
        """The same as one masked softmax over all pairs of nodes."""
        z, sends, takes = self.parts(x)
        scores = F.leaky_relu(takes[:, None] + sends[None], self.slope)  # [i j h]
        absent = ~mask[..., None]
        low = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(absent, low).softmax(1).masked_fill(absent, 0.0)
        return torch.einsum("ijh,jhk->ihk", weights, z).flatten(1) + self.bias

    def parts(self, x: Nodes) -> tuple[Tensor, Tensor, Tensor]:
        """W x by heads, and the number of each head at both ends of an edge."""
        z = self.weights(x).unflatten(-1, (self.heads, -1))
        return z, (z * self.source).sum(-1), (z * self.target).sum(-1)


class TransformerConv(nn.Module):
    """Scaled dot-product attention along edges, and a way past it.

    *Equation*: TransformerConv's, in this module's header.

    Args:
        d: of the nodes. heads, head_dim: h and k; h k numbers come out.

    *Cost*: 4 d h k + 4 h k parameters; 2 e h k multiply-adds.
    *Source*: Shi et al. 2020, section 3.1, arXiv:2009.03509; `TransformerConv` of
        PyTorch Geometric 2.8.

    >>> edges = torch.tensor([[0, 1, 2], [1, 1, 0]])
    >>> TransformerConv(4, heads=2, head_dim=3)(torch.zeros(3, 4), edges).shape
    torch.Size([3, 6])
    """

    def __init__(self, d: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, width = heads, heads * head_dim
        self.wq, self.wk, self.wv = (nn.Linear(d, width) for _ in range(3))
        self.skip = nn.Linear(d, width)

    def forward(self, x: Nodes, edges: Edges) -> Float[Tensor, "n out"]:
        sources, targets = edges
        q, k, v = self.qkv(x)
        scores = (q[targets] * k[sources]).sum(-1) * q.shape[-1] ** -0.5
        weights = edge_softmax(scores, targets, len(x))
        y = summed_at(weights[..., None] * v[sources], targets, len(x))
        return y.flatten(1) + self.skip(x)

    def dense(self, x: Nodes, mask: Bool[Tensor, "n n"]) -> Float[Tensor, "n out"]:
        """The same by `attend`, the attention of every other chapter, under a mask."""
        q, k, v = (part[None] for part in self.qkv(x))
        y, _ = attend(q, k, v, mask[None])
        return y[0].flatten(1) + self.skip(x)

    def qkv(self, x: Nodes) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by heads."""
        each = (self.wq, self.wk, self.wv)
        q, k, v = (matrix(x).unflatten(-1, (self.heads, -1)) for matrix in each)
        return q, k, v
