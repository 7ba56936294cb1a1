"""One contract for every cache: reset, reorder (beam search), select; recurrent states beside KV caches."""

import dataclasses

import pytest
import torch
from torch import nn

from course_lib.layers.caches.block_pool import BlockPool
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Cache, LayerCache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.caches.paged import PagedCache
from course_lib.layers.caches.quantised import QuantisedCache
from course_lib.layers.caches.quantised_channels import ChannelCache
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.caches.window import RingCache
from course_lib.layers.positions.numbering import next_positions
from course_lib.models.layer_factory import build_layer_cache
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config

F64 = {"dtype": torch.float64}
KINDS = {
    "contiguous": lambda batch: ContiguousCache(batch, 12, 2, 3, **F64),
    "window": lambda batch: RingCache(batch, 4, 2, 3, **F64),
    "latent": lambda batch: LatentCache(batch, 12, 2, 1, **F64),
    "quantised": lambda batch: QuantisedCache(batch, 12, 2, 3, **F64),
    "by channel": lambda batch: ChannelCache(batch, 12, 2, 3, group=4, **F64),
    "paged": lambda batch: PagedCache(BlockPool(24, 2, 2, 3, **F64), batch),
}


def entries(kind, batch, new, seed):
    torch.manual_seed(seed)
    if kind == "latent":
        x = torch.randn(batch, new, 1, 3, **F64)
        return x, x[..., :2]
    return torch.randn(batch, new, 2, 3, **F64), torch.randn(batch, new, 2, 3, **F64)


def fed(cache, kind, start, new, seed, rows=None):
    """What the cache hands out after `new` more tokens; those of `rows`, in that order."""
    keys, values = entries(kind, 3, new, seed)
    rows = torch.arange(3) if rows is None else rows
    found = cache.update(keys[rows], values[rows], next_positions(start, len(rows), new))
    return [tensor.clone() for tensor in found]


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [[2, 0, 2], [1, 1, 1], [0, 1, 2]])
def test_reordered_rows_go_on_as_if_they_had_always_been_there(kind, rows):
    cache, fresh, rows = KINDS[kind](3), KINDS[kind](3), torch.tensor(rows)
    fed(cache, kind, 0, 5, seed=1)
    cache.reorder(rows)
    fed(fresh, kind, 0, 5, seed=1, rows=rows)
    for step in range(3):  # rows that came from one now write different tokens
        start, seed = 5 + step, 2 + step
        assert same(fed(cache, kind, start, 1, seed), fed(fresh, kind, start, 1, seed))
    assert cache.length == fresh.length == 8 and cache.batch == 3


