"""Three forms of one attention, and what the layer adds to them."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.layers.attention.forms import attend, attention_naive
from course_lib.layers.attention.layer import Attention, attend_sdpa
from course_lib.layers.attention.shared_kv import SharedKVAttention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.masks import BIDIRECTIONAL, causal_mask
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.bias import AlibiBias, RelativeBias
from course_lib.layers.positions.numbering import next_positions
from course_lib.layers.positions.rope import Rope
from course_lib.specs.records import AttentionSpec

TOLERANCE = {"rtol": 1e-11, "atol": 1e-11}
GROUPS = [(6, 6), (6, 3), (6, 2), (6, 1)]


def qkv(heads, groups, queries=5, keys=5, width=3, value_width=4, batch=2):
    shapes = (batch, queries, heads, width), (batch, keys, groups, width), (batch, keys, groups, value_width)
    return tuple(torch.randn(shape).double() for shape in shapes)


def causal(batch, queries, keys, window=None):
    return causal_mask(next_positions(keys - queries, batch, queries), next_positions(0, batch, keys), window)


@pytest.mark.parametrize(("heads", "groups"), GROUPS)
@pytest.mark.parametrize(
    ("queries", "keys", "window"), [(5, 5, None), (5, 5, 2), (1, 7, None), (1, 7, 3), (3, 7, 4)]
)
def test_three_forms_agree(heads, groups, queries, keys, window):
    inputs, mask = qkv(heads, groups, queries, keys), causal(2, queries, keys, window)
    expected = attention_naive(*inputs, mask)
    torch.testing.assert_close(attend(*inputs, mask)[0], expected, **TOLERANCE)
    torch.testing.assert_close(attend_sdpa(*inputs, mask), expected, **TOLERANCE)


@pytest.mark.parametrize(("heads", "groups"), GROUPS)
@pytest.mark.parametrize(("queries", "keys", "window"), [(5, 5, None), (1, 7, 3), (3, 7, 4)])
def test_three_forms_agree_on_a_bias(heads, groups, queries, keys, window):
    inputs, mask = qkv(heads, groups, queries, keys), causal(2, queries, keys, window)
    bias = torch.randn(2, heads, queries, keys).double()
    expected = attention_naive(*inputs, mask, bias=bias)
    torch.testing.assert_close(attend(*inputs, mask, bias=bias)[0], expected, **TOLERANCE)
    torch.testing.assert_close(attend_sdpa(*inputs, mask, bias=bias), expected, **TOLERANCE)
    assert not torch.allclose(expected, attention_naive(*inputs, mask))


def test_causal_and_a_bias_go_together():
    inputs, bias = qkv(4, 2), torch.randn(2, 4, 5, 5).double()
    expected = attention_naive(*inputs, causal(2, 5, 5), bias=bias)
    torch.testing.assert_close(attend_sdpa(*inputs, causal=True, bias=bias), expected, **TOLERANCE)


@pytest.mark.parametrize("scale", [0.1, 2.0])
def test_three_forms_agree_on_a_scale(scale):
    inputs, mask = qkv(4, 2), causal(2, 5, 5)
    expected = attention_naive(*inputs, mask, scale)
    torch.testing.assert_close(attend(*inputs, mask, scale=scale)[0], expected, **TOLERANCE)
    torch.testing.assert_close(attend_sdpa(*inputs, mask, scale=scale), expected, **TOLERANCE)


def test_no_mask_and_causal_are_short_for_masks():
    one, many = qkv(4, 2, queries=1, keys=6), qkv(4, 2)
    torch.testing.assert_close(attend_sdpa(*one), attention_naive(*one, causal(2, 1, 6)), **TOLERANCE)
    got = attend_sdpa(*many, causal=True)
    torch.testing.assert_close(got, attention_naive(*many, causal(2, 5, 5)), **TOLERANCE)


@pytest.mark.parametrize("queries", [1, 3])
def test_a_query_that_sees_nothing_gives_zeros(queries):
    inputs, mask = qkv(4, 2, queries=queries), torch.zeros(2, queries, 5, dtype=torch.bool)
    bias = torch.randn(2, 4, queries, 5).double()
    y, weights = attend(*inputs, mask)
    fused, biased = attend_sdpa(*inputs, mask), attend_sdpa(*inputs, mask, bias=bias)
    for result in (y, weights, fused, biased, attention_naive(*inputs, mask)):
        assert not result.any()


def test_gradients_stay_finite_where_a_query_sees_nothing():
    inputs = [tensor.requires_grad_() for tensor in qkv(4, 2)]
    attend(*inputs, torch.zeros(2, 5, 5, dtype=torch.bool))[0].sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in inputs)


def test_weights_sum_to_one_and_give_the_output():
    queries, keys, values = qkv(4, 2)
    y, weights = attend(queries, keys, values, causal(2, 5, 5))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 5).double(), **TOLERANCE)
    repeated = values.repeat_interleave(2, dim=2)
    torch.testing.assert_close(y, torch.einsum("bhts,bshv->bthv", weights, repeated), **TOLERANCE)


def test_softcap_bounds_the_scores():
    queries, keys, values = qkv(2, 1)
    mask, cap = causal(2, 5, 5), 0.5
    scores = torch.einsum("bthk,bsgk->bhts", queries, keys) * 3**-0.5
    capped = (cap * torch.tanh(scores / cap)).masked_fill(~mask[:, None], float("-inf"))
    weights = attend(queries, keys, values, mask, softcap=cap)[1]
    torch.testing.assert_close(weights, capped.softmax(-1), **TOLERANCE)


def test_a_bias_is_added_to_the_capped_scores():
    """Were it added before, the cap would bound it too: a distance penalty could not pass the cap."""
    queries, keys, values = qkv(2, 1)
    mask, cap, bias = causal(2, 5, 5), 0.5, 3 * torch.randn(2, 2, 5, 5).double()
    scores = torch.einsum("bthk,bsgk->bhts", queries, keys) * 3**-0.5
    capped = (cap * torch.tanh(scores / cap) + bias).masked_fill(~mask[:, None], float("-inf"))
    weights = attend(queries, keys, values, mask, softcap=cap, bias=bias)[1]
    torch.testing.assert_close(weights, capped.softmax(-1), **TOLERANCE)


def test_a_sink_takes_the_weight_of_a_key_with_value_zero():
    queries, keys, values = qkv(4, 2)
    mask, sinks = causal(2, 5, 5), torch.randn(4).double()
    scores = torch.einsum("bthk,bshk->bhts", queries, keys.repeat_interleave(2, dim=2)) * 3**-0.5
    share = scores.masked_fill(~mask[:, None], float("-inf")).exp()
    expected = share / (share.sum(-1, keepdim=True) + sinks.exp()[None, :, None, None])
    weights = attend(queries, keys, values, mask, sinks=sinks)[1]
    torch.testing.assert_close(weights, expected, **TOLERANCE)


def test_attend_reads_keys_and_values_in_place():
    """The views a cache hands out are reshaped for the two matrix products without a copy."""
    cache = ContiguousCache(2, 9, kv_heads=3, head_dim=4, dtype=torch.float64)
    keys, values, _ = cache.update(*(torch.randn(2, 5, 3, 4).double(),) * 2, next_positions(0, 2, 5))
    for view in (keys, values):
        assert view.transpose(1, 2).flatten(0, 1).data_ptr() == view.data_ptr()


def test_a_fresh_layer_equals_torch_multihead_attention():
    layer = Attention(12, heads=4, kv_heads=4, head_dim=3, bias_qkv=True, bias_out=True).double()
    theirs = torch.nn.MultiheadAttention(12, 4, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data = torch.cat([layer.wq.weight, layer.wk.weight, layer.wv.weight])
    theirs.in_proj_bias.data = torch.cat([layer.wq.bias, layer.wk.bias, layer.wv.bias])
    theirs.out_proj.load_state_dict(layer.wo.state_dict())
    x, positions = torch.randn(2, 5, 12).double(), next_positions(0, 2, 5)
    expected, weights = theirs(x, x, x, attn_mask=~causal(1, 5, 5)[0], average_attn_weights=False)
    torch.testing.assert_close(layer(x, positions), expected, **TOLERANCE)
    torch.testing.assert_close(layer.weights(x, positions), weights, **TOLERANCE)


def test_value_width_may_differ_from_key_width():
    layer = Attention(8, heads=4, kv_heads=2, head_dim=6, value_dim=3)
    assert layer(torch.randn(1, 4, 8), next_positions(0, 1, 4)).shape == (1, 4, 8)
    assert layer.wo.in_features == 4 * 3


@pytest.mark.parametrize(("qk_norm", "extra"), [("none", 0), ("head", 2 * 6), ("width", 4 * 6 + 2 * 6)])
def test_parameters_of_qk_norms(qk_norm, extra):
    layer = Attention(8, heads=4, kv_heads=2, head_dim=6, qk_norm=qk_norm)
    projections = 8 * (4 + 2 + 2) * 6 + 4 * 6 * 8
    assert sum(parameter.numel() for parameter in layer.parameters()) == projections + extra


@pytest.mark.parametrize("qk_norm", ["head", "width"])
def test_qk_norm_takes_the_size_of_queries_and_keys_away(qk_norm):
    layer = Attention(8, heads=4, kv_heads=2, head_dim=6, qk_norm=qk_norm, norm_eps=1e-12).double()
    x, positions = torch.randn(1, 4, 8).double(), next_positions(0, 1, 4)
    small, large = layer.project(x, positions), layer.project(100 * x, positions)
    torch.testing.assert_close(small[0], large[0], rtol=1e-8, atol=1e-8)  # eps remains
    torch.testing.assert_close(small[1], large[1], rtol=1e-8, atol=1e-8)


def test_what_a_forward_pass_shares_changes_nothing_and_is_filled():
    layer = Attention(8, heads=4, kv_heads=2, head_dim=6, rope=Rope(dim=6), window=2)
    x, positions, shared = torch.randn(1, 4, 8), next_positions(0, 1, 4), PerForward()
    plain = layer(x, positions)
    assert torch.equal(layer(x, positions, None, shared), plain)
    assert torch.equal(layer(x, positions, None, shared), plain)
    assert len(shared.rope_tables) == len(shared.masks) == len(shared.for_sdpa) == 1


def test_layers_that_share_a_forward_pass_keep_apart_what_is_their_own():
    own = [
        *({}, {"window": 2}, {"mask_mod": BIDIRECTIONAL}),
        *({"rope": Rope(dim=6)}, {"rope": Rope(dim=6, theta=50.0)}),
        *({"position_bias": AlibiBias(4)}, {"position_bias": RelativeBias(4, buckets=4, max_distance=9)}),
    ]
    x, positions, shared = torch.randn(1, 5, 8), next_positions(0, 1, 5), PerForward()
    for options in own:
        layer = Attention(8, heads=4, kv_heads=2, head_dim=6, **options)
        assert torch.equal(layer(x, positions, None, shared), layer(x, positions))


@pytest.mark.parametrize("kv_heads", [0, 3, 8])
def test_kv_heads_must_divide_heads(kv_heads):
    with pytest.raises(ValueError, match=f"kv_heads={kv_heads}"):
        Attention(8, heads=4, kv_heads=kv_heads, head_dim=2)


def test_unknown_qk_norm_is_refused():
    with pytest.raises(ValueError, match="qk_norm='all'"):
        Attention(8, heads=4, kv_heads=2, head_dim=2, qk_norm="all")


def test_fused_form_matches_torch_on_plain_heads():
    queries, keys, values = qkv(4, 4, value_width=3)
    theirs = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), is_causal=True
    ).transpose(1, 2)
    torch.testing.assert_close(attend(queries, keys, values, causal(2, 5, 5))[0], theirs, **TOLERANCE)


def test_an_output_gate_multiplies_what_goes_into_the_projection_back():
    torch.manual_seed(0)
    gated = Attention(6, heads=2, kv_heads=1, head_dim=3, output_gate=True).double()
    plain = Attention(6, heads=2, kv_heads=1, head_dim=3).double()
    plain.load_state_dict({name: w for name, w in gated.state_dict().items() if "gate" not in name})
    x, places = torch.randn(1, 5, 6).double(), torch.arange(5)[None]
    gated.gate.weight.data.zero_()  # sigmoid(0): every output is halved
    torch.testing.assert_close(gated(x, places), plain(x, places) / 2)


@pytest.mark.parametrize("norm", ["none", "head"])
def test_k_equals_v_is_attention_with_one_matrix_for_both_where_nothing_is_turned(norm):
    torch.manual_seed(0)
    shared = SharedKVAttention(6, heads=2, kv_heads=1, head_dim=3, qk_norm=norm).double()
    x, places = torch.randn(1, 5, 6).double(), torch.arange(5)[None]
    _, keys, values = shared.project(x, places)
    torch.testing.assert_close(keys, values)
    if norm == "none":
        plain = Attention(6, heads=2, kv_heads=1, head_dim=3).double()
        plain.load_state_dict(shared.state_dict() | {"wv.weight": shared.wk.weight})
        torch.testing.assert_close(shared(x, places), plain(x, places))
        torch.testing.assert_close(shared.weights(x, places), plain.weights(x, places))


def test_k_equals_v_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="value_dim=4"):
        SharedKVAttention(6, heads=2, kv_heads=1, head_dim=3, value_dim=4)
    with pytest.raises(ValueError, match="qk_norm='width'"):
        SharedKVAttention(6, heads=2, kv_heads=1, head_dim=3, qk_norm="width")
    sizes = {"heads": 2, "kv_heads": 1, "head_dim": 3, "shared_kv": True}
    with pytest.raises(ValueError, match="value_dim=4 with shared_kv"):
        AttentionSpec(**sizes, value_dim=4)
    with pytest.raises(ValueError, match="qk_norm='width' with shared_kv"):
        AttentionSpec(**sizes, value_dim=3, qk_norm="width")
