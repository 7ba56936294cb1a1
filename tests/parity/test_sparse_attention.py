"""Longformer, LED, LongT5 and BigBird: their layers with copied weights, in float64, at odd lengths too."""

from importlib import import_module

import pytest
import torch
import transformers
from torch import nn

from course_lib.layers.attention.block_sparse import big_bird_blocks, block_sparse_attention
from course_lib.layers.attention.hierarchical import TransientGlobalAttention
from course_lib.layers.attention.longformer import LongformerAttention
from course_lib.layers.attention.sliding_window import local_window_attention
from course_lib.layers.positions.bias import RelativeBias

from .against_transformers import in_float64

D, HEADS = 12, 3
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def modeling(kind):
    return import_module(f"transformers.models.{kind}.modeling_{kind}")


def randomised(block):
    for tensor in block.parameters():
        nn.init.normal_(tensor, std=0.5)
    return block.double().eval()


def copied(ours, **linears):
    """Put the weights of their layers into ours, all of them."""
    ours = ours.double()
    own = {name for name, part in ours.named_modules() if list(part.parameters(recurse=False))}
    assert own == {name.replace("__", ".") for name in linears}
    for name, theirs in linears.items():
        ours.get_submodule(name.replace("__", ".")).load_state_dict(theirs.state_dict())
    return ours


