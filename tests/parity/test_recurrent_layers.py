"""Mixers with a state equal those of `transformers`, with gradients, a cache and padding."""

from importlib import import_module

import pytest
import torch
import transformers
from torch import nn
from transformers import DynamicCache

from course_lib.layers.recurrent.gated_delta_net import GatedDeltaNet, KimiDelta
from course_lib.layers.recurrent.lightning import Lightning
from course_lib.layers.recurrent.short_conv import ShortConv
from course_lib.layers.recurrent.time_mixing import RWKV

from .against_transformers import in_float64

D, CONV = 10, 4
POSITIONS = torch.arange(13).repeat(2, 1)


def modeling(kind):
    return import_module(f"transformers.models.{kind}.modeling_{kind}")


def random(block):
    for tensor in block.parameters():
        nn.init.normal_(tensor, std=0.5)
    return block.double().eval()


def fill(ours, **tensors):
    """Put their tensors into the parameters and buffers of ours, all of them."""
    ours = ours.double()
    own = dict(ours.named_parameters()) | dict(ours.named_buffers())
    assert own.keys() == {name.replace("__", ".") for name in tensors}
    for name, tensor in tensors.items():
        place = own[name.replace("__", ".")]
        assert place.numel() == tensor.numel()
        place.data.copy_(tensor.reshape(place.shape))
    return ours


class Theirs:
    """Their layer, how it is called, and ours with its weights.

    Attributes:
        block, ours: the layers.
        config: theirs.
        call: from (x, cache, attention mask) to what their layer adds.
        within: how close they come.
    """

    within = 1e-10

    def compare(self, found, expected):
        torch.testing.assert_close(found, expected, rtol=self.within, atol=self.within)

    def cache(self):
        return DynamicCache(config=self.config)

    def call(self, x, cache=None, mask=None):
        return self.block(x, cache_params=cache, attention_mask=mask)


