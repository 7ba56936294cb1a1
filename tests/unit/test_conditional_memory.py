"""Hashed n-gram tables, Engram and per-layer embeddings against their definitions."""

import pytest
import torch
from torch import nn

from course_lib.layers.feed_forward.ngram_memory import (
    Engram,
    MemoryBlock,
    NGramTable,
    causal_conv,
    ngram_hash,
    ngram_hash_naive,
)
from course_lib.layers.feed_forward.per_layer_embedding import PerLayerEmbedding, PerLayerGate
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
VOCAB, PAD, D = 30, 7, 6


def table(**options):
    return NGramTable(VOCAB, **({"rows": 40, "width": 3, "n": 4, "heads": 2, "pad": PAD} | options))


@pytest.mark.parametrize("pads", [False, True])
def test_addresses_are_those_of_the_definition(pads):
    memory, tokens = table(), torch.randint(VOCAB, (3, 17))
    if pads:
        tokens[:, [0, 5, 6]] = PAD
    found = ngram_hash(tokens, memory.multipliers, memory.sizes, PAD)
    facts = memory.multipliers.tolist(), memory.sizes.tolist(), PAD
    assert found.tolist() == [ngram_hash_naive(row, *facts) for row in tokens.tolist()]
    assert (found >= 0).all() and (found < memory.sizes.flatten()).all()


def test_products_stay_below_the_sign_bit_and_multipliers_are_odd():
    multipliers = NGramTable(129280, 10, 1, n=5).multipliers
    assert all(0 < m * 129279 < 2**63 and m % 2 for m in multipliers.tolist())


def test_an_n_gram_hangs_on_its_last_tokens_alone_and_stops_at_a_boundary():
    memory, tokens = table(), torch.randint(8, VOCAB, (1, 9))
    earlier, later = tokens.clone(), tokens.clone()
    earlier[0, 3] += 1 - 2 * (earlier[0, 3] == VOCAB - 1)
    later[0, 8] = 1
    rows, (one, other) = memory(tokens), (memory(earlier), memory(later))
    assert torch.equal(one[:, 7:], rows[:, 7:]) and not torch.equal(one[:, 6], rows[:, 6])
    assert torch.equal(other[:, :8], rows[:, :8])
    cut, alone = tokens.clone(), tokens[:, 5:]
    cut[0, 4] = PAD
    assert torch.equal(memory(cut)[:, 5:], memory(alone))


def test_heads_have_rows_of_their_own():
    memory = table()
    sizes = memory.sizes.flatten()
    assert len(set(sizes.tolist())) == 6 and memory.table.weight.shape == (sizes.sum(), 3)
    assert all(size > 40 and all(size % d for d in range(2, size)) for size in sizes.tolist())
    assert memory.starts.tolist() == [sum(sizes[:i].tolist()) for i in range(6)]
    tokens = torch.randint(VOCAB, (1, 5))
    found = ngram_hash(tokens, memory.multipliers, memory.sizes, PAD)
    tables = memory.table.weight.split(sizes.tolist())
    rows = [own[addresses] for own, addresses in zip(tables, found.unbind(-1), strict=True)]
    assert torch.equal(memory(tokens), torch.cat(rows, -1))
    assert torch.equal(table(seed=1).sizes, memory.sizes)
    assert not torch.equal(table(seed=1).multipliers, memory.multipliers)


def test_more_heads_tell_apart_what_one_head_takes_for_the_same():
    grams = torch.cartesian_prod(torch.arange(8, VOCAB), torch.arange(8, VOCAB))
    alike = {}
    for heads in (1, 3):
        memory = table(n=2, heads=heads, rows=100)
        found = ngram_hash(grams, memory.multipliers, memory.sizes, PAD)[:, 1]
        alike[heads] = len(found) - len(found.unique(dim=0))
    assert alike[1] >= 484 - 101 and alike[3] == 0


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (4, 3)])
def test_the_convolution_is_that_of_torch(kernel, dilation):
    x, weight = torch.randn(2, 11, D).double(), torch.randn(D, kernel).double()
    conv = nn.Conv1d(D, D, kernel, groups=D, bias=False, dilation=dilation).double()
    conv.weight.data = weight[:, None]
    padded = nn.functional.pad(x.mT, ((kernel - 1) * dilation, 0))
    torch.testing.assert_close(causal_conv(x, weight, dilation), conv(padded).mT, **TIGHT)


@pytest.mark.parametrize("kernel", [0, 4])
def test_engram_is_its_equation_and_causal(kernel):
    memory = Engram(D, table(), kernel=kernel).double()
    if kernel:
        memory.conv.data.normal_()
    x, tokens = torch.randn(2, 9, D).double(), torch.randint(VOCAB, (2, 9))
    e = memory.table(tokens)
    key, query = memory.key_norm(memory.key(e)), memory.query_norm(x)
    fit = (key * query).sum(-1, keepdim=True) / D**0.5
    value = torch.sigmoid(fit.sign() * fit.abs().sqrt()) * memory.value(e)
    expected = value
    if kernel:
        expected = value + nn.functional.silu(causal_conv(memory.conv_norm(value), memory.conv, 4))
    y = memory(x, tokens)
    torch.testing.assert_close(y, expected, **TIGHT)
    other, changed = x.clone(), tokens.clone()
    other[:, 6:], changed[:, 6:] = 0.0, 1
    assert torch.equal(memory(other, changed)[:, :6], y[:, :6])
    y.square().sum().backward()
    assert memory.table.table.weight.grad.abs().sum() > 0 and x.grad is None


def test_a_model_with_a_memory_reads_its_tokens_and_leaves_padding_out():
    model = CausalLM(small_llama(width=16, layers=2)).double()
    plain, tokens = model.blocks[1], torch.randint(1, model.spec.vocab, (1, 6))
    without = model(tokens)
    memory = NGramTable(model.spec.vocab, 50, 16, n=2).double()
    for kind in (memory, Engram(16, memory).double()):
        model.blocks[1] = MemoryBlock(plain, kind)
        logits = model(tokens)
        assert not torch.allclose(logits, without)
        padded = torch.cat([torch.full((1, 2), 9), tokens], 1)
        positions = torch.tensor([[-1, -1, 0, 1, 2, 3, 4, 5]])
        torch.testing.assert_close(model(padded, positions)[:, 2:], logits, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="cache"):
        model(tokens, cache=model.make_cache(1, 8))


def test_per_layer_embeddings_are_their_equation():
    embed = PerLayerEmbedding(VOCAB, D, 3, 4).double()
    x, tokens = torch.randn(2, 5, D).double(), torch.randint(VOCAB, (2, 5))
    rows = embed(tokens, x)
    for layer in range(3):
        part = slice(4 * layer, 4 * layer + 4)
        projected = x @ embed.project.weight[part].T / D**0.5
        normed = projected / (projected.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        expected = (normed + 2 * embed.table.weight[tokens][..., part]) / 2**0.5
        torch.testing.assert_close(rows[..., layer, :], expected, **TIGHT)
    gate = PerLayerGate(D, 4, activation="relu").double()
    inner = (x @ gate.gate.weight.T).clamp(min=0) * rows[..., 0, :]
    y = inner @ gate.out.weight.T
    expected = y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(gate(x, rows[..., 0, :]), expected, **TIGHT)


@pytest.mark.parametrize("options", [{"n": 1}, {"heads": 0}, {"rows": 0}, {"width": 0}])
def test_a_table_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        table(**options)
