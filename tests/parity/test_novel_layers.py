"""Layers of chapter 9 equal those of `transformers`: mHC's connections (DeepSeek-V4), attention over depth
(Inkling 2), Transformer-XL's positions (XLNet), Conformer's block (Wav2Vec2)."""

import pytest
import torch
from torch import nn
from transformers import DeepseekV4Config, Inkling2TextConfig, Wav2Vec2ConformerConfig, XLNetConfig
from transformers.models.deepseek_v4 import modeling_deepseek_v4
from transformers.models.inkling2 import modeling_inkling2
from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer
from transformers.models.xlnet import modeling_xlnet

from course_lib.layers.positions.relative_scores import distance_sinusoids, relative_scores
from course_lib.models.hybrids.conformer import ConformerBlock
from course_lib.models.hybrids.depth_attention import DepthAttention
from course_lib.models.hybrids.hyper_connections import ManifoldConnection, read

from .against_transformers import TOLERANCE, in_float64

D = 10


def random(module):
    for tensor in module.parameters():
        nn.init.normal_(tensor, std=0.7)
    return module.double().eval()


def gradients(y, leaves):
    return torch.autograd.grad(y.pow(2).sum(), leaves)


@pytest.mark.parametrize("streams", [1, 4])
def test_mhc_is_deepseek_v4s_with_gradients(streams):
    config = DeepseekV4Config(hidden_size=D, hc_mult=streams, hc_sinkhorn_iters=7, rms_norm_eps=1e-6)
    theirs = random(modeling_deepseek_v4.DeepseekV4HyperConnection(config))
    ours = ManifoldConnection(streams, D, iterations=7).double()
    ours.weight.data, ours.bias.data, ours.scale.data = theirs.fn.data, theirs.base.data, theirs.scale.data
    x = torch.randn(2, 5, streams, D, dtype=torch.float64, requires_grad=True)
    with in_float64(modeling_deepseek_v4):
        post, mix, collapsed = theirs(x)
    pre, our_mix, our_post = ours(x)
    pairs = [(our_post, post), (our_mix, mix), (read(pre, x), collapsed)]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, **TOLERANCE)
    for found, expected in pairs[:: 2 if streams == 1 else 1]:  # a mix of one stream is a constant
        one = torch.autograd.grad(found.pow(2).sum(), [x], retain_graph=True)
        other = torch.autograd.grad(expected.pow(2).sum(), [x], retain_graph=True)
        torch.testing.assert_close(one, other, **TOLERANCE)


def test_attention_over_depth_is_inklings_with_gradients():
    theirs = random(modeling_inkling2.Inkling2BlockAttentionResidual(Inkling2TextConfig(hidden_size=D)))
    ours = DepthAttention(D, scale=D**-0.5, normed_values=True).double()
    ours.query.data = theirs.query.data
    outputs = torch.randn(2, 5, 4, D, dtype=torch.float64, requires_grad=True)
    with in_float64(modeling_inkling2):
        (expected,) = theirs(outputs[:, :, :3], outputs[:, :, 3])
    found = ours(outputs)
    torch.testing.assert_close(found, expected, **TOLERANCE)
    one = gradients(found, [outputs, ours.query])
    torch.testing.assert_close(one, gradients(expected, [outputs, theirs.query]), **TOLERANCE)


def test_relative_scores_are_xlnets_with_a_memory():
    """Their class gives weights of values one-hot by key: the softmax of our scores under a causal mask."""
    heads, width, memory, t = 2, 5, 3, 4
    config = XLNetConfig(d_model=D, n_head=heads, d_inner=D, n_layer=1)
    layer, model = (
        random(x) for x in (modeling_xlnet.XLNetRelativeAttention(config), modeling_xlnet.XLNetModel(config))
    )
    s = memory + t
    x = torch.randn(s, 2, D, dtype=torch.float64)
    places = model.relative_positional_encoding(t, s, bsz=2).double()  # distances s to 1 - t
    back = torch.einsum("ibh,hnd->ibnd", places, layer.r)
    q, k = torch.einsum("ibh,hnd->ibnd", x[memory:], layer.q), torch.einsum("ibh,hnd->ibnd", x, layer.k)
    mask = torch.arange(s)[None] > torch.arange(t)[:, None] + memory
    values = torch.eye(s, dtype=torch.float64)[:, None, None].expand(s, 2, heads, s)
    expected = layer.rel_attn_core(q, k, values, back, attn_mask=mask[..., None, None].double())

    by_distance = torch.einsum("sh,hnd->snd", distance_sinusoids(s, D).double(), layer.r)
    queries, keys = q.transpose(0, 1), k.transpose(0, 1)
    scores = relative_scores(queries, keys, by_distance, layer.r_w_bias, layer.r_r_bias) * width**-0.5
    found = scores.masked_fill(mask, float("-inf")).softmax(-1)
    torch.testing.assert_close(
        found, expected.permute(1, 2, 0, 3), rtol=1e-6, atol=1e-6
    )  # sinusoids are float32


def test_a_conformer_block_is_wav2vec2s_with_gradients():
    config = Wav2Vec2ConformerConfig(
        hidden_size=12,
        num_attention_heads=3,
        intermediate_size=7,
        conv_depthwise_kernel_size=5,
        hidden_act="swish",
    )
    config.position_embeddings_type, config._attn_implementation = None, "eager"
    theirs = random(modeling_wav2vec2_conformer.Wav2Vec2ConformerEncoderLayer(config))
    norm = theirs.conv_module.batch_norm
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    ours = ConformerBlock(12, 3, 7, 5).double().eval()
    names = {
        "ffn1_layer_norm": "first_norm",
        "ffn1.intermediate_dense": "first.up",
        "ffn1.output_dense": "first.down",
        "self_attn_layer_norm": "mixer_norm",
        "self_attn.linear_q": "mixer.wq",
        "self_attn.linear_k": "mixer.wk",
        "self_attn.linear_v": "mixer.wv",
        "self_attn.linear_out": "mixer.wo",
        "conv_module.layer_norm": "conv_norm",
        "conv_module.pointwise_conv1": "conv.into",
        "conv_module.depthwise_conv": "conv.depthwise",
        "conv_module.batch_norm": "conv.norm",
        "conv_module.pointwise_conv2": "conv.wo",
        "ffn2_layer_norm": "second_norm",
        "ffn2.intermediate_dense": "second.up",
        "ffn2.output_dense": "second.down",
        "final_layer_norm": "final_norm",
    }
    own = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        module, _, last = name.rpartition(".")
        own[f"{names[module]}.{last}"].copy_(tensor.view_as(own[f"{names[module]}.{last}"]))
    x = torch.randn(2, 9, 12, dtype=torch.float64, requires_grad=True)
    found, expected = ours(x, torch.arange(9).expand(2, 9)), theirs(x)
    torch.testing.assert_close(found, expected, **TOLERANCE)
    torch.testing.assert_close(gradients(found, [x]), gradients(expected, [x]), **TOLERANCE)
