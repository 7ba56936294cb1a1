"""Layers of chapter 9 equal those of `transformers`: mHC's connections (DeepSeek-V4), attention over depth
(Inkling 2), Transformer-XL's positions (XLNet), Conformer's block (Wav2Vec2), Zamba2's shared block."""

import pytest
import torch
from torch import nn
from transformers import (
    DeepseekV4Config,
    Inkling2TextConfig,
    Wav2Vec2ConformerConfig,
    XLNetConfig,
    Zamba2Config,
)
from transformers.models.deepseek_v4 import modeling_deepseek_v4
from transformers.models.inkling2 import modeling_inkling2
from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer
from transformers.models.xlnet import modeling_xlnet
from transformers.models.zamba2 import modeling_zamba2

from course_lib.layers.positions.relative_scores import distance_sinusoids, relative_scores
from course_lib.layers.positions.rope import Rope
from course_lib.models.hybrids.conformer import ConformerBlock
from course_lib.models.hybrids.depth_attention import DepthAttention
from course_lib.models.hybrids.hyper_connections import ManifoldConnection, read
from course_lib.models.hybrids.shared_block import SharedBlockLM
from course_lib.specs.records import SSMSpec

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


def zamba2(published: bool):
    sizes = {"hidden_size": 12, "vocab_size": 19, "num_hidden_layers": 5, "rms_norm_eps": 1e-2}
    sizes |= {"num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 7, "adapter_rank": 2}
    sizes |= {
        "mamba_d_state": 5,
        "mamba_d_conv": 3,
        "mamba_expand": 2,
        "mamba_ngroups": 2,
        "n_mamba_heads": 4,
    }
    sizes |= {"layers_block_type": ["mamba", "hybrid", "hybrid", "mamba", "hybrid"], "num_mem_blocks": 2}
    step = 0.4 if published else 1e-30  # 0.4 is above some of the steps
    whole = {"use_mem_rope": published, "use_shared_attention_adapter": published, "time_step_min": step}
    config = Zamba2Config(**sizes, **whole, hidden_act="gelu", chunk_size=4)
    config._attn_implementation = "eager"
    with in_float64(modeling_zamba2):
        theirs = random(modeling_zamba2.Zamba2ForCausalLM(config))
    spec = SSMSpec(kind="mamba2", d_inner=24, state=5, conv=3, heads=4, head_dim=6, groups=2)
    options = {"heads": 3, "head_dim": 8, "ffn": 7, "rank": 2, "blocks": 2, "norm_eps": 1e-2}
    if published:
        theta = config.rope_parameters["rope_theta"]
        options |= {"rope": Rope(dim=8, theta=theta), "adapt_attention": True, "least_step": step}
    ours = SharedBlockLM("mhhmh", 19, 12, spec, **options).double().eval()
    names = {"model.embed_tokens.weight": "embed.weight", "model.final_layernorm.weight": "final_norm.weight"}
    state = {"in_proj": "w_in", "conv1d": "conv", "A_log": "a_log", "D": "skip", "dt_bias": "dt_offset"}
    state |= {"norm": "norm", "out_proj": "w_out"}
    block = {"input_layernorm": "norm", "pre_ff_layernorm": "ffn_norm", "self_attn.q_proj": "mixer.wq"}
    block |= {"self_attn.k_proj": "mixer.wk", "self_attn.v_proj": "mixer.wv", "self_attn.o_proj": "wo"}
    block |= {"feed_forward.gate_up_proj": "gate_up", "feed_forward.down_proj": "down"}
    visit = 0
    for i, letter in enumerate("mhhmh"):
        layer = f"model.layers.{i}" + ".mamba_decoder" * (letter == "h")
        names[f"{layer}.input_layernorm.weight"] = f"norms.{i}.weight"
        for one, other in state.items():
            for end in ("", ".weight", ".bias"):
                names[f"{layer}.mamba.{one}{end}"] = f"mixers.{i}.{other}{end}"
        if letter == "h":
            at, to = f"model.layers.{i}.shared_transformer", f"shared.{visit % 2}"
            names[f"model.layers.{i}.linear.weight"] = f"linear.{visit}.weight"
            names |= {f"{at}.{one}.weight": f"{to}.{other}.weight" for one, other in block.items()}
            for slot in range(visit % 2, 3, 2):
                adapter = f"{at}.feed_forward.gate_up_proj_adapter_list.{slot}"
                for part in "01":
                    names[f"{adapter}.{part}.weight"] = f"{to}.adapters.{slot // 2}.{part}.weight"
                    for one in "qkv" * published:
                        theirs_at = f"{at}.self_attn.linear_{one}_adapter_list.{slot}.{part}.weight"
                        names[theirs_at] = f"{to}.mixer.w{one}.adapters.{slot // 2}.{part}.weight"
            visit += 1
    own, filled = ours.state_dict(), set()
    for name, tensor in theirs.state_dict().items():
        if name != "lm_head.weight":
            own[names[name]].copy_(tensor)
            filled.add(names[name])
    assert filled == own.keys()
    return ours, theirs, names


@pytest.mark.parametrize("published", [False, True])
def test_a_shared_block_is_zamba2s_with_gradients_and_a_cache(published):
    """Two sets of shared weights take turns over three visits, an adapter each; as published with RoPE,
    adapters on queries, keys and values, and a least step."""
    ours, theirs, names = zamba2(published)
    tokens = torch.randint(1, 19, (2, 9))
    with in_float64(modeling_zamba2):
        expected = theirs(tokens).logits
    found = ours(tokens)
    torch.testing.assert_close(found, expected, **TOLERANCE)
    direction = torch.randn_like(found)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    mine = dict(ours.named_parameters())
    for name, tensor in theirs.named_parameters():
        torch.testing.assert_close(mine[names[name]].grad, tensor.grad, rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        cache = ours.make_cache(2, 9)
        pieces = [ours(part, cache=cache) for part in tokens.split([5, 1, 1, 2], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), expected.detach(), **TOLERANCE)
    assert len(cache) == 5 + 3
    padded = torch.cat([torch.zeros(2, 2, dtype=torch.long), tokens], 1)
    places = torch.cat([torch.full((2, 2), -1), torch.arange(9).expand(2, 9)], 1)
    torch.testing.assert_close(ours(padded, places)[:, 2:], found, **TOLERANCE)


def test_what_a_shared_block_refuses():
    spec = SSMSpec(kind="mamba2", d_inner=24, state=5, conv=3, heads=4, head_dim=6, groups=2)
    sizes = {"heads": 3, "head_dim": 8, "ffn": 7, "rank": 2}
    for pattern, options, word in (
        ("mm", {}, "pattern='mm'"),
        ("mh", {"blocks": 0}, "blocks=0"),
        ("mh", {"heads": 2}, "heads=2"),
    ):
        with pytest.raises(ValueError, match=word):
            SharedBlockLM(pattern, 19, 12, spec, **(sizes | options))