@pytest.mark.parametrize("kind", KINDS)
def test_selected_rows_go_on_without_the_others(kind):
    cache, fresh, rows = KINDS[kind](3), KINDS[kind](2), torch.tensor([2, 0])
    fed(cache, kind, 0, 5, seed=1)
    before = cache.nbytes
    cache.select(rows)
    fed(fresh, kind, 0, 5, seed=1, rows=rows)
    assert same(fed(cache, kind, 5, 2, 2, rows), fed(fresh, kind, 5, 2, 2, rows))
    assert cache.batch == 2 and cache.nbytes == fresh.nbytes < before + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_that_was_reset_is_as_new(kind):
    cache, fresh = KINDS[kind](3), KINDS[kind](3)
    fed(cache, kind, 0, 7, seed=1)
    cache.reset()
    assert cache.length == 0
    assert same(fed(cache, kind, 0, 3, 2), fed(fresh, kind, 0, 3, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("call", "rows", "message"),
    [
        ("reorder", [0, 1], "rows has 2 numbers"),
        ("reorder", [0, 1, 3], "allowed are one or more of 0 to 2"),
        ("select", [-1], "allowed are one or more of 0 to 2"),
        ("select", [], "allowed are one or more of 0 to 2"),
    ],
)
def test_rows_that_are_not_there_are_refused_and_change_nothing(kind, call, rows, message):
    cache, fresh = KINDS[kind](3), KINDS[kind](3)
    with pytest.raises(ValueError, match=message):
        getattr(cache, call)(torch.tensor(rows, dtype=torch.long))
    assert same(fed(cache, kind, 0, 2, 1), fed(fresh, kind, 0, 2, 1))


def test_paged_rows_share_blocks_until_they_differ():
    pool = BlockPool(24, 2, 2, 3, **F64)
    cache = PagedCache(pool, 3)
    fed(cache, "paged", 0, 5, seed=1)
    held = cache.nbytes
    cache.reorder(torch.tensor([1, 1, 1]))
    assert cache.nbytes * 3 == held and pool.free_blocks == 24 - 3
    fed(cache, "paged", 5, 1, seed=2)  # each copies the last, partly filled block but one
    assert pool.free_blocks == 24 - 5
    cache.reset()
    assert pool.free_blocks == 24


def test_every_kind_keeps_the_contract():
    assert all(isinstance(build(2), LayerCache) for build in KINDS.values())
    state = RecurrentState(2, {"sum": (3,)})
    assert isinstance(state, Cache) and isinstance(ModelCache([state]), Cache)


def test_a_state_takes_whole_updates_only():
    state = RecurrentState(2, {"sum": (3,), "inputs": (1,)}, **F64)
    for wrong, message in (
        ({"sum": torch.ones(2, 3)}, r"tensors=\['sum'\]: allowed are all of \['inputs', 'sum'\]"),
        ({"sum": torch.ones(2, 4), "inputs": torch.ones(2, 1)}, r"sum has shape \(2, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            state.update(1, **wrong)
    assert state.length == 0 and not state["sum"].any()
    with pytest.raises(ValueError, match="shapes is empty"):
        RecurrentState(2, {})


class RunningMix(nn.Module):
    """A small recurrent mixer: h_t = 0.9 h_(t-1) + W x_t, and y_t = h_t; for rows without padding."""

    def __init__(self, width):
        super().__init__()
        self.write = nn.Linear(width, width, bias=False)

    def forward(self, x, positions, cache=None, per_forward=None, mask_mod=None):
        h, out = torch.zeros_like(x[:, 0]) if cache is None else cache["h"], []
        for new in self.write(x).unbind(1):
            h = 0.9 * h + new
            out.append(h)
        if cache is not None:
            cache.update(x.shape[1], h=h)
        return torch.stack(out, dim=1)


SMALL = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": 11,
}


def hybrid(place):
    """A model whose layer `place` is recurrent, and a function that makes its cache."""
    model = CausalLM(spec_from_hf_config(SMALL), std=0.5)
    model.blocks[place].mixer = RunningMix(8)
    model.double().requires_grad_(False)

    def make_cache(batch):
        layers = list(model.make_cache(batch, 9))
        layers[place] = RecurrentState(batch, {"h": (8,)}, **F64)
        return ModelCache(layers)

    return model, make_cache


@pytest.mark.parametrize("place", [0, 1])
def test_a_recurrent_layer_beside_attention_decodes_as_a_full_forward(place):
    model, make_cache = hybrid(place)
    tokens, cache = torch.randint(11, (3, 9)), make_cache(3)
    pieces = torch.cat([model(part, cache=cache) for part in tokens.split([4, 1, 3, 1], 1)], dim=1)
    torch.testing.assert_close(pieces, model(tokens), rtol=1e-10, atol=1e-12)
    assert cache.length == 9
    assert cache.nbytes == 2 * (3 * 9 * 2 * 2 * 4 * 8) + 3 * 8 * 8  # two KV caches, one state


def test_beams_of_a_hybrid_model_are_reordered_in_every_layer():
    model, make_cache = hybrid(0)
    tokens, cache, rows = torch.randint(11, (3, 9)), make_cache(3), torch.tensor([2, 2, 0])
    model(tokens[:, :5], cache=cache)
    cache.reorder(rows)
    moved = torch.cat([tokens[rows, :5], tokens[:, 5:]], dim=1)
    got = torch.cat([model(part, cache=cache) for part in tokens[:, 5:].split(1, 1)], dim=1)
    torch.testing.assert_close(got, model(moved)[:, 5:], rtol=1e-10, atol=1e-12)
    cache.select(torch.tensor([1]))
    cache.reset()
    torch.testing.assert_close(model(tokens[1:2], cache=cache), model(tokens[1:2]), rtol=1e-10, atol=1e-12)


def test_a_mixer_without_a_cache_is_refused_by_name():
    class UnknownSpec:
        pass

    layer = dataclasses.replace(spec_from_hf_config(SMALL).layers[0], mixer=UnknownSpec())
    with pytest.raises(ValueError, match="mixer=UnknownSpec"):
        build_layer_cache(8, layer, 1, 4)
