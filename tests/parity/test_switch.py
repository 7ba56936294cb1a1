"""Switch Transformers equals `transformers` in float64: capacity in each row, losses, gradients, names.

Their router works out its probabilities in `router_dtype`, of which float64 is none; inside `in_float64` what
it calls float32 is float64.
"""

import pytest
import torch
from transformers import SwitchTransformersConfig, SwitchTransformersForConditionalGeneration

from course_lib.layers.feed_forward.balance import switch_loss, z_loss
from course_lib.models.checkpoints.expert_files import experts_apart
from course_lib.models.checkpoints.files import load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.weights import hf_tensors
from course_lib.models.encoder_decoder import EncoderDecoder
from tests.parity.against_transformers import in_float64
from tests.parity.twins import TOLERANCE, Twins, check_counts, twins

SIZES = {
    "vocab_size": 29,
    "d_model": 15,
    "d_kv": 7,
    "d_ff": 11,
    "num_heads": 3,
    "num_layers": 4,
    "num_decoder_layers": 4,
    "num_sparse_encoder_layers": 2,
    "num_sparse_decoder_layers": 1,
    "num_experts": 3,
    "relative_attention_num_buckets": 10,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}


def pair_of(**changes) -> Twins:
    return twins(
        SwitchTransformersConfig(**SIZES | changes),
        SwitchTransformersForConditionalGeneration,
        EncoderDecoder,
    )


@pytest.fixture(params=[{"expert_capacity": 2}, {"expert_capacity": 64, "router_bias": True}], scope="module")
def pair(request) -> Twins:
    return pair_of(**request.param)


def logits_of(pair: Twins, source, target):
    return pair.say(input_ids=source, decoder_input_ids=target, use_cache=False).logits


def test_counts(pair):
    check_counts(pair)


def test_full_forward(pair):
    source, target = pair.tokens(2, 9), pair.tokens(2, 7)
    with torch.no_grad():
        torch.testing.assert_close(pair.ours(source, target), logits_of(pair, source, target), **TOLERANCE)


def test_a_tight_capacity_drops_tokens_and_a_wide_one_does_not():
    """The same weights: the logits differ, and each row's are its own."""
    tight, wide = pair_of(expert_capacity=1), pair_of(expert_capacity=64)
    source, target = tight.tokens(2, 9), tight.tokens(2, 7)
    with torch.no_grad():
        got, loose = tight.ours(source, target), wide.ours(source, target)
        alone = tight.ours(source[:1], target[:1])
    assert (got - loose).abs().max() > 0.01
    torch.testing.assert_close(got[:1], alone, **TOLERANCE)


def test_gradients(pair):
    source, target = pair.tokens(2, 9), pair.tokens(2, 7)
    direction = torch.randn(2, 7, 29, dtype=torch.float64)
    with in_float64(pair.modeling):
        logits = pair.theirs(input_ids=source, decoder_input_ids=target, use_cache=False).logits
        (logits * direction).sum().backward()
    (pair.ours(source, target) * direction).sum().backward()
    ours = hf_tensors(pair.ours, {name: one.grad for name, one in pair.ours.named_parameters()})
    ours = experts_apart(ours, "switch_transformers")
    for name, parameter in pair.theirs.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        size = max(gradient.abs().max().item(), 1.0)
        torch.testing.assert_close(ours.pop(name), gradient, rtol=1e-10, atol=1e-10 * size)
    assert not ours
    pair.theirs.zero_grad()
    pair.ours.zero_grad()


def test_cached_steps_equal_the_full_pass_where_there_is_room():
    pair = pair_of(expert_capacity=64)
    source, target = pair.tokens(2, 9), pair.tokens(2, 7)
    with torch.no_grad():
        encoded, cache = pair.ours.encode(source), pair.ours.make_cache(2, 7)
        steps = [pair.ours.decode(encoded, target[:, i : i + 1], cache=cache) for i in range(7)]
    torch.testing.assert_close(torch.cat(steps, 1), logits_of(pair, source, target), **TOLERANCE)


def test_losses_of_a_row():
    """Theirs takes each row by itself and the mean over rows; the z-loss is the mean over all tokens."""
    pair = pair_of()
    logits = torch.randn(3, 5, 4, dtype=torch.float64)
    picks = logits.argmax(-1)
    with in_float64(pair.modeling):
        balance = pair.modeling.load_balancing_loss_func(logits.softmax(-1), picks)
        size = pair.modeling.router_z_loss_func(logits)
    rows = [switch_loss(one.softmax(-1), pick[:, None]) for one, pick in zip(logits, picks, strict=True)]
    torch.testing.assert_close(torch.stack(rows).mean(), balance, **TOLERANCE)
    torch.testing.assert_close(z_loss(logits.flatten(0, 1)), size, **TOLERANCE)


def test_checkpoints_both_ways(pair, tmp_path):
    pair.theirs.save_pretrained(tmp_path / "theirs")
    loaded = load_checkpoint(tmp_path / "theirs")
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, dict(pair.ours.named_parameters())[name]), name
    save_checkpoint(pair.ours, tmp_path / "ours", pair.theirs.config.to_dict())
    again, report = SwitchTransformersForConditionalGeneration.from_pretrained(
        tmp_path / "ours", dtype=torch.float64, output_loading_info=True
    )
    assert not any(report.values()), report
    for name, parameter in again.named_parameters():
        kept = dict(pair.theirs.named_parameters())[name].to(parameter.dtype)
        assert torch.equal(parameter, kept), name


def test_which_layers_are_sparse():
    spec = pair_of().spec
    sparse = [[hasattr(layer.ffn, "experts") for layer in stack] for stack in (spec.encoder, spec.layers)]
    assert sparse == [[False, True, False, True], [False, True, False, False]]
