"""Mixture-of-experts layers equal those of `transformers`, one a kind of routing, with gradients."""

from importlib import import_module

import pytest
import torch
import transformers
from torch import nn

from course_lib.layers.feed_forward.balance import sequence_loss, switch_loss, z_loss
from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.hash_router import HashRouter
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.per_forward import PerForward

from .against_transformers import TOLERANCE, in_float64

D, F, E, K, VOCAB = 10, 6, 8, 3, 23
SIZES = {"hidden_size": D, "intermediate_size": F, "moe_intermediate_size": F, "vocab_size": VOCAB}
SIZES |= {"num_experts_per_tok": K, "num_attention_heads": 2, "num_key_value_heads": 2}
SIZES |= {"num_local_experts": E, "num_experts": E, "n_routed_experts": E, "hidden_act": "silu"}


def modeling(kind):
    return import_module(f"transformers.models.{kind}.modeling_{kind}")


def theirs(kind, config, layer, **options):
    """Their layer in float64, every tensor random, buffers included."""
    config = getattr(transformers, config)(**(SIZES | options))
    config._experts_implementation = "eager"
    block = getattr(modeling(kind), layer)(config, *((0,) if kind == "deepseek_v4" else ())).double().eval()
    for tensor in (*block.parameters(), *(b for b in block.buffers() if b.is_floating_point())):
        nn.init.normal_(tensor, std=0.5)
    return block


def copy(ours, gate, experts, *, shared=None, transposed=False, interleaved=False):
    """Put their weights into ours."""
    ours = ours.double()
    router = getattr(ours.router, "scorer", ours.router)
    for name in ("weight", "bias"):
        if getattr(router.gate, name) is not None:
            getattr(router.gate, name).data = getattr(gate, name).data
    own = ours.experts
    flip = (lambda w: w.mT) if transposed else (lambda w: w)
    if own.gate is None:
        own.up.data = experts.up_proj.data
    else:
        packed = flip(experts.gate_up_proj.data)[: own.e]
        pair = (packed[:, ::2], packed[:, 1::2]) if interleaved else packed.chunk(2, 1)
        own.gate.data, own.up.data = pair
    own.down.data = flip(experts.down_proj.data)
    if own.up_bias is not None:
        bias = experts.gate_up_proj_bias.data
        own.gate_bias.data, own.up_bias.data = bias[:, ::2], bias[:, 1::2]
        own.down_bias.data = experts.down_proj_bias.data
    if shared is not None:
        for name in ("gate", "up", "down"):
            getattr(ours.shared.network, name).weight.data = getattr(shared, f"{name}_proj").weight.data
    if router.selection_bias is not None:
        router.selection_bias = gate.e_score_correction_bias
    return ours


def glu(width=F):
    return SharedExpert(GatedMLP(D, width), D)


def mixtral():
    block = theirs("mixtral", "MixtralConfig", "MixtralSparseMoeBlock")
    return block, copy(MoE(Router(D, E, K), Experts(E, D, F)), block.gate, block.experts)


def softmax_over_the_picks():
    block = theirs("mixtral", "MixtralConfig", "MixtralSparseMoeBlock")
    router = Router(D, E, K, softmax_after=True)
    return block, copy(MoE(router, Experts(E, D, F)), block.gate, block.experts)


def qwen2_moe():
    block = theirs("qwen2_moe", "Qwen2MoeConfig", "Qwen2MoeSparseMoeBlock", shared_expert_intermediate_size=7)
    shared = SharedExpert(GatedMLP(D, 7), D, gate=True)
    ours = MoE(Router(D, E, K, renormalise=False), Experts(E, D, F), shared)
    ours = copy(ours, block.gate, block.experts, shared=block.shared_expert)
    ours.shared.gate.weight.data = block.shared_expert_gate.weight.data
    return block, ours


def deepseek_v2():
    options = {"n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy"}
    block = theirs(
        *("deepseek_v2", "DeepseekV2Config", "DeepseekV2Moe"),
        **options,
        n_shared_experts=2,
        routed_scaling_factor=1.5,
    )
    router = Router(D, E, K, renormalise=False, groups=4, top_groups=2, group_score="max", scale=1.5)
    ours = MoE(router, Experts(E, D, F), glu(2 * F))
    return block, copy(ours, block.gate, block.experts, shared=block.shared_experts)


