"""MLA: the absorbed form is the plain form, the cache changes nothing and holds only the latent."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from course_lib.costs.mixers.latent import latent_decode_flops
from course_lib.layers.attention.latent import LatentAttention
from course_lib.layers.caches.block_pool import BlockPool
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.paged import PagedCache
from course_lib.layers.masks import prefix
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.layers.positions.rope import Rope, apply_rope_naive
from course_lib.specs.records import LatentAttentionSpec, NormSpec, RopeSpec

D, H, R, N, P, V = 10, 3, 7, 5, 4, 6
F64 = {"dtype": torch.float64}


def layer(q_rank=None, seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"kv_rank": R, "nope_dim": N, "rope_dim": P, "value_dim": V, "q_rank": q_rank}
    return LatentAttention(D, H, **sizes, **options).double()


def inputs(batch=2, tokens=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, tokens, D, generator=generator, **F64)
    return x, torch.arange(tokens).expand(batch, -1)


def mla_naive(mla, x, positions, prefix_length=0):
    """The paper's equations, one head and one query at a time."""
    turn = lambda part: part if mla.rope is None else apply_rope_naive(part, positions, mla.rope)  # noqa: E731
    q = mla.wq(x) if hasattr(mla, "wq") else mla.wq_up(mla.q_norm(mla.wq_down(x)))
    q = q.view(*x.shape[:2], H, N + P)
    down = mla.wkv_down(x)
    latent, k_rope = mla.kv_norm(down[..., :R]), turn(down[:, :, None, R:])[:, :, 0]
    up = mla.wkv_up.weight.view(H, N + V, R)
    out = x.new_zeros(*x.shape[:2], H, V)
    for b in range(x.shape[0]):
        for h in range(H):
            q_rope = turn(q[..., N:])[b, :, h]
            for t in range(x.shape[1]):
                if positions[b, t] < 0:
                    continue
                seen = (positions[b] >= 0) & (positions[b] <= max(positions[b, t], prefix_length - 1))
                keys, values = latent[b, seen] @ up[h, :N].T, latent[b, seen] @ up[h, N:].T
                scores = keys @ q[b, t, h, :N] + k_rope[b, seen] @ q_rope[t]
                out[b, t, h] = torch.softmax(scores * (N + P) ** -0.5, dim=0) @ values
    return mla.wo(out.flatten(2))


