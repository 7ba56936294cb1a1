"""DeepSeek-V3.2's and GLM-5's sparse layers: equal to `transformers` in float64, cached and whole."""

from importlib import import_module

import pytest
import torch
import transformers
from torch import nn

from course_lib.costs.cache import cache_bytes
from course_lib.layers.attention.block_selection import MaxBlockIndexer, MeanBlockIndexer
from course_lib.layers.attention.indexer import IndexedLatentAttention, Indexer
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.per_forward import PerForward
from course_lib.layers.positions.rope import Rope
from course_lib.models.checkpoints.weights import hf_tensors

from .against_transformers import Pair, in_float64

D, HEADS, N, TOP_K = 18, 3, 17, 6
SIZES = {"kv_rank": 11, "nope_dim": 5, "rope_dim": 6, "value_dim": 7, "q_rank": 13}
INDEX = {"heads": 8, "head_dim": 10}
FIELDS = {
    "hidden_size": D,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "kv_lora_rank": 11,
    "q_lora_rank": 13,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 6,
    "v_head_dim": 7,
    "index_n_heads": 8,
    "index_head_dim": 10,
    "num_hidden_layers": 2,
    "n_routed_experts": 2,
    "attn_implementation": "eager",
}
KINDS = {
    "deepseek_v32": ("DeepseekV32", "rotate_half", {}),
    "glm_moe_dsa": ("GlmMoeDsa", "interleaved", {"indexer_types": ["full", "shared"]}),
}
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def modeling(kind):
    return import_module(f"transformers.models.{kind}.modeling_{kind}")


class Layers:
    """Two layers of theirs, of which GLM's second takes the pick of the first, and ours with the weights."""

    def __init__(self, kind, top_k):
        name, pairing, more = KINDS[kind]
        self.module = modeling(kind)
        self.config = getattr(transformers, f"{name}Config")(**FIELDS, index_topk=top_k, **more)
        self.shares = bool(more)
        torch.manual_seed(2)
        with in_float64(self.module):
            self.theirs = [getattr(self.module, f"{name}Attention")(self.config, i) for i in range(2)]
            self.rotary = getattr(self.module, f"{name}RotaryEmbedding")(self.config)
        theta = self.config.rope_parameters["rope_theta"]
        self.ours = []
        for i, layer in enumerate(self.theirs):
            for tensor in layer.parameters():
                nn.init.normal_(tensor, std=0.5)
            layer.double().eval()
            own = None
            if not (self.shares and i):
                rope = Rope(dim=6, theta=theta, pairing=pairing)
                own = Indexer(D, 13, **INDEX, top_k=top_k, rope=rope)
            rope = Rope(dim=6, theta=theta, pairing="interleaved")
            ours = IndexedLatentAttention(D, HEADS, indexer=own, rope=rope, **SIZES).double()
            self.ours.append(self.copied(ours, layer))

    def copied(self, ours, theirs):
        pairs = {
            "wq_down": "q_a_proj",
            "q_norm": "q_a_layernorm",
            "wq_up": "q_b_proj",
            "wkv_down": "kv_a_proj_with_mqa",
            "kv_norm": "kv_a_layernorm",
            "wkv_up": "kv_b_proj",
            "wo": "o_proj",
        }
        if ours.indexer is not None:
            pairs |= {
                "indexer.wq": "indexer.wq_b",
                "indexer.wk": "indexer.wk",
                "indexer.k_norm": "indexer.k_norm",
                "indexer.head_weights": "indexer.weights_proj",
            }
        for mine, other in pairs.items():
            ours.get_submodule(mine).load_state_dict(theirs.get_submodule(other).state_dict())
        copied = sum(p.numel() for p in ours.parameters())
        assert copied == sum(p.numel() for p in theirs.parameters())
        return ours

    def expected(self, x):
        """What each of their layers gives for x, the pick handed on where they share it."""
        n, picked, found = x.shape[1], None, []
        mask = torch.full((1, 1, n, n), -torch.inf, dtype=x.dtype).triu(1)
        with in_float64(self.module):
            turn = self.rotary(x, torch.arange(n)[None])
            for layer in self.theirs:
                more = {"prev_topk_indices": picked} if self.shares else {}
                y, _, *rest = layer(x, position_embeddings=turn, attention_mask=mask, **more)
                picked = rest[0] if rest else None
                found.append(y)
        return torch.stack(found)

    def found(self, x, caches=(None, None), start=0):
        positions = torch.arange(start, start + x.shape[1]).expand(len(x), -1)
        per_forward = PerForward()
        both = zip(self.ours, caches, strict=True)
        return torch.stack([layer(x, positions, cache, per_forward) for layer, cache in both])

    def caches(self, batch):
        widths = [6 + (INDEX["head_dim"] if layer.indexer is not None else 0) for layer in self.ours]
        return [LatentCache(batch, N, 11, width, dtype=torch.float64) for width in widths]


