"""Parts of the newest blocks, layer by layer: Qwen3-Next's output gate, Gemma 4's K = V, gpt-oss' sinks.

Whole models with QK norm (Qwen3), softcap (Gemma 2), partial RoPE (GLM-4, GPT-NeoX) and NoPE layers (SmolLM3)
stand in `test_llama`, `test_gemma` and `test_decoders`; gpt-oss with dense FFNs in `test_rope_scaling`.
"""

import pytest
import torch
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.gemma4.configuration_gemma4 import Gemma4TextConfig
from transformers.models.gpt_oss import GptOssConfig, modeling_gpt_oss
from transformers.models.qwen3_next import Qwen3NextConfig, modeling_qwen3_next

from course_lib.costs.mixers.dispatch import mixer_params, token_elements
from course_lib.layers.attention.layer import Attention
from course_lib.layers.attention.shared_kv import SharedKVAttention
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.positions.rope import Rope
from course_lib.specs.records import AttentionSpec
from tests.parity.against_transformers import TOLERANCE, in_float64

D, HEADS, GROUPS, WIDTH, TOKENS = 18, 6, 2, 8, 11
SIZES = {
    "hidden_size": D,
    "num_attention_heads": HEADS,
    "num_key_value_heads": GROUPS,
    "head_dim": WIDTH,
    "num_hidden_layers": 1,
}
PLACES = torch.arange(TOKENS).expand(2, TOKENS)
CAUSAL = torch.full((1, 1, TOKENS, TOKENS), -torch.inf, dtype=torch.float64).triu(1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        parameter.data = torch.randn_like(parameter.double()) * 0.5
    return module.double().eval()


def theirs_of(modeling, make, config, x, **more):
    """Output and gradient of x of their layer, their rotary tables from `make`."""
    x = x.clone().requires_grad_()
    with in_float64(modeling):
        layer = randomised(make())
        y = layer(hidden_states=x, attention_mask=CAUSAL, **more)[0]
    return layer, y, torch.autograd.grad(y.square().sum(), x)[0]


def check_equal(layer, x, y, gradient):
    """The whole at once, its gradient, and step by step with a cache."""
    inputs = x.clone().requires_grad_()
    ours = layer(inputs, PLACES)
    torch.testing.assert_close(ours, y, **TOLERANCE)
    torch.testing.assert_close(torch.autograd.grad(ours.square().sum(), inputs)[0], gradient, **TOLERANCE)
    value_dim = 0 if isinstance(layer, SharedKVAttention) else WIDTH
    cache = ContiguousCache(2, TOKENS, layer.kv_heads, WIDTH, value_dim, dtype=torch.float64)
    steps = []
    with torch.no_grad():
        for start, end in ((0, 4), *((i, i + 1) for i in range(4, TOKENS))):
            steps.append(layer(x[:, start:end], PLACES[:, start:end], cache))
    torch.testing.assert_close(torch.cat(steps, 1), y, **TOLERANCE)
    return cache


def tables(rope: Rope):
    """Their cosines and sines: [b t k], the sine without our sign."""
    angle = PLACES[..., None].double() * rope.frequencies(torch.float64)
    return torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()


def test_the_output_gate_is_qwen3_nexts():
    config = Qwen3NextConfig(**SIZES, attention_bias=True, rms_norm_eps=1e-5)
    config._attn_implementation = "eager"
    rope, x = Rope(dim=4), torch.randn(2, TOKENS, D, dtype=torch.float64)
    their, y, gradient = theirs_of(
        modeling_qwen3_next,
        lambda: modeling_qwen3_next.Qwen3NextAttention(config, 0),
        config,
        x,
        position_embeddings=tables(rope),
    )
    options = {"bias_qkv": True, "bias_out": True, "qk_norm": "head", "norm_eps": 1e-5, "norm_offset": 1.0}
    ours = Attention(D, HEADS, GROUPS, WIDTH, rope=rope, output_gate=True, **options).double()
    queries, gate = their.q_proj.weight.unflatten(0, (HEADS, 2, WIDTH)).unbind(1)
    query_bias, gate_bias = their.q_proj.bias.unflatten(0, (HEADS, 2, WIDTH)).unbind(1)
    ours.load_state_dict(
        {
            "wq.weight": queries.flatten(0, 1),
            "wq.bias": query_bias.flatten(),
            "gate.weight": gate.flatten(0, 1),
            "gate.bias": gate_bias.flatten(),
            **{
                f"w{n}.{part}": getattr(getattr(their, f"{n}_proj"), part)
                for n in "kvo"
                for part in ("weight", "bias")
            },
            "q_norm.weight": their.q_norm.weight,
            "k_norm.weight": their.k_norm.weight,
        }
    )
    check_equal(ours, x, y, gradient)
    spec = AttentionSpec(
        heads=HEADS,
        kv_heads=GROUPS,
        head_dim=WIDTH,
        value_dim=WIDTH,
        bias_qkv=True,
        bias_out=True,
        qk_norm="head",
        output_gate=True,
    )
    assert (
        mixer_params(spec, D)
        == sum(p.numel() for p in their.parameters())
        == sum(p.numel() for p in ours.parameters())
    )


def test_keys_and_values_in_one_are_gemma_4s():
    config = Gemma4TextConfig(
        **SIZES | {"num_hidden_layers": 1},
        layer_types=["full_attention"],
        attention_k_eq_v=True,
        global_head_dim=WIDTH,
        num_global_key_value_heads=GROUPS,
        rms_norm_eps=1e-5,
    )
    config._attn_implementation = "eager"
    rope, x = Rope(dim=WIDTH, theta=100.0), torch.randn(2, TOKENS, D, dtype=torch.float64)
    their, y, gradient = theirs_of(
        modeling_gemma4,
        lambda: modeling_gemma4.Gemma4TextAttention(config, 0),
        config,
        x,
        position_embeddings=tables(rope),
        shared_kv_states={},
    )
    assert their.v_proj is None
    ours = SharedKVAttention(
        D, HEADS, GROUPS, WIDTH, rope=rope, qk_norm="head", norm_eps=1e-5, scale=1.0
    ).double()
    ours.load_state_dict(
        {f"w{n}.weight": getattr(their, f"{n}_proj").weight for n in "qko"}
        | {"q_norm.weight": their.q_norm.weight, "k_norm.weight": their.k_norm.weight}
    )
    cache = check_equal(ours, x, y, gradient)
    spec = AttentionSpec(
        heads=HEADS,
        kv_heads=GROUPS,
        head_dim=WIDTH,
        value_dim=WIDTH,
        qk_norm="head",
        scale=1.0,
        shared_kv=True,
    )
    assert (
        mixer_params(spec, D)
        == sum(p.numel() for p in their.parameters())
        == sum(p.numel() for p in ours.parameters())
    )
    assert cache.nbytes == 2 * TOKENS * token_elements(spec) * 8


def test_sinks_are_gpt_oss():
    config = GptOssConfig(**SIZES, layer_types=["full_attention"], attention_bias=True)
    config._attn_implementation = "eager"
    rope, x = Rope(dim=WIDTH), torch.randn(2, TOKENS, D, dtype=torch.float64)
    half = [table[..., : WIDTH // 2] for table in tables(rope)]
    their, y, gradient = theirs_of(
        modeling_gpt_oss,
        lambda: modeling_gpt_oss.GptOssAttention(config, 0),
        config,
        x,
        position_embeddings=half,
    )
    ours = Attention(D, HEADS, GROUPS, WIDTH, rope=rope, bias_qkv=True, bias_out=True, sinks=True).double()
    state = {
        f"w{n}.{part}": getattr(getattr(their, f"{n}_proj"), part)
        for n in "qkvo"
        for part in ("weight", "bias")
    }
    ours.load_state_dict(state | {"sinks": their.sinks})
    check_equal(ours, x, y, gradient)