@pytest.mark.parametrize(("q_rank", "turns"), [(None, True), (8, True), (None, False)])
@pytest.mark.parametrize("absorbed", [False, True])
def test_both_forms_are_the_equations(q_rank, turns, absorbed):
    mla, (x, _) = layer(q_rank, absorbed=absorbed, turns=turns), inputs()
    assert (mla.rope is not None) == turns
    positions = positions_from_padding(torch.tensor([[1] * 9, [0] * 3 + [1] * 6]))
    real = positions >= 0
    assert_close(mla(x, positions)[real], mla_naive(mla, x, positions)[real], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("absorbed", [False, True])
def test_a_mask_of_the_call_takes_the_place_of_the_causal_one(absorbed):
    mla, (x, positions) = layer(absorbed=absorbed), inputs()
    got = mla(x, positions, mask_mod=prefix(4))
    assert_close(got, mla_naive(mla, x, positions, prefix_length=4), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(got[:, 0], mla(x, positions)[:, 0])


@pytest.mark.parametrize("q_rank", [None, 8])
def test_absorbed_equals_plain_with_gradients(q_rank):
    mla, (x, positions) = layer(q_rank), inputs()
    results = []
    for absorbed in (False, True):
        mla.absorbed = absorbed
        given = x.clone().requires_grad_()
        y = mla(given, positions)
        parameters = list(mla.parameters())
        results.append((y, *torch.autograd.grad(y.square().sum(), [given, *parameters])))
    assert len(results[0]) == 2 + len(parameters)
    for plain, absorbed in zip(*results, strict=True):
        assert_close(absorbed, plain, rtol=1e-10, atol=1e-12)


CACHES = {
    "latent": lambda: LatentCache(2, 9, R, P, **F64),
    "contiguous": lambda: ContiguousCache(2, 9, 1, R + P, R, **F64),
    "paged": lambda: PagedCache(BlockPool(8, 3, 1, R + P, R, **F64), batch=2),
}


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("absorbed", [False, True])
def test_cached_equals_uncached(cache, absorbed):
    mla, (x, positions) = layer(8, absorbed=absorbed), inputs()
    held = CACHES[cache]()
    with torch.no_grad():
        chunks = zip(x.split([4, 1, 3, 1], 1), positions.split([4, 1, 3, 1], 1), strict=True)
        pieces = torch.cat([mla(part, where, held) for part, where in chunks], dim=1)
        assert_close(pieces, mla(x, positions), rtol=1e-10, atol=1e-12)


def test_a_token_does_not_see_later_ones():
    mla, (x, positions) = layer(), inputs()
    changed = x.clone()
    changed[:, 5:] += 1.0
    before, after = mla(x, positions), mla(changed, positions)
    assert torch.equal(before[:, :5], after[:, :5]) and not torch.allclose(before[:, 5:], after[:, 5:])


def test_the_cache_holds_r_plus_p_numbers_a_token():
    cache = LatentCache(2, 9, R, P, **F64)
    assert isinstance(cache, LayerCache) and cache.nbytes == 2 * 9 * (R + P) * 8
    floats = [held for held in vars(cache).values() if torch.is_tensor(held) and held.is_floating_point()]
    assert sum(held.nbytes for held in floats) == cache.nbytes
    entries = torch.randn(2, 9, 1, R + P, **F64)
    keys, values, positions = cache.update(entries, entries[..., :R], torch.arange(9).expand(2, -1))
    assert torch.equal(keys, entries) and positions[1].tolist() == list(range(9))
    assert values.data_ptr() == keys.data_ptr() and values.shape == (2, 9, 1, R)


def test_deepseek_bytes_per_token():
    one = LatentCache(1, 1, 512, 64, dtype=torch.bfloat16)
    assert one.nbytes == 576 * 2
    assert 61 * one.nbytes == 70_272  # DeepSeek-V3, 61 layers
    full = ContiguousCache(1, 1, 128, 128 + 64, 128, dtype=torch.bfloat16)
    assert full.nbytes == 40_960 * 2


def test_flops_of_a_step_are_what_torch_counts():
    spec = LatentAttentionSpec(
        heads=H, q_rank=None, kv_rank=R, nope_dim=N, rope_dim=P, value_dim=V,
        rope=RopeSpec(theta=1e4, dim=P, pairing="interleaved"), norm=NormSpec(kind="rmsnorm", eps=1e-6),
    )  # fmt: skip
    context = 9
    x, positions = inputs(batch=1, tokens=context)
    predicted = latent_decode_flops(spec, context)
    for form in ("plain", "absorbed"):
        mla, cache = layer(absorbed=form == "absorbed"), LatentCache(1, context, R, P, **F64)
        with torch.no_grad():
            mla(x[:, :-1], positions[:, :-1], cache)
            with (
                torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
                FlopCounterMode(display=False) as counter,
            ):
                mla(x[:, -1:], positions[:, -1:], cache)
        projections = 2 * sum(
            p.numel() for name, p in mla.named_parameters() if p.ndim == 2 and "wkv_up" not in name
        )
        assert counter.get_total_flops() - projections == predicted[form]
    assert predicted["expanded"] < predicted["absorbed"] < predicted["plain"]


def test_the_turn_differs_with_the_pairing():
    x, positions = inputs()
    interleaved, half = layer(), layer(rope=Rope(dim=P))
    assert not torch.allclose(interleaved(x, positions), half(x, positions))


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda: layer(rope=Rope(dim=2)), "rope.dim=2"),
        (lambda: LatentCache(1, 0, R, P), "capacity=0"),
        (lambda: LatentCache(1, 2, 0, P), "kv_rank=0"),
        (lambda: layer()(*inputs(), LatentCache(2, 8, R, P, **F64)), "9 new tokens: allowed are at most 8"),
        (lambda: layer()(*inputs(), LatentCache(1, 9, R, P, **F64)), "keys and values have shapes"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message), torch.no_grad():
        act()
