"""Attention of single families: chunks, clips, norms behind RoPE, a temperature; each against its formula."""

from math import log

import pytest
import torch

from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import Attention
from course_lib.layers.attention.variants import VariantAttention, chunk, is_variant
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.window import RingCache
from course_lib.layers.masks import CAUSAL, prefix
from course_lib.layers.positions.rope import Rope, apply_rope
from course_lib.layers.positions.stretch import stretch
from course_lib.models.attention_factory import build_attention
from course_lib.models.layer_factory import build_cross
from course_lib.parallel.split import split_block
from course_lib.specs.records import AttentionSpec, LayerSpec, NormSpec

D, HEADS, GROUPS, WIDTH, TOKENS = 12, 4, 2, 6, 11
PLACES = torch.arange(TOKENS).expand(2, TOKENS)
SIZES = {"heads": HEADS, "kv_heads": GROUPS, "head_dim": WIDTH, "value_dim": WIDTH}
NORM = NormSpec(kind="rmsnorm", eps=1e-6)


def made(kind=VariantAttention, **options):
    torch.manual_seed(0)
    return kind(D, HEADS, GROUPS, WIDTH, **options).double()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, TOKENS, D, generator=torch.Generator().manual_seed(1)).double()


def by_hand(layer, q, k, v, mask):
    y, _ = attend(q, k, v, mask, scale=WIDTH**-0.5)
    return layer.wo(y.flatten(2))


def parts(layer, x):
    return (w(x).unflatten(-1, (-1, WIDTH)) for w in (layer.wq, layer.wk, layer.wv))


def test_clipped_numbers_are_within_the_bound(x):
    layer = made(clip=0.2)
    q, k, v = (part.clamp(-0.2, 0.2) for part in parts(layer, x))
    torch.testing.assert_close(layer(x, PLACES), by_hand(layer, q, k, v, CAUSAL.mask(PLACES, PLACES)))
    assert (layer(x, PLACES) - made(Attention)(x, PLACES)).abs().max() > 1e-3


@pytest.mark.parametrize("norm", ["turned", "length"])
def test_norms_stand_behind_rope(x, norm):
    """With an uneven gain the order matters: before RoPE it would give another result."""
    rope = Rope(dim=WIDTH)
    layer, before = made(qk_norm=norm, rope=rope), made(Attention, qk_norm="head", rope=rope)
    gain = torch.rand(WIDTH).double() + 0.5 if norm == "turned" else torch.ones(WIDTH).double()
    for one in (layer, before) if norm == "turned" else (before,):
        one.q_norm.weight.data, one.k_norm.weight.data = gain, gain
    q, k, v = parts(layer, x)
    cos, sin = rope.tables(PLACES, x.dtype)
    q, k = (apply_rope(one, cos, sin, rope.pairing) for one in (q, k))
    q, k = (one / (one.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain for one in (q, k))
    torch.testing.assert_close(layer(x, PLACES), by_hand(layer, q, k, v, CAUSAL.mask(PLACES, PLACES)))
    differs = (layer(x, PLACES) - before(x, PLACES)).abs().max()
    assert (differs > 1e-4) == (norm == "turned")  # without a gain a turn keeps the length


def test_queries_grow_with_the_position(x):
    layer = made(temperature=(4, 0.5))
    q, k, v = parts(layer, x)
    factor = torch.tensor([1 + 0.5 * log(1 + (p + 1) // 4) for p in range(TOKENS)]).double()
    q = q * factor[None, :, None, None]
    torch.testing.assert_close(layer(x, PLACES), by_hand(layer, q, k, v, CAUSAL.mask(PLACES, PLACES)))
    assert stretch(PLACES[:1, :3], 4, 0.5, torch.float64).flatten().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("size", [1, 4, TOKENS])
def test_a_token_sees_its_own_chunk(x, size):
    layer = made(window=size, chunked=True)
    mask = torch.tensor([[i // size == j // size and j <= i for j in range(TOKENS)] for i in range(TOKENS)])
    torch.testing.assert_close(layer(x, PLACES), by_hand(layer, *parts(layer, x), mask.expand(2, -1, -1)))


@pytest.mark.parametrize("cache", [ContiguousCache(2, TOKENS, GROUPS, WIDTH, dtype=torch.float64),
                                   RingCache(2, 4, GROUPS, WIDTH, dtype=torch.float64)])  # fmt: skip
def test_chunks_step_by_step(x, cache):
    """A ring as long as a chunk is enough."""
    layer = made(window=4, chunked=True, temperature=(3, 0.2), clip=0.9)
    with torch.no_grad():
        steps = [layer(x[:, i:j], PLACES[:, i:j], cache) for i, j in ((0, 5), (5, 6), (6, 9), (9, 11))]
        torch.testing.assert_close(torch.cat(steps, 1), layer(x, PLACES))


def test_a_chunk_holds_on_top_of_another_mask(x):
    mask = chunk(prefix(6), 4).mask(PLACES[:1], PLACES[:1])[0]
    assert mask[0, :8].tolist() == [True] * 4 + [False] * 4  # both ways in the prefix, in its own chunk
    assert chunk(CAUSAL, 4) is chunk(CAUSAL, 4)  # one mask for all layers
    layer = made(window=4, chunked=True)
    changed = x.clone()
    changed[:, 5] += 1
    differs = (layer(x, PLACES, mask_mod=prefix(8)) - layer(changed, PLACES, mask_mod=prefix(8))).abs()
    assert (differs.amax((0, 2)) > 0).tolist() == [False] * 4 + [True] * 4 + [False] * 3


def test_which_class_is_built():
    kinds = {
        Attention: {},
        VariantAttention: {"clip": 1.0},
    }
    for kind, options in kinds.items():
        assert type(build_attention(D, AttentionSpec(**SIZES, **options), NORM, None)) is kind
    for options in ({"qk_norm": "turned"}, {"temperature": (8, 0.1)}, {"window": 4, "chunked": True}):
        assert type(build_attention(D, AttentionSpec(**SIZES, **options), NORM, None)) is VariantAttention
    assert not is_variant("width", clip=None, temperature=None, chunked=False)


def test_what_is_not_built_is_refused():
    with pytest.raises(ValueError, match="chunked=True: a window"):
        made(chunked=True)
    with pytest.raises(ValueError, match="shared_kv=True"):
        build_attention(D, AttentionSpec(**SIZES, shared_kv=True, clip=1.0), NORM, None)
    cross = AttentionSpec(**SIZES, causal=False, clip=1.0)
    layer = LayerSpec(mixer=AttentionSpec(**SIZES), norm=NORM, cross=cross)
    with pytest.raises(ValueError, match="cross: clip"):
        build_cross(D, layer)


def test_tensor_parallelism_refuses_what_it_would_leave_out():
    from course_lib.models.block import Block
    from course_lib.specs.records import FFNSpec

    ffn = FFNSpec(kind="glu", activation="silu", width=8)
    block = Block(D, LayerSpec(mixer=AttentionSpec(**SIZES, clip=1.0), ffn=ffn, norm=NORM))
    with pytest.raises(ValueError, match="VariantAttention"):
        split_block(block, 0, 2)
