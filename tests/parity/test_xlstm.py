"""xLSTM's forward pass with the weights of `transformers`, in float64: blocks whose mixer is `MLSTM`.

No record of a mixer describes it yet, so the blocks are given their mixers, and no checkpoint is read. The
package `xlstm` stays out: with it, `transformers` takes its classes.
"""

import pytest
import torch
from torch import nn
from transformers import xLSTMConfig, xLSTMForCausalLM
from transformers.models.xlstm import modeling_xlstm

from course_lib.layers.norms import RMSNorm
from course_lib.layers.recurrent.mlstm import MLSTM
from course_lib.models.block import Block
from course_lib.specs.records import FFNSpec, LayerSpec, NormSpec, RWKVSpec

from .against_transformers import in_float64

D, HEADS, LAYERS, VOCAB, CHUNK = 24, 3, 2, 19, 4
FIELDS = {"hidden_size": D, "num_heads": HEADS, "num_hidden_layers": LAYERS, "vocab_size": VOCAB}
FIELDS |= {
    "ffn_round_up_to_multiple_of": 7,
    "chunk_size": CHUNK,
    "norm_eps": 1e-2,
    "output_logit_soft_cap": 2.0,
}
FIELDS |= {"gate_soft_cap": 1.5, "num_blocks": LAYERS}
NORM = NormSpec(kind="rmsnorm", eps=1e-2)


class Ours(nn.Module):
    """xLSTM of our parts."""

    def __init__(self, ffn: int) -> None:
        super().__init__()
        glu = FFNSpec(kind="glu", activation="silu", width=ffn)
        layer = LayerSpec(mixer=RWKVSpec(width=D), ffn=glu, norm=NORM)
        sizes = HEADS, D // 2 // HEADS, D // HEADS
        self.embed, self.head = nn.Embedding(VOCAB, D), nn.Linear(D, VOCAB, bias=False)
        self.blocks = nn.ModuleList(
            Block(D, layer, mixer=MLSTM(D, *sizes, cap=1.5, norm_eps=1e-2, chunk=5)) for _ in range(LAYERS)
        )
        self.norm = RMSNorm(D, 1e-2)

    def forward(self, tokens, states=None):
        start = 0 if states is None else states[0].length
        positions = torch.arange(start, start + tokens.shape[1]).expand(tokens.shape)
        x = self.embed(tokens)
        for block, state in zip(self.blocks, states or [None] * LAYERS, strict=True):
            x = block(x, positions, state)
        return 2.0 * torch.tanh(self.head(self.norm(x)) / 2.0)


NAMES = {
    "backbone.embeddings": "embed",
    "backbone.out_norm": "norm",
    "lm_head": "head",
    "norm_mlstm": "mixer_norm",
    "norm_ffn": "ffn_norm",
    "ffn.proj_up_gate": "ffn.gate",
    "ffn.proj_up": "ffn.up",
    "ffn.proj_down": "ffn.down",
    "mlstm_layer.q": "mixer.wq",
    "mlstm_layer.k": "mixer.wk",
    "mlstm_layer.v": "mixer.wv",
    "mlstm_layer.ogate_preact": "mixer.gate",
    "mlstm_layer.igate_preact": "mixer.enter",
    "mlstm_layer.fgate_preact": "mixer.forget",
    "mlstm_layer.multihead_norm": "mixer.gain",
    "mlstm_layer.out_proj": "mixer.wo",
}


def own_name(name: str) -> str:
    module, _, kind = name.removeprefix("backbone.blocks.").rpartition(".")
    number, _, inner = module.partition(".") if module[0].isdigit() else ("", "", module)
    ours = f"blocks.{number}.{NAMES[inner]}" if number else NAMES[module]
    return ours if ours.endswith("gain") else f"{ours}.{kind}"


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    with in_float64(modeling_xlstm):
        theirs = xLSTMForCausalLM(xLSTMConfig(**FIELDS)).double().eval()
    for parameter in theirs.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    ours = Ours(theirs.backbone.blocks[0].ffn.up_proj_dim).double()
    given = {own_name(name): parameter for name, parameter in theirs.named_parameters()}
    ours.load_state_dict(given)
    return theirs, ours


def their_output(theirs, tokens, **options):
    with in_float64(modeling_xlstm):
        return theirs(tokens, **options)


def test_logits_and_gradients_are_theirs(pair):
    theirs, ours = pair
    tokens = torch.randint(VOCAB, (2, 11))
    expected, found = their_output(theirs, tokens, use_cache=False).logits, ours(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn_like(expected)
    (expected * direction).sum().backward()
    (found * direction).sum().backward()
    own = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(own[own_name(name)].grad, parameter.grad, rtol=1e-9, atol=1e-9)


def their_cache(theirs, rows):
    """Zeros in the shapes of their layers; the cache itself rounds widths up to 64."""
    cache = modeling_xlstm.xLSTMCache(theirs.config, rows, dtype=torch.float64)
    shapes = (HEADS, D // 2 // HEADS, D // HEADS), (HEADS, D // 2 // HEADS), (HEADS, 1)
    for layer in range(LAYERS):
        cache.rnn_state[layer] = [torch.zeros(rows, *shape, dtype=torch.float64) for shape in shapes]
    return cache


@torch.no_grad()
def test_cached_decode_is_theirs(pair):
    theirs, ours = pair
    tokens = torch.randint(VOCAB, (2, 13))
    full = their_output(theirs, tokens, use_cache=False).logits
    states = [block.mixer.make_state(2, torch.float64) for block in ours.blocks]
    cache = their_cache(theirs, 2)
    for part in tokens.split([6, 1, 1, 4, 1], 1):
        start = states[0].length
        found = ours(part, states)
        stepwise = their_output(theirs, part, use_cache=True, cache_params=cache).logits
        torch.testing.assert_close(found, stepwise, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found, full[:, start : start + part.shape[1]], rtol=1e-10, atol=1e-10)
