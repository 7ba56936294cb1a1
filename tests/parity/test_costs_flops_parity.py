"""FLOPs equal what `torch.utils.flop_counter` counts in a forward pass of the `transformers` models."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule

from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.mixers.dispatch import attention_flops_per_pair, mechanism_of, recurrence_flops
from course_lib.specs.records import AttentionSpec, GatedDeltaNetSpec, LatentAttentionSpec, SSMSpec
from tests.parity.tiny_cost_models import ENCODER_DECODERS, FAMILIES, WINDOW, build, run

DELTA = ("qwen3-next", "qwen3.5-moe", "qwen3.5")
RECURRENT = ("mamba", "mamba2", "rwkv", "jamba", *DELTA)
LATENT = ("deepseek-v2", "deepseek-v3", "deepseek-v3-plain-queries")
ATTENDING = [name for name in FAMILIES if name not in RECURRENT]
TOKENS = 2 * WINDOW + 1


def counted(forward) -> dict[str, int]:
    """FLOPs in a call, by operator."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        forward()
    return {str(operator): flops for operator, flops in counter.get_flop_counts()["Global"].items()}


def source(family: str) -> dict[str, int]:
    return {"source_tokens": 5} if family in ENCODER_DECODERS else {}


@pytest.mark.parametrize("family", ATTENDING)
def test_a_full_pass(family):
    """`skip_masked=False`, since the eager kernels compute every score, hidden or not."""
    model, spec = build(family, torch.float32)
    found = counted(lambda: run(model, family, batch=1, tokens=TOKENS))
    expected = prefill_flops(spec, TOKENS, skip_masked=False, logit_positions=TOKENS, **source(family))
    assert sum(found.values()) == expected


@pytest.mark.parametrize("family", RECURRENT)
def test_the_projections_of_recurrent_models(family):
    """The scan itself has no matrix product to count, and a padded convolution counts beyond the end."""
    model, spec = build(family, torch.float32)
    found = counted(lambda: run(model, family, batch=1, tokens=TOKENS))
    whole = prefill_flops(spec, TOKENS, skip_masked=False, logit_positions=TOKENS)
    elsewhere = 0
    for layer in spec.layers:
        elsewhere += TOKENS * recurrence_flops(layer.mixer) + TOKENS**2 * attention_flops_per_pair(
            layer.mixer
        )
        if isinstance(layer.mixer, SSMSpec | GatedDeltaNetSpec):
            channels = mechanism_of(layer.mixer).conv_channels(layer.mixer)
            elsewhere += TOKENS * 2 * channels * layer.mixer.conv
    assert found["aten.mm"] == whole - elsewhere


@pytest.mark.parametrize("family", [name for name in ATTENDING if name not in LATENT])
def test_a_decode_step(family):
    """One token against a cache, once below a window and once beyond it."""
    model, spec = build(family, torch.float32)
    for past in (2, TOKENS):
        output = run(model, family, batch=1, tokens=past)
        step = {"past_key_values": output.past_key_values, "use_cache": True}
        if family in ENCODER_DECODERS:
            encoded = (output.encoder_last_hidden_state,)
            step |= {"encoder_outputs": encoded, "decoder_input_ids": torch.tensor([[3]])}
        else:
            step |= {"input_ids": torch.tensor([[3]])}
        found = counted(lambda step=step: model(**step))
        assert sum(found.values()) == flops_per_token(spec, past + 1, **source(family))


@pytest.mark.parametrize("family", LATENT)
def test_a_decode_step_that_multiplies_the_latent_out(family):
    """`transformers` keeps the latent and multiplies all of it out again in each step: past tokens pay the
    up-projection once more. Our two forms, absorbed and kept multiplied out, both avoid that."""
    model, spec = build(family, torch.float32)
    output = run(model, family, batch=1, tokens=TOKENS)
    step = {"input_ids": torch.tensor([[3]]), "past_key_values": output.past_key_values}
    found = counted(lambda: model(**step))
    again = sum(
        2 * TOKENS * mixer.kv_rank * mixer.heads * (mixer.nope_dim + mixer.value_dim)
        for mixer in (layer.mixer for layer in spec.layers)
    )
    assert all(isinstance(layer.mixer, LatentAttentionSpec) for layer in spec.layers)
    assert sum(found.values()) == flops_per_token(spec, TOKENS + 1, absorbed=False) + again


@pytest.mark.parametrize("family", DELTA)
def test_a_decode_step_of_the_delta_rule(family):
    """All but the recurrence, which runs without a matrix product. The convolution of one new input gives one
    column; `transformers` computes the one before it again, and drops it."""
    model, spec = build(family, torch.float32)
    recurrence = sum(recurrence_flops(layer.mixer) for layer in spec.layers)
    linear = [layer.mixer for layer in spec.layers if isinstance(layer.mixer, GatedDeltaNetSpec)]
    column = sum(2 * mixer.conv * mechanism_of(mixer).conv_channels(mixer) for mixer in linear)
    for past in (2, TOKENS):
        output = run(model, family, batch=1, tokens=past)
        step = {"input_ids": torch.tensor([[3]]), "past_key_values": output.past_key_values}
        found = counted(lambda step=step: model(**step))
        assert recurrence > 0
        assert found["aten.convolution"] == 2 * column
        assert sum(found.values()) == flops_per_token(spec, past + 1) - recurrence + column


class OnStates(TorchDispatchMode):
    """Counts the elements that multiplications, additions and sums work on, of tensors as big as a state."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.flops = size, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.rstrip("_") in ("mul", "add", "sub", "sum"):
            sizes = [one.numel() for one in (*args, result) if isinstance(one, torch.Tensor)]
            self.flops += self.size * (self.size in sizes)
        return result


def test_a_step_of_the_delta_rule_touches_each_element_of_the_state_seven_times():
    _, spec = build("qwen3.5", torch.float32)
    mixer = next(layer.mixer for layer in spec.layers if isinstance(layer.mixer, GatedDeltaNetSpec))
    heads, k, v = mixer.value_heads, mixer.key_dim, mixer.value_dim
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, heads, k, generator=generator) for _ in range(2))
    value = torch.randn(1, 1, heads, v, generator=generator)
    gate, strength = -torch.rand(1, 1, heads, generator=generator), torch.rand(1, 1, heads)
    with OnStates(heads * k * v) as counter:
        torch_recurrent_gated_delta_rule(
            query, key, value, g=gate, beta=strength, initial_state=None, output_final_state=True
        )
    assert counter.flops == recurrence_flops(mixer)


def test_pair_flops_of_latent_attention_absorbed():
    """The scores and sums of the absorbed form, written out with tensors of its shapes."""
    _, spec = build("deepseek-v3", torch.float32)
    mixer, keys = spec.layers[0].mixer, 11
    queries = torch.ones(mixer.heads, 1, mixer.kv_rank + mixer.rope_dim)
    latent = torch.ones(mixer.heads, keys, mixer.kv_rank + mixer.rope_dim)

    def attend():
        scores = queries @ latent.mT
        return scores @ latent[..., : mixer.kv_rank]

    assert sum(counted(attend).values()) == keys * attention_flops_per_pair(mixer, absorbed=True)


def test_jamba_attends_in_one_of_its_layers():
    _, spec = build("jamba", torch.float32)
    assert [isinstance(layer.mixer, AttentionSpec) for layer in spec.layers].count(True) == 1
