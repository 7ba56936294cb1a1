"""DeepSeek-V4's layers (HCA, CSA, windows alone): equal to `transformers` in float64, with gradients."""

from importlib import import_module

import pytest
import torch
from torch import nn

from course_lib.layers.attention.compressed import Compressor, EntryIndexer, attend_to_entries, turn_last
from course_lib.layers.norms import RMSNorm
from course_lib.layers.positions.rope import Rope

from .against_transformers import in_float64

MODULE = import_module("transformers.models.deepseek_v4.modeling_deepseek_v4")
D, HEADS, WIDTH, TURN, Q_RANK, WINDOW, N = 16, 4, 12, 6, 10, 5, 27
KINDS = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")
SIZES = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 8}


def their_layer(kind, top_k=2):
    config = MODULE.DeepseekV4Config(
        hidden_size=D,
        num_attention_heads=HEADS,
        num_hidden_layers=1,
        head_dim=WIDTH,
        q_lora_rank=Q_RANK,
        o_groups=2,
        o_lora_rank=4,
        sliding_window=WINDOW,
        compress_rates=SIZES,
        qk_rope_head_dim=TURN,
        index_n_heads=8,
        index_head_dim=8,
        index_topk=top_k,
        layer_types=[kind],
        n_routed_experts=2,
        attn_implementation="eager",
    )
    torch.manual_seed(4)
    with in_float64(MODULE):  # which makes rotary speeds, too
        layer = MODULE.DeepseekV4Attention(config, 0)
    for tensor in layer.parameters():
        nn.init.normal_(tensor, std=0.5)
    return config, layer.double().eval()


def filled(ours, theirs, **extra):
    """Their compressor's weights in ours."""
    names = {"values": "kv_proj", "gates": "gate_proj", "norm": "kv_norm"} | extra
    for mine, other in names.items():
        ours.get_submodule(mine).load_state_dict(theirs.get_submodule(other).state_dict())
    ours.position_bias.data.copy_(theirs.position_bias)
    return ours


def our_layer(kind, theirs, config, x, positions):
    """The layer up to the projection back, with their projections and our parts."""
    label = "main" if kind == "sliding_attention" else "compress"
    settings = config.rope_parameters[label]
    rope = Rope(dim=TURN, theta=settings["rope_theta"], pairing="interleaved")
    with in_float64(MODULE):
        q_latent = theirs.q_a_norm(theirs.q_a_proj(x))
    queries = theirs.q_b_proj(q_latent).unflatten(-1, (HEADS, WIDTH))
    queries = turn_last(nn.functional.rms_norm(queries, (WIDTH,), eps=config.rms_norm_eps), positions, rope)
    norm = RMSNorm(WIDTH, config.rms_norm_eps).double()
    norm.load_state_dict(theirs.kv_norm.state_dict())
    tokens = turn_last(norm(theirs.kv_proj(x))[:, :, None], positions, rope)[:, :, 0]
    entries = x.new_zeros(len(x), 0, WIDTH)
    seen = torch.zeros(*x.shape[:2], 0, dtype=torch.bool)
    if kind != "sliding_attention":
        overlap, size = kind == KINDS[1], SIZES[kind]
        options = {"size": size, "rope": rope, "norm_eps": config.rms_norm_eps}
        compressor = filled(Compressor(D, WIDTH, overlap=overlap, **options).double(), theirs.compressor)
        entries = compressor(x)
        number = torch.arange(entries.shape[1])
        seen = number < ((positions + 1) // size)[..., None]
        if overlap:
            other = theirs.compressor.indexer
            indexer = EntryIndexer(
                D, Q_RANK, heads=8, head_dim=8, top_k=config.index_topk, **options
            ).double()
            filled(indexer.compressor, other)
            indexer.wq.load_state_dict(other.q_b_proj.state_dict())
            indexer.head_weights.load_state_dict(other.scorer.weights_proj.state_dict())
            seen = indexer(x, q_latent, positions)
    parts = queries, tokens, entries, seen, positions
    y = attend_to_entries(*parts, window=WINDOW, rope=rope, sinks=theirs.sinks)
    grouped = y.flatten(2).unflatten(-1, (config.o_groups, -1))
    return theirs.o_b_proj(theirs.o_a_proj(grouped).flatten(2))


def with_gradient(form, x):
    x = x.clone().requires_grad_()
    y = form(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("n", [3, 8, N])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_each_kind(kind, n):
    config, theirs = their_layer(kind)
    positions = torch.arange(n).expand(2, -1)
    apart = positions[0, :, None] - positions[0]
    mask = torch.zeros(2, 1, n, n, dtype=torch.float64)
    mask = mask.masked_fill((apart < 0) | (apart >= WINDOW), -torch.inf)

    def expected(x):
        with in_float64(MODULE):
            rotary = MODULE.DeepseekV4RotaryEmbedding(config)
            turns = {label: rotary(x, positions, layer_type=label) for label in ("main", "compress")}
            return theirs(x, turns, positions, mask)[0]

    def found(x):
        return our_layer(kind, theirs, config, x, positions)

    x = torch.randn(2, n, D, dtype=torch.float64)
    for mine, other in zip(with_gradient(found, x), with_gradient(expected, x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)