def deepseek_v3():
    options = {"n_group": 4, "topk_group": 2, "n_shared_experts": 1, "routed_scaling_factor": 2.5}
    block = theirs("deepseek_v3", "DeepseekV3Config", "DeepseekV3MoE", **options)
    router = Router(D, E, K, scoring="sigmoid", groups=4, top_groups=2, selection_bias=True, scale=2.5)
    ours = MoE(router, Experts(E, D, F), glu())
    return block, copy(ours, block.gate, block.experts, shared=block.shared_experts)


def gpt_oss():
    block = theirs("gpt_oss", "GptOssConfig", "GptOssMLP")
    router = Router(D, E, K, softmax_after=True, bias=True)
    ours = MoE(router, Experts(E, D, F, activation="swiglu_clamped", bias=True))
    return block, copy(ours, block.router, block.experts, transposed=True, interleaved=True)


def llama4():
    block = theirs("llama4", "Llama4TextConfig", "Llama4TextMoe")
    router = Router(D, E, K, scoring="sigmoid", renormalise=False)
    ours = MoE(router, Experts(E, D, F), glu(), weigh_input=True)
    return block, copy(ours, block.router, block.experts, shared=block.shared_expert, transposed=True)


def longcat_flash():
    block = theirs(
        *("longcat_flash", "LongcatFlashConfig", "LongcatFlashMoE"),
        expert_ffn_hidden_size=F,
        zero_expert_num=4,
        moe_topk=K,
        routed_scaling_factor=6.0,
    )
    router = Router(D, E + 4, K, renormalise=False, selection_bias=True, scale=6.0)
    gate = block.router.classifier
    gate.e_score_correction_bias = block.router.e_score_correction_bias
    return block, copy(MoE(router, Experts(E, D, F), zero=4), gate, block.experts)


def nemotron_h():
    options = {"moe_latent_size": 4, "moe_shared_expert_intermediate_size": 7, "mlp_hidden_act": "relu2"}
    block = theirs("nemotron_h", "NemotronHConfig", "NemotronHMoE", **options, n_group=1, topk_group=1)
    block.shared_experts = nn.Identity()
    router = Router(D, E, K, scoring="sigmoid", selection_bias=True, scale=block.gate.routed_scaling_factor)
    experts = Experts(E, 4, F, activation="relu2", gated=False)
    ours = copy(MoE(router, experts, nn.Identity(), latent=4), block.gate, block.experts)
    ours.into_latent.weight.data = block.fc1_latent_proj.weight.data
    ours.out_of_latent.weight.data = block.fc2_latent_proj.weight.data
    return block, ours


def minimax_m2():
    block = theirs("minimax_m2", "MiniMaxM2Config", "MiniMaxM2SparseMoeBlock")
    block.gate.e_score_correction_bias = block.e_score_correction_bias
    router = Router(D, E, K, scoring="sigmoid", selection_bias=True)
    return block, copy(MoE(router, Experts(E, D, F)), block.gate, block.experts)


class RoutedAlone(nn.Module):
    """DeepSeek-V4's layer without its shared expert."""

    def __init__(self, block, *tokens):
        super().__init__()
        self.block, self.tokens = block, tokens
        block.shared_experts = nn.Identity()

    def forward(self, x):
        return self.block(x, *self.tokens) - x


def deepseek_v4():
    options = {"mlp_layer_types": ["moe"], "num_hidden_layers": 1, "routed_scaling_factor": 1.5}
    options |= {"layer_types": ["sliding_attention"], "swiglu_limit": 0.4}
    block = theirs("deepseek_v4", "DeepseekV4Config", "DeepseekV4SparseMoeBlock", **options)
    router = Router(D, E, K, scoring="sqrt_softplus", selection_bias=True, scale=1.5)
    ours = copy(MoE(router, Experts(E, D, F, limit=0.4)), block.gate, block.experts)
    return RoutedAlone(block), ours


