"""FLOPs equal what `torch.utils.flop_counter` counts in a forward pass of the `transformers` models."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.mixers.dispatch import attention_flops_per_pair, recurrence_flops
from course_lib.costs.mixers.state_space import conv_channels
from course_lib.specs.records import AttentionSpec, LatentAttentionSpec, SSMSpec
from tests.parity.tiny_cost_models import ENCODER_DECODERS, FAMILIES, WINDOW, build, run

RECURRENT = ("mamba", "mamba2", "rwkv", "jamba")
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
        if isinstance(layer.mixer, SSMSpec):
            elsewhere += TOKENS * 2 * conv_channels(layer.mixer) * layer.mixer.conv
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
