"""Message passing equals PyTorch Geometric's layers, and spikes equal snnTorch's."""

import pytest
import snntorch
import torch
from torch_geometric.nn import GATConv
from torch_geometric.nn import TransformerConv as TheirConv

from course_lib.layers.graph.message_passing import GraphAttention, TransformerConv, adjacency
from course_lib.layers.spiking.lif import lif

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def graph(n=7, density=0.4):
    edges = (torch.rand(n, n) < density).nonzero().T.flip(0)
    return torch.randn(n, 5, dtype=torch.float64, requires_grad=True), edges


def same_with_gradients(x, edges, ours, theirs):
    expected = theirs(x, edges)
    for found in (ours(x, edges), ours.dense(x, adjacency(edges, len(x)))):
        torch.testing.assert_close(found, expected, **TOLERANCE)
        one, other = (torch.autograd.grad(y.pow(2).sum(), [x], retain_graph=True) for y in (found, expected))
        torch.testing.assert_close(one, other, **TOLERANCE)


def test_graph_attention_is_pygs_with_gradients():
    x, edges = graph()
    theirs = GATConv(5, 3, heads=2, add_self_loops=False).double()
    ours = GraphAttention(5, 2, 3).double()
    torch.nn.init.normal_(theirs.bias)
    ours.weights.weight.data, ours.bias.data = theirs.lin.weight.data, theirs.bias.data
    ours.source.data, ours.target.data = theirs.att_src.data[0], theirs.att_dst.data[0]
    same_with_gradients(x, edges, ours, theirs)


def test_the_graph_transformer_is_pygs_with_gradients():
    x, edges = graph()
    theirs, ours = TheirConv(5, 3, heads=2).double(), TransformerConv(5, 2, 3).double()
    pairs = (ours.wq, theirs.lin_query), (ours.wk, theirs.lin_key), (ours.wv, theirs.lin_value)
    for mine, own in (*pairs, (ours.skip, theirs.lin_skip)):
        mine.load_state_dict(own.state_dict())
    same_with_gradients(x, edges, ours, theirs)


@pytest.mark.parametrize(("beta", "threshold"), [(0.9, 1.0), (0.5, 0.7), (1.0, 2.0)])
def test_spikes_are_snntorchs_with_the_surrogates_slope(beta, threshold):
    """Their reset is by the membrane before, and they compute in float32."""
    x = 0.8 * torch.randn(3, 40, 6)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    neuron = snntorch.Leaky(beta=beta, threshold=threshold, reset_mechanism="subtract")
    membrane, spikes, membranes = neuron.init_leaky(), [], []
    for step in inputs[0].unbind(1):
        spike, membrane = neuron(step, membrane)
        spikes.append(spike)
        membranes.append(membrane)
    found, kept = lif(inputs[1], beta, threshold)
    assert torch.equal(found, torch.stack(spikes, 1)) and 0.01 < found.mean() < 0.6
    torch.testing.assert_close(kept, torch.stack(membranes, 1), rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(found)
    (torch.stack(spikes, 1) * weights).sum().backward()
    (found * weights).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-5)