def with_gradient(form, x):
    x = x.clone().requires_grad_()
    y = form(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("top_k", [TOP_K, N])
@pytest.mark.parametrize("absorbed", [False, True], ids=["plain", "absorbed"])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_equal_theirs_with_gradients(kind, absorbed, top_k):
    layers = Layers(kind, top_k)
    for layer in layers.ours:
        layer.absorbed = absorbed
    x = torch.randn(2, N, D, dtype=torch.float64)
    for mine, other in zip(with_gradient(layers.found, x), with_gradient(layers.expected, x), strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pick_changes_the_output_and_a_cache_does_not(kind):
    layers, x = Layers(kind, TOP_K), torch.randn(2, N, D, dtype=torch.float64)
    whole = layers.found(x)
    everything = Layers(kind, N).found(x)
    apart = (whole - everything).abs().amax((0, 1, 3))
    assert (apart[:TOP_K] < 1e-12).all()
    assert (apart[TOP_K:] > 1e-9).all()
    caches, parts = layers.caches(2), []
    with torch.no_grad():
        for start, end in ((0, 7), (7, 8), (8, 9), (9, 15), (15, N)):
            parts.append(layers.found(x[:, start:end], caches, start))
    torch.testing.assert_close(torch.cat(parts, 2), whole, **CLOSE)


def test_msa_picks_the_blocks_that_minimax_m3_picks():
    module = modeling("minimax_m3_vl")
    rope = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
    config = module.MiniMaxM3VLTextConfig(
        hidden_size=D,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        index_n_heads=2,
        index_head_dim=8,
        index_block_size=4,
        index_topk_blocks=3,
        index_local_blocks=1,
        num_hidden_layers=1,
        rope_parameters=rope,
    )
    theirs = module.MiniMaxM3VLIndexer(config, 0).double()
    for tensor in theirs.parameters():
        nn.init.normal_(tensor, std=0.5)
    ours = MaxBlockIndexer(D, 2, 8, size=4, top=3, rope=Rope(dim=4, theta=100.0)).double()
    for mine, other in (("wq", "q_proj"), ("wk", "k_proj"), ("q_norm", "q_norm"), ("k_norm", "k_norm")):
        ours.get_submodule(mine).load_state_dict(theirs.get_submodule(other).state_dict())
    ours.q_norm.eps = ours.k_norm.eps = config.rms_norm_eps
    x, positions = torch.randn(2, 23, D, dtype=torch.float64), torch.arange(23).expand(2, -1)
    with torch.no_grad(), in_float64(module):
        speeds = ours.rope.frequencies(torch.float64)
        angle = positions[..., None] * torch.cat((speeds, speeds))
        turn = angle.cos(), angle.sin()
        blocks = theirs(x, turn, None, positions)  # [b i t k], -1 for none
    places = blocks.masked_fill(blocks < 0, 6)  # behind the last block
    picked = torch.zeros(2, 2, 23, 7, dtype=torch.bool).scatter(-1, places, True)[..., :6]
    causal = torch.ones(2, 23, 23, dtype=torch.bool).tril()
    found = ours(x, positions, ours.keys(x, positions), positions, causal)
    expected = picked.transpose(1, 2).repeat_interleave(4, -1)[..., :23] & causal[:, :, None]
    assert found.equal(expected)
    assert (found.sum(-1) < causal.sum(-1)[..., None]).any()


def test_qsa_picks_the_keys_that_qwen4_picks():
    module = modeling("qwen4_exp")
    config = module.Qwen4ExpTextConfig(
        hidden_size=D,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        indexer_n_heads=8,
        indexer_kv_heads=1,
        indexer_head_dim=8,
        indexer_budget=8,
        indexer_compress_ratio=4,
        num_hidden_layers=1,
    )
    theirs = module.Qwen4ExpTextQSAIndexer(config, 0).double()
    for tensor in theirs.parameters():
        nn.init.normal_(tensor, std=0.5)
    ours = MeanBlockIndexer(D, 8, 8, size=4, top=2, rope=Rope(dim=8, theta=100.0)).double()
    q, k = theirs.index_qk_proj.weight.split((64, 8))
    ours.wq.weight.data.copy_(q)
    ours.wk.weight.data.copy_(k)
    ours.q_norm.load_state_dict(theirs.q_layernorm.state_dict())
    ours.k_norm.load_state_dict(theirs.k_layernorm.state_dict())
    x, positions = torch.randn(2, 23, D, dtype=torch.float64), torch.arange(23).expand(2, -1)
    causal = torch.ones(2, 23, 23, dtype=torch.bool).tril()
    speeds = ours.rope.frequencies(torch.float64)
    angle = positions[..., None] * torch.cat((speeds, speeds))
    with torch.no_grad(), in_float64(module):
        allowed = theirs(x, (angle.cos(), angle.sin()), causal[:, None], None)
    allowed = allowed[:, 0] if allowed.ndim == 4 else allowed
    found = ours(x, positions, ours.keys(x), positions, causal)
    assert found.equal(allowed.bool() & causal)
    assert (found.sum(-1) < causal.sum(-1)).any()


@pytest.fixture(params=KINDS, scope="module")
def pair(request):
    name, _, more = KINDS[request.param]
    fields = FIELDS | more | {"index_topk": TOP_K, "vocab_size": 29, "intermediate_size": 23}
    fields |= {"moe_intermediate_size": 9, "n_routed_experts": 4, "num_experts_per_tok": 2}
    fields |= {"n_group": 1, "topk_group": 1, "mlp_layer_types": ["dense", "sparse"]}
    config = getattr(transformers, f"{name}Config")(**fields)
    return Pair(config, getattr(transformers, f"{name}ForCausalLM"))


def test_whole_models_equal_theirs_whole_and_token_by_token(pair):
    tokens = pair.tokens(2, N)
    expected = pair.their_logits(tokens)
    torch.testing.assert_close(pair.our_logits(tokens), expected, **pair.tolerance)
    ours, theirs = pair.ours.make_cache(2, N), pair.their_cache()
    for part in tokens.split([8, 1, 1, 5, 2], 1):
        y = pair.our_logits(part, cache=ours)
        torch.testing.assert_close(y, pair.their_logits(part, theirs), **pair.tolerance)
    assert ours.nbytes == cache_bytes(pair.spec, batch=2, tokens=N, bytes_per_element=8)


def test_their_tensors_come_back(pair):
    given = pair.theirs.state_dict()
    back = hf_tensors(pair.ours)
    assert back.keys() == given.keys()
    assert all(back[name].equal(given[name]) for name in given)