def deepseek_v4_hash():
    options = {"mlp_layer_types": ["hash_moe"], "num_hidden_layers": 1, "routed_scaling_factor": 1.5}
    options |= {"layer_types": ["sliding_attention"], "swiglu_limit": 0.4}
    block = theirs("deepseek_v4", "DeepseekV4Config", "DeepseekV4SparseMoeBlock", **options)
    block.gate.tid2eid = torch.rand(VOCAB, E).topk(K).indices
    router = HashRouter(D, E, block.gate.tid2eid, scoring="sqrt_softplus", scale=1.5)
    ours = copy(MoE(router, Experts(E, D, F, limit=0.4)), block.gate, block.experts)
    return RoutedAlone(block, TOKENS), ours


def switch(slots=1):
    block = theirs(
        *("switch_transformers", "SwitchTransformersConfig", "SwitchTransformersSparseMLP"),
        d_model=D,
        d_ff=F,
        expert_capacity=slots,
        dense_act_fn="relu",
    )
    block.router.dtype = torch.float64
    experts = Experts(E, D, F, activation="relu", gated=False).double()
    for index in range(E):
        network = block.experts[f"expert_{index}"]
        experts.up.data[index], experts.down.data[index] = network.wi.weight.data, network.wo.weight.data
    ours = MoE(Router(D, E, 1, renormalise=False), experts, capacity=Capacity(slots=slots)).double()
    ours.router.gate.weight.data = block.router.classifier.weight.data
    return block, ours


TOKENS = torch.arange(14).view(2, 7) % VOCAB
CASES = [mixtral, softmax_over_the_picks, qwen2_moe, deepseek_v2, deepseek_v3, gpt_oss, llama4]
CASES += [longcat_flash, nemotron_h, minimax_m2, deepseek_v4, deepseek_v4_hash, switch]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_layer_equals_theirs(case):
    torch.manual_seed(0)
    name = {"softmax_over_the_picks": "mixtral", "deepseek_v4_hash": "deepseek_v4"}.get(case.__name__)
    name = "switch_transformers" if case is switch else name or case.__name__
    with in_float64(modeling(name)):
        block, ours = case()
        x = torch.randn(2, 7, D).double()
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        expected = block(one)
        expected = expected[0] if isinstance(expected, tuple) else expected
        found = ours(other, per_forward := PerForward(TOKENS))
        torch.testing.assert_close(found, expected.view_as(found), **TOLERANCE)
        grads = [
            torch.autograd.grad((y.view_as(x) ** 2).sum(), leaf)[0]
            for y, leaf in ((expected, one), (found, other))
        ]
        torch.testing.assert_close(*grads, **TOLERANCE)
    if case is switch:
        served = per_forward.auxiliary.statistics[0, "served"]
        assert 0 < served.sum() < served.numel()
    if case is longcat_flash:
        picks = per_forward.auxiliary.statistics[0, "picks"]
        assert 0 < (picks >= E).sum() < picks.numel()


@pytest.mark.parametrize("padded", [False, True])
def test_the_balance_loss_of_all_layers_is_theirs(padded):
    """Theirs puts all layers' tokens into one line, and its f sums to k."""
    routings = [Router(D, E, K).double()(torch.randn(14, D).double()) for _ in range(2)]
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, :3] = 0 if padded else 1
    counted = mask.flatten().bool().repeat(2)
    scores, experts = (torch.cat([getattr(one, name) for one in routings]) for name in ("scores", "experts"))
    with in_float64(module := modeling("mixtral")):
        expected = module.load_balancing_loss_func(
            tuple(one.logits for one in routings), E, K, mask if padded else None
        )
    found = switch_loss(scores, experts, counted=counted, over_k=False)
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=0)  # theirs counts in float32


def test_losses_of_switch_are_theirs():
    routing, module = Router(D, E, 1).double()(torch.randn(14, D).double()), modeling("switch_transformers")
    scores, picks = routing.scores.view(2, 7, E), routing.experts.view(2, 7, 1)
    expected = module.load_balancing_loss_func(scores, picks[..., 0])
    torch.testing.assert_close(sequence_loss(scores, picks), expected.double(), rtol=1e-6, atol=0)
    expected = module.router_z_loss_func(routing.logits.view(2, 7, E))
    torch.testing.assert_close(z_loss(routing.logits), expected, **TOLERANCE)
