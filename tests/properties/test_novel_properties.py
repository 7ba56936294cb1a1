"""Graphs, spikes, Conformer, block diffusion and byte patches: plain loops, masks, causality, gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.costs import spikes as costs
from course_lib.layers.graph.message_passing import GraphAttention, TransformerConv, adjacency, edge_softmax
from course_lib.layers.masks import CAUSAL
from course_lib.layers.recurrent.linear_attention import linear_attention_recurrent
from course_lib.layers.spiking.lif import SpikingLayer, lif, lif_naive, spike_rate
from course_lib.models.hybrids.byte_patches import (
    BytePatchLM,
    entropy_starts,
    next_byte_entropy,
    patch_numbers,
)
from course_lib.models.hybrids.conformer import ConformerBlock
from course_lib.models.hybrids.graph_prompt import GraphPromptLM
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama
from course_lib.train.block_diffusion import (
    block_causal,
    block_diffusion_logits,
    block_diffusion_loss,
    denoise_block,
    noised,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
VOCAB, MASK = 11, 10


def lm(layers=2, seed=0):
    torch.manual_seed(seed)
    model = CausalLM(small_llama(12, layers=layers, heads=2, kv_heads=1, vocab=VOCAB, tied=False))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return model.double()


# Graphs


def graph(n, density, seed):
    torch.manual_seed(seed)
    edges = (torch.rand(n, n) < density).nonzero().T.flip(0)
    return torch.randn(n, 5, dtype=torch.float64), edges


@pytest.mark.parametrize("kind", [GraphAttention, TransformerConv])
@given(n=st.integers(1, 7), density=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_message_passing_is_masked_attention_with_gradients(kind, n, density, seed):
    x, edges = graph(n, density, seed)
    x.requires_grad_()
    layer = kind(5, 2, 3).double()
    along, dense = layer(x, edges), layer.dense(x, adjacency(edges, n))
    torch.testing.assert_close(along, dense, **CLOSE)
    leaves = [x, *layer.parameters()]
    slopes = [torch.autograd.grad(y.pow(2).sum(), leaves, allow_unused=True) for y in (along, dense)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, **CLOSE)


def test_graph_attention_node_by_node_as_its_paper_writes_it():
    """e_ij = leaky(a^T [W h_i, W h_j]), softmax over the neighbours, a sum: a loop of scalars."""
    x, edges = graph(6, 0.5, 3)
    layer = GraphAttention(5, 2, 3).double()
    found = layer(x, edges)
    z = (x @ layer.weights.weight.T).view(6, 2, 3)
    for i in range(6):
        senders = [j for j, to in edges.T.tolist() if to == i]
        for head in range(2):
            scores = [
                F.leaky_relu(layer.target[head] @ z[i, head] + layer.source[head] @ z[j, head], 0.2)
                for j in senders
            ]
            weights = torch.stack(scores).softmax(0) if senders else []
            total = sum(
                (w * z[j, head] for w, j in zip(weights, senders, strict=True)), torch.zeros(3).double()
            )
            bias = layer.bias.view(2, 3)[head]
            torch.testing.assert_close(found[i].view(2, 3)[head], total + bias, **CLOSE)


def test_transformer_conv_node_by_node_as_its_paper_writes_it():
    x, edges = graph(6, 0.5, 4)
    layer = TransformerConv(5, 2, 3).double()
    found = layer(x, edges)
    q, k, v = ((matrix(x)).view(6, 2, 3) for matrix in (layer.wq, layer.wk, layer.wv))
    for i in range(6):
        senders = [j for j, to in edges.T.tolist() if to == i]
        for head in range(2):
            total = torch.zeros(3).double()
            if senders:
                weights = torch.stack([q[i, head] @ k[j, head] / 3**0.5 for j in senders]).softmax(0)
                total = sum(w * v[j, head] for w, j in zip(weights, senders, strict=True))
            skip = layer.skip(x)[i].view(2, 3)[head]
            torch.testing.assert_close(found[i].view(2, 3)[head], total + skip, **CLOSE)


def test_a_chain_of_all_earlier_nodes_is_a_causal_transformer():
    x = torch.randn(6, 5, dtype=torch.float64)
    pairs = torch.tensor([[j, i] for i in range(6) for j in range(i + 1)]).T
    positions = torch.arange(6)[None]
    assert torch.equal(adjacency(pairs, 6)[None], CAUSAL.mask(positions, positions))
    layer = TransformerConv(5, 2, 3).double()
    changed = x.clone()
    changed[4] += 1
    before, after = layer(x, pairs), layer(changed, pairs)
    torch.testing.assert_close(after[:4], before[:4], **CLOSE)
    assert not torch.allclose(after[5], before[5])
    assert edge_softmax(torch.full((2, 1), 1e4), torch.zeros(2, dtype=torch.long), 1).tolist() == [
        [0.5],
        [0.5],
    ]


def test_a_graph_prompt_knows_edges_and_not_the_numbers_of_nodes():
    model = GraphPromptLM(lm(), d=5, prompt=3, heads=2).double()
    (x, edges), tokens = graph(6, 0.4, 5), torch.randint(VOCAB, (2, 7))
    said, order = model(x, edges, tokens), torch.randperm(6)
    torch.testing.assert_close(model(x[order], order.argsort()[edges], tokens), said, **CLOSE)
    assert not torch.allclose(model(x, edges[:, 1:], tokens), said)
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % VOCAB
    torch.testing.assert_close(model(x, edges, changed)[:, :4], said[:, :4], **CLOSE)
    said.pow(2).sum().backward()
    assert model.into.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="prompt=0"):
        GraphPromptLM(lm(), d=5, prompt=0)


def test_many_graphs_at_once_are_one_graph_each():
    model = GraphPromptLM(lm(), d=5, prompt=3, heads=2).double()
    graphs, tokens = [graph(6, 0.4, seed) for seed in range(3)], torch.randint(VOCAB, (3, 7))
    edges = torch.cat([edges + 6 * place for place, (_, edges) in enumerate(graphs)], 1)
    found = model.read_many(torch.stack([x for x, _ in graphs]), edges, tokens)
    for (x, own), text, said in zip(graphs, tokens, found, strict=True):
        torch.testing.assert_close(said[None], model(x, own, text[None]), **CLOSE)


# Spikes


@given(beta=st.floats(0, 1), threshold=st.floats(0.1, 3), scale=st.floats(0.1, 3), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_spikes_are_those_of_one_neuron_in_plain_numbers(beta, threshold, scale, seed):
    torch.manual_seed(seed)
    x = scale * torch.randn(2, 9, 3, dtype=torch.float64)
    spikes, membranes = lif(x, beta, threshold)
    for b in range(2):
        for d in range(3):
            sent, kept = lif_naive(x[b, :, d].tolist(), beta, threshold)
            assert spikes[b, :, d].tolist() == sent
            torch.testing.assert_close(membranes[b, :, d], torch.tensor(kept, dtype=torch.float64), **CLOSE)
    first, kept = lif(x[:, :4], beta, threshold)
    second, _ = lif(x[:, 4:], beta, threshold, membrane=kept[:, -1])
    assert torch.equal(torch.cat([first, second], 1), spikes)


def test_without_a_threshold_a_neuron_is_linear_attention_of_width_one():
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    spikes, membranes = lif(x, 0.8, float("inf"))
    assert not spikes.any()
    one = torch.ones(2, 9, 3, 1, dtype=torch.float64)
    decay = torch.full_like(one, 0.8).log()
    summed, _ = linear_attention_recurrent(one, one, x[..., None], decay)
    torch.testing.assert_close(membranes, summed[..., 0], **CLOSE)


def test_training_goes_through_spikes_by_the_surrogate_and_learns():
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(1, 1, 9).requires_grad_()
    (slope,) = torch.autograd.grad(lif(x, 0.5)[0].sum(), [x])
    torch.testing.assert_close(slope, 1 / (1 + (torch.pi * (x.detach() - 1)) ** 2), **CLOSE)
    layer, inputs = SpikingLayer(4, 3), torch.rand(8, 10, 4)
    before = spike_rate(layer(inputs))
    optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
    for _ in range(20):
        optimiser.zero_grad()
        (layer(inputs).mean() - 0.5).square().backward()
        optimiser.step()
    after = spike_rate(layer(inputs))
    assert abs(after - 0.5) < abs(before - 0.5) and abs(after - 0.5) < 0.1
    with pytest.raises(ValueError, match="beta=2"):
        SpikingLayer(4, 3, beta=2)


def test_events_are_counted_as_the_formula_says():
    layer = SpikingLayer(6, 5)
    spikes = (torch.rand(1, 7, 6) < 0.3).float()
    by_hand = sum(5 for _ in spikes.flatten().nonzero())  # an addition in each neuron for each event
    assert costs.synaptic_operations(6, 5, 7, spike_rate(spikes)) == pytest.approx(by_hand)
    assert layer(spikes).shape == (1, 7, 5)
    rate = costs.break_even_rate(100, 4, addition_cost=0.2, mac_cost=1.0)
    spiking = 0.2 * (costs.synaptic_operations(100, 9, 4, rate) + costs.neuron_operations(9, 4))
    assert spiking == pytest.approx(costs.dense_macs(100, 9))
    with pytest.raises(ValueError, match="rate"):
        costs.synaptic_operations(1, 1, 1, -0.1)


# Conformer


def test_a_conformer_convolves_nearby_and_attends_to_all():
    block = ConformerBlock(8, 2, 16, 3).double().eval()
    x, places = torch.randn(1, 9, 8, dtype=torch.float64), torch.arange(9)[None]
    changed = x.clone()
    changed[:, 0, 0] += 1  # a norm would not see the same number added to all
    near = (block.conv(changed) - block.conv(x)).abs().sum(-1)[0]
    assert near.nonzero().flatten().tolist() == [0, 1]
    assert (block(changed, places) - block(x, places)).abs().sum(-1).min() > 0
    with pytest.raises(ValueError, match="width=4"):
        ConformerBlock(8, 2, 16, 4)


# Block diffusion


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_one_pass_over_both_halves_is_block_by_block_with_gradients(block):
    model, tokens = lm(), torch.randint(MASK, (2, 7))
    noisy, _ = noised(tokens, MASK, block)
    together = block_diffusion_logits(model, noisy, tokens, block)
    parts = []
    for start in range(0, 7, block):
        row = torch.cat([tokens[:, :start], noisy[:, start : start + block]], 1)
        parts.append(model(row, mask_mod=block_causal(block))[:, start:])
    alone = torch.cat(parts, 1)
    torch.testing.assert_close(together, alone, **CLOSE)
    weights = [model.blocks[0].mixer.wk.weight, model.embed.tokens.weight]
    slopes = [torch.autograd.grad(y.pow(2).sum(), weights) for y in (together, alone)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_a_block_of_one_is_autoregressive_and_one_of_all_is_masked_diffusion():
    model, tokens = lm(), torch.randint(MASK, (2, 6))
    found = block_diffusion_loss(model, tokens, 1, MASK, level=torch.ones(2, 6, dtype=torch.float64))
    nats = []
    for place in range(6):
        row = torch.cat([tokens[:, :place], torch.full((2, 1), MASK)], 1)
        logits = model(row)[:, -1]
        nats.append(F.cross_entropy(logits, tokens[:, place], reduction="none"))
    torch.testing.assert_close(found, torch.stack(nats).mean(), **CLOSE)
    level = torch.full((2, 1), 0.5, dtype=torch.float64)
    torch.manual_seed(3)
    whole = block_diffusion_loss(model, tokens, 6, MASK, level=level)
    torch.manual_seed(3)
    noisy, _ = noised(tokens, MASK, 6, level=level)
    logits = model(noisy, mask_mod=block_causal(6))
    hidden = noisy == MASK
    expected = F.cross_entropy(logits[hidden], tokens[hidden], reduction="sum") / 0.5 / 12
    torch.testing.assert_close(whole, expected, **CLOSE)


def test_noise_has_its_level_and_later_blocks_are_not_seen():
    tokens = torch.zeros(50, 40, dtype=torch.long)
    level = torch.tensor([0.2, 0.9]).expand(50, 2)
    noisy, each = noised(tokens, MASK, 20, level=level)
    shares = (noisy == MASK).view(50, 2, 20).float().mean((0, 2))
    assert (shares - torch.tensor([0.2, 0.9])).abs().max() < 0.05
    assert torch.equal(each[:, 0], level[:, 0]) and torch.equal(each[:, -1], level[:, 1])
    model, clean = lm(), torch.randint(MASK, (1, 6))
    noisy = torch.full_like(clean, MASK)
    changed = clean.clone()
    changed[:, 2] = (changed[:, 2] + 1) % MASK
    before, after = (block_diffusion_logits(model, noisy, x, 2) for x in (clean, changed))
    torch.testing.assert_close(after[:, :4], before[:, :4], **CLOSE)  # its own block is guessed without it
    assert not torch.allclose(after[:, 4:], before[:, 4:])


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_block_is_written_in_as_many_rounds(rounds):
    model, before = lm(), torch.randint(MASK, (2, 3))
    calls = []
    handle = model.embed.register_forward_hook(lambda *given: calls.append(1))
    row = denoise_block(model, before, 3, MASK, rounds)
    handle.remove()
    assert torch.equal(row[:, :3], before) and not (row == MASK).any() and len(calls) == rounds
    if rounds == 1:
        logits = model(F.pad(before, (0, 3), value=MASK), mask_mod=block_causal(3))[:, 3:, :MASK]
        assert torch.equal(row[:, 3:], logits.argmax(-1))
    with pytest.raises(ValueError, match="block=0"):
        denoise_block(model, before, 0, MASK, 1)


# Byte patches


def patch_lm():
    torch.manual_seed(0)
    model = BytePatchLM(small_llama(12, layers=3, heads=2, vocab=VOCAB, tied=False))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return model.double()


def test_byte_patches_see_nothing_ahead_even_through_the_choice_of_patches():
    model, small = patch_lm(), lm()
    tokens = torch.randint(VOCAB, (1, 9))
    rows, places = tokens.repeat(10, 1), torch.arange(9)
    rows[places + 1, places] = (rows[places + 1, places] + 1) % VOCAB
    limit = next_byte_entropy(small, tokens)[0, 1:].median().item()
    starts = entropy_starts(next_byte_entropy(small, rows), limit)
    assert 1 < starts[0].sum() < 9
    before, *moved = model(rows, starts)
    for place, row in enumerate(moved):
        torch.testing.assert_close(row[:place], before[:place], **CLOSE)
        assert not torch.allclose(row[-1], before[-1], rtol=0, atol=1e-9)


def test_one_patch_of_everything_leaves_the_large_network_out():
    model, tokens = patch_lm(), torch.randint(VOCAB, (2, 6))
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[:, 0] = True
    whole = model(tokens, starts)
    torch.nn.init.normal_(model.globally[0].mixer.wv.weight)
    torch.testing.assert_close(model(tokens, starts), whole, **CLOSE)
    assert not torch.allclose(model(tokens, ~starts | starts), whole)


def test_patches_are_means_by_hand_and_entropy_that_of_the_guess():
    model, small, tokens = patch_lm(), lm(), torch.randint(VOCAB, (1, 5))
    seen = []
    model.globally[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoded = []
    model.encoder[-1].register_forward_hook(lambda _, given, out: encoded.append(out))
    model(tokens, torch.tensor([[True, False, True, False, False]]))
    by_hand = torch.stack([encoded[0][0, :2].mean(0), encoded[0][0, 2:].mean(0)])
    torch.testing.assert_close(seen[0][0], by_hand, **CLOSE)
    p = small(tokens)[0, 1].softmax(-1)
    torch.testing.assert_close(next_byte_entropy(small, tokens)[0, 2], -(p * p.log()).sum(), **CLOSE)
    assert patch_numbers(torch.tensor([[True, True, False]])).tolist() == [[0, 1, 1]]
    with pytest.raises(ValueError, match=r"layers=\(1, 2\)"):
        BytePatchLM(small_llama(12, layers=3, heads=2), (1, 2))