def with_gradient(form, x):
    x = x.clone().requires_grad_()
    y = form(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


def longformer(kind="longformer"):
    if kind == "longformer":
        config = transformers.LongformerConfig(
            hidden_size=D, num_attention_heads=HEADS, attention_window=[4], num_hidden_layers=1
        )
        theirs = randomised(modeling(kind).LongformerSelfAttention(config, 0))
    else:
        config = transformers.LEDConfig(
            d_model=D,
            encoder_attention_heads=HEADS,
            attention_window=[4],
            encoder_layers=1,
            decoder_layers=1,
        )
        theirs = randomised(modeling(kind).LEDEncoderSelfAttention(config, 0))
    ours = copied(
        LongformerAttention(D, HEADS, D // HEADS, distance=2),
        wq=theirs.query,
        wk=theirs.key,
        wv=theirs.value,
        wq_global=theirs.query_global,
        wk_global=theirs.key_global,
        wv_global=theirs.value_global,
        wo=nn.Linear(D, D).double(),
    )
    return theirs, ours


@pytest.mark.parametrize("kind", ["longformer", "led"])
@pytest.mark.parametrize("real", [16, 13])
@pytest.mark.parametrize("chosen", [[[0], [0]], [[0, 7, 8], [3]], [[], []]])
def test_longformer_with_its_own_global_projections(kind, real, chosen):
    theirs, ours = longformer(kind)
    x = torch.randn(2, 16, D, dtype=torch.float64)  # their chunks need a multiple of the window
    state = torch.zeros(2, 16)
    for row, places in enumerate(chosen):
        state[row, places] = 10_000.0
    state[:, real:] = -10_000.0
    flags = {"is_index_masked": state < 0, "is_index_global_attn": state > 0}

    def expected(x):
        with in_float64(modeling(kind)):
            found = theirs(x, attention_mask=state, is_global_attn=bool((state > 0).any()), **flags)
        return found[0][:, :real]

    positions = torch.arange(real).expand(2, -1)

    def found(x):
        return ours.heads_of(x[:, :real], positions, state[:, :real] > 0).flatten(2)

    for mine, other in zip(with_gradient(found, x), with_gradient(expected, x), strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


@pytest.mark.parametrize("n", [5, 16, 23])
@pytest.mark.parametrize("form", ["local", "transient-global"])
def test_longt5_in_both_forms(form, n):
    config = transformers.LongT5Config(
        d_model=D,
        d_kv=4,
        num_heads=HEADS,
        local_radius=3,
        global_block_size=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        is_decoder=False,
    )
    module = modeling("longt5")
    name = {"local": "LongT5LocalAttention", "transient-global": "LongT5TransientGlobalAttention"}[form]
    theirs = randomised(getattr(module, name)(config, has_relative_attention_bias=True))
    mask = torch.ones(2, n, dtype=torch.float64)
    mask[1, n - 2 :] = 0
    positions = torch.where(mask > 0, torch.arange(n), -1)
    tables = [RelativeBias(HEADS, buckets=8, max_distance=6) for _ in range(2)]
    layer = TransientGlobalAttention(
        D, HEADS, 4, distance=3, size=4, local_bias=tables[0], summary_bias=tables[1]
    )
    shared = {"wq": theirs.q, "wk": theirs.k, "wv": theirs.v, "wo": theirs.o}
    shared["local_bias__table"] = theirs.relative_attention_bias
    unused = nn.Embedding(8, HEADS), nn.LayerNorm(D, bias=False)
    shared["summary_bias__table"] = getattr(theirs, "global_relative_attention_bias", unused[0])
    shared["summary_norm"] = getattr(theirs, "global_input_layer_norm", unused[1])
    ours = copied(layer, **shared)

    def expected(x):
        with in_float64(module):
            if form == "local":
                local = module._get_local_attention_mask(mask, 4, x.device)
                return theirs(x, mask=local)[0]
            return theirs(x, mask=mask)[0]

    def found(x):
        if form == "transient-global":
            return ours(x, positions)
        parts = ours.queries(x), ours.keys(x), ours.values(x), positions
        y = local_window_attention(*parts, distance=3, position_bias=tables[0], scale=1.0)
        return ours.wo(y.flatten(2))

    x = torch.randn(2, n, D, dtype=torch.float64)
    real = (mask > 0)[..., None]  # what stands at padding is left to chance
    mine = with_gradient(lambda x: found(x) * real, x)
    other = with_gradient(lambda x: expected(x) * real, x)
    torch.testing.assert_close(mine, other, **CLOSE)


def big_bird(blocks, random, seed=1):
    config = transformers.BigBirdConfig(
        hidden_size=D, num_attention_heads=HEADS, block_size=2, num_random_blocks=random
    )
    module = modeling("big_bird")
    theirs = randomised(module.BigBirdBlockSparseAttention(config, seed=seed))
    mask = torch.ones(2, 2 * blocks, dtype=torch.float64)
    blocked, band, from_mask, to_mask = module.BigBirdModel.create_masks_for_block_sparse_attn(mask, 2)
    options = {"band_mask": band, "from_mask": from_mask, "to_mask": to_mask}
    options |= {"from_blocked_mask": blocked, "to_blocked_mask": blocked}

    def expected(x):
        with in_float64(module):
            return theirs(x, **options)[0]

    def found(x, lists):
        parts = [layer(x).unflatten(-1, (HEADS, -1)) for layer in (theirs.query, theirs.key, theirs.value)]
        return block_sparse_attention(*parts, lists, size=2).flatten(2)

    return theirs, expected, found


def test_big_bird_in_eval_takes_the_first_block_for_every_random_one():
    """So its keys count once more for each: with copied lists the layers are equal."""
    _, expected, found = big_bird(12, random=2)
    x = torch.randn(2, 24, D, dtype=torch.float64)
    lists = big_bird_blocks(12, random=0, seed=0)
    lists = torch.cat((lists, torch.zeros(12, 2, dtype=torch.long)), 1)
    lists[0, -2:] = lists[-1, -2:] = -1
    for mine, other in zip(
        with_gradient(lambda x: found(x, lists), x), with_gradient(expected, x), strict=True
    ):
        torch.testing.assert_close(mine, other, **CLOSE)
    without = found(x, big_bird_blocks(12, random=0, seed=0))
    assert (without - expected(x)).abs().max() > 1e-3


def test_big_bird_in_training_with_the_blocks_that_it_drew():
    theirs, expected, found = big_bird(12, random=2, seed=4)
    theirs.train()
    theirs.dropout = 0.0
    drawn = []
    draw = theirs._bigbird_block_rand_mask_with_head

    def watched(*args, **kwargs):
        drawn.append(draw(*args, **kwargs))
        return drawn[-1]

    theirs._bigbird_block_rand_mask_with_head = watched
    x = torch.randn(2, 24, D, dtype=torch.float64)
    y = expected(x)
    per_head = torch.as_tensor(drawn[0][0]), torch.as_tensor(drawn[0][1]), torch.as_tensor(drawn[0][2])
    for head, rows in enumerate(per_head):
        lists = big_bird_blocks(12, random=0, seed=0)
        extra = torch.full((12, rows.shape[1]), -1)
        extra[1:-1] = rows.long()
        ours = found(x, torch.cat((lists, extra), 1))
        width = D // HEADS
        mine, other = (part[..., head * width : (head + 1) * width] for part in (ours, y))
        torch.testing.assert_close(mine, other, **CLOSE)