class QwenDelta(Theirs):
    kind = "qwen3_next"

    def __init__(self):
        m, h, k, v = 2, 6, 3, 5
        self.config = transformers.Qwen3NextConfig(
            hidden_size=D,
            num_hidden_layers=2,
            linear_num_key_heads=m,
            linear_num_value_heads=h,
            linear_key_head_dim=k,
            linear_value_head_dim=v,
            linear_conv_kernel_dim=CONV,
            layer_types=["linear_attention", "full_attention"],
        )
        self.block = random(modeling(self.kind).Qwen3NextGatedDeltaNet(self.config, 0))
        packed = self.block.in_proj_qkvz.weight.view(m, -1, D).split([k, k, h // m * v, h // m * v], 1)
        q, key, value, gate = (part.reshape(-1, D) for part in packed)
        strength, forget = (
            part.reshape(h, D) for part in self.block.in_proj_ba.weight.view(m, -1, D).chunk(2, 1)
        )
        self.ours = fill(
            GatedDeltaNet(D, m, h, k, v, conv=CONV, chunk=5),
            wq__weight=q,
            wk__weight=key,
            wv__weight=value,
            gate__weight=gate,
            strength__weight=strength,
            forget__weight=forget,
            conv__weight=self.block.conv1d.weight,
            rate=self.block.A_log,
            step=self.block.dt_bias,
            norm__weight=self.block.norm.weight,
            wo__weight=self.block.out_proj.weight,
        )


class Kimi(Theirs):
    kind = "kimi_linear"

    def __init__(self):
        h, k = 3, 4
        self.config = transformers.KimiLinearConfig(
            hidden_size=D,
            num_hidden_layers=2,
            linear_num_heads=h,
            linear_head_dim=k,
            linear_conv_kernel_dim=CONV,
            layer_types=["linear_attention", "full_attention"],
        )
        self.block = random(modeling(self.kind).KimiLinearDeltaAttention(self.config, 0))
        block, forget = self.block, self.block.forget_gate
        self.ours = fill(
            KimiDelta(
                D, h, k, conv=CONV, decay_rank=k, gate_rank=k, norm_eps=self.config.rms_norm_eps, chunk=5
            ),
            wq__weight=block.q_proj.weight,
            wk__weight=block.k_proj.weight,
            wv__weight=block.v_proj.weight,
            gate__0__weight=block.g_a_proj.weight,
            gate__1__weight=block.g_b_proj.weight,
            strength__weight=block.b_proj.weight,
            forget__0__weight=forget.f_a_proj.weight,
            forget__1__weight=forget.f_b_proj.weight,
            conv__weight=block.conv1d.weight,
            rate=forget.A_log,
            step=forget.dt_bias,
            norm__weight=block.o_norm.weight,
            wo__weight=block.o_proj.weight,
        )


class MiniMax(Theirs):
    kind = "minimax"
    within = 1e-7  # their decays are made in float32

    def __init__(self):
        h, k, layer = 2, 4, 2
        self.config = transformers.MiniMaxConfig(
            hidden_size=D,
            num_hidden_layers=5,
            num_attention_heads=h,
            num_key_value_heads=h,
            head_dim=k,
            block_size=4,
            layer_types=["linear_attention"] * 5,
        )
        self.layer = layer
        self.block = random(modeling(self.kind).MiniMaxLightningAttention(self.config, layer))
        q, key, value = (
            part.reshape(-1, D) for part in self.block.qkv_proj.weight.view(h, 3 * k, D).split(k, 1)
        )
        made = Lightning(D, h, k, layer=layer, layers=5, chunk=5)
        torch.testing.assert_close(made.slopes, self.block.slope_rate.flatten().float())
        self.ours = fill(
            made,
            wq__weight=q,
            wk__weight=key,
            wv__weight=value,
            gate__weight=self.block.output_gate.weight,
            norm__weight=self.block.norm.weight,
            wo__weight=self.block.out_proj.weight,
            slopes=self.block.slope_rate,
        )

    def cache(self):
        return modeling(self.kind).MiniMaxCache()

    def call(self, x, cache=None, mask=None):
        if cache is not None and not len(cache):
            for layer in range(self.layer):  # earlier layers have come before
                cache.set_linear_cache(layer, [])
        return self.block(x, None, mask, cache)[0]


class LFM(Theirs):
    kind, bias = "lfm2", True

    def __init__(self):
        self.config = transformers.Lfm2Config(
            hidden_size=D,
            num_hidden_layers=2,
            conv_bias=self.bias,
            conv_L_cache=3,
            layer_types=["conv", "full_attention"],
        )
        self.block = random(modeling(self.kind).Lfm2ShortConv(self.config, 0))
        parts = {"into": self.block.in_proj, "conv": self.block.conv, "wo": self.block.out_proj}
        names = ("weight", "bias") if self.bias else ("weight",)
        tensors = {
            f"{part}__{name}": getattr(module, name) for part, module in parts.items() for name in names
        }
        self.ours = fill(ShortConv(D, 3, bias=self.bias), **tensors)

    def call(self, x, cache=None, mask=None):
        return self.block(x, past_key_values=cache, attention_mask=mask)


class LFMWithoutBias(LFM):
    bias = False


class RWKV4(Theirs):
    kind = "rwkv"

    def __init__(self):
        self.config = transformers.RwkvConfig(
            hidden_size=D, attention_hidden_size=7, num_hidden_layers=1, rescale_every=0
        )
        self.block = block = random(modeling(self.kind).RwkvSelfAttention(self.config, 0))
        self.ours = fill(
            RWKV(D, 7, chunk=5),
            wk__weight=block.key.weight,
            wv__weight=block.value.weight,
            wr__weight=block.receptance.weight,
            wo__weight=block.output.weight,
            blend_k=block.time_mix_key,
            blend_v=block.time_mix_value,
            blend_r=block.time_mix_receptance,
            decay=block.time_decay,
            bonus=block.time_first,
        )

    def cache(self):
        sizes = D, D, 7, 7, 7
        state = [torch.zeros(1, size, 1, dtype=torch.float64) for size in sizes]
        state[4] -= 1e30
        return state

    def call(self, x, cache=None, mask=None):
        return self.block(x, state=cache, use_cache=cache is not None)[0]


CASES = [QwenDelta, Kimi, MiniMax, LFM, LFMWithoutBias, RWKV4]
MASKED = [QwenDelta, Kimi, MiniMax, LFMWithoutBias]  # with biases, padding leaks into LFM of `transformers`


@pytest.fixture(params=CASES, ids=lambda case: case.__name__)
def pair(request):
    with in_float64(modeling(request.param.kind)):
        yield request.param()


def test_a_layer_equals_theirs_with_gradients(pair):
    x = torch.randn(2, 13, D, dtype=torch.float64)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = pair.call(one), pair.ours(other, POSITIONS)
    pair.compare(found, expected)
    grads = [torch.autograd.grad(y.square().sum(), leaf)[0] for y, leaf in ((expected, one), (found, other))]
    pair.compare(*reversed(grads))


@torch.no_grad()
def test_a_layer_with_a_cache_equals_theirs(pair):
    """One row: RWKV-4 of `transformers` broadcasts wrongly from two on."""
    x = torch.randn(1, 13, D, dtype=torch.float64)
    theirs, ours = pair.cache(), pair.ours.make_state(1, torch.float64)
    for part in x.split([5, *[1] * 8], 1):
        expected = pair.call(part, theirs)
        found = pair.ours(part, torch.zeros(1, part.shape[1], dtype=torch.long), ours)
        pair.compare(found, expected)
    pair.compare(pair.ours(x, POSITIONS[:1])[:, -1:], found)
    assert ours.length == 13


@torch.no_grad()
@pytest.mark.parametrize("case", MASKED, ids=lambda case: case.__name__)
def test_left_padding_equals_theirs(case):
    with in_float64(modeling(case.kind)):
        pair = case()
        x, mask = torch.randn(2, 13, D, dtype=torch.float64), torch.ones(2, 13, dtype=torch.long)
        mask[1, :4] = 0
        expected = pair.call(x, mask=mask)
        found = pair.ours(x, mask.cumsum(1) - 1)
        kept = mask.bool()
        pair.compare(found[kept], expected[kept])
