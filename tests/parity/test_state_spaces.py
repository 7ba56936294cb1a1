"""Mamba, Falcon Mamba and Mamba-2 with the weights of `transformers`, in float64: scans and whole models."""

import inspect
from dataclasses import replace

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.models.mamba import modeling_mamba
from transformers.models.mamba2 import modeling_mamba2

from course_lib.costs.cache import cache_bytes
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.layers.recurrent.scan import selective_scan_chunked, selective_scan_parallel
from course_lib.layers.recurrent.ssd import ssd_chunked, ssd_parallel, ssd_recurrent
from course_lib.models.checkpoints.files import load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.state_space_names import STATE_SPACE_TABLES
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair, in_float64

SIZES = {"hidden_size": 14, "num_hidden_layers": 3, "vocab_size": 19, "state_size": 5, "expand": 2}
SIZES |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BIASED = {"use_bias": True, "use_conv_bias": False, "tie_word_embeddings": False, "conv_kernel": 3}
HEADS = {"num_heads": 7, "head_dim": 4, "n_groups": 1, "chunk_size": 4}
WIDE = {"bytes_per_element": 8, "state_bytes_per_element": 8}
MODELS = {
    "mamba": ("Mamba", SIZES | {"time_step_rank": 3}),
    "mamba-biased": ("Mamba", SIZES | BIASED | {"time_step_rank": "auto", "intermediate_size": 28}),
    "falcon-mamba": ("FalconMamba", SIZES | {"time_step_rank": 3}),
    "falcon-mamba-biased": ("FalconMamba", SIZES | BIASED | {"mixer_rms_eps": 0.1}),
    "mamba2": ("Mamba2", SIZES | HEADS),
    "mamba2-groups": ("Mamba2", SIZES | BIASED | HEADS | {"num_heads": 4, "head_dim": 7, "n_groups": 2}),
    "mamba2-one-tap": ("Mamba2", SIZES | HEADS | {"conv_kernel": 1, "layer_norm_epsilon": 0.1}),
}


class StatePair(Pair):
    """A pair whose cache of theirs has another name, and which knows no positions."""

    @torch.no_grad()
    def their_logits(self, tokens, cache=None, position_ids=None, **options):
        with in_float64(self.modeling):
            out = self.theirs(tokens, cache_params=cache, use_cache=cache is not None, **options)
        return out.logits


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> StatePair:
    name, fields = MODELS[request.param]
    config = getattr(transformers, f"{name}Config")(**fields)
    return StatePair(config, getattr(transformers, f"{name}ForCausalLM"))


class TestStateSpaces(checks.DecoderParity):
    def test_left_padding(self, pair):
        """Theirs, too, where the projections have no bias, which would enter the convolution at padding."""
        if pair.ours.blocks[0].mixer.w_in.bias is None:
            checks.check_left_padding(pair)
        tokens, pads = pair.tokens(3, 11), (0, 3, 6)
        mask = torch.stack([(torch.arange(11) >= pad).long() for pad in pads])
        ours, cache = pair.our_logits(tokens, positions_from_padding(mask)), pair.ours.make_cache(3, 11)
        positions = positions_from_padding(mask)
        steps = [
            pair.our_logits(tokens[:, s:e], positions[:, s:e], cache)
            for s, e in ((0, 7), (7, 8), (8, 9), (9, 11))
        ]
        for row, pad in enumerate(pads):
            alone = pair.their_logits(tokens[row : row + 1, pad:])[0]
            torch.testing.assert_close(ours[row, pad:], alone, **pair.tolerance)
            torch.testing.assert_close(torch.cat(steps, 1)[row, pad:], alone, **pair.tolerance)

    def test_cache_bytes(self, pair):
        for length in (1, 4, 9):
            tokens = pair.tokens(2, length)
            our_cache, their_cache = pair.ours.make_cache(2, 3), pair.their_cache()
            pair.our_logits(tokens, cache=our_cache)
            pair.their_logits(tokens, their_cache)
            assert our_cache.nbytes == cache_bytes(pair.spec, batch=2, tokens=length, **WIDE)
            assert our_cache.nbytes == sum(
                kept.nbytes
                for layer in their_cache.layers
                for kept in (*layer.conv_states.values(), *layer.recurrent_states.values())
            )

    def test_the_states_are_theirs(self, pair):
        tokens, our_cache, their_cache = pair.tokens(2, 9), pair.ours.make_cache(2, 9), pair.their_cache()
        pair.our_logits(tokens, cache=our_cache)
        pair.their_logits(tokens, their_cache)
        for ours, theirs in zip(our_cache, their_cache.layers, strict=True):
            torch.testing.assert_close(ours["state"], theirs.recurrent_states[0], **pair.tolerance)
            torch.testing.assert_close(ours["inputs"], theirs.conv_states[0], **pair.tolerance)

    def test_a_prompt_in_two_pieces(self, pair):
        """A state handed on through the chunked scan; their Mamba would start anew."""
        tokens, cache = pair.tokens(2, 13), pair.ours.make_cache(2, 13)
        pieces = [pair.our_logits(piece, cache=cache) for piece in tokens.split(5, 1)]
        torch.testing.assert_close(torch.cat(pieces, 1), pair.their_logits(tokens), **pair.tolerance)

    def test_we_load_what_they_save(self, pair, tmp_path):
        pair.theirs.save_pretrained(tmp_path)
        loaded, tokens = load_checkpoint(tmp_path), pair.tokens(2, 9)
        assert replace(loaded.spec, counted="") == replace(pair.spec, counted="")
        with torch.no_grad():
            assert torch.equal(loaded(tokens), pair.our_logits(tokens))

    def test_they_load_what_we_save(self, pair, tmp_path):
        save_checkpoint(pair.ours, tmp_path, pair.theirs.config.to_dict())
        loaded, report = AutoModelForCausalLM.from_pretrained(
            tmp_path, dtype=torch.float64, output_loading_info=True
        )
        assert type(loaded) is type(pair.theirs) and not any(report.values()), report
        theirs = dict(pair.theirs.named_parameters())
        assert all(torch.equal(parameter, theirs[name]) for name, parameter in loaded.named_parameters())


JAMBA = {"hidden_size": 12, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 7}
JAMBA |= {"num_hidden_layers": 5, "attn_layer_period": 3, "attn_layer_offset": 1, "vocab_size": 19}
JAMBA |= {"expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 4, "num_experts_per_tok": 2}
JAMBA |= {"mamba_d_state": 5, "mamba_d_conv": 3, "mamba_dt_rank": 3, "rms_norm_eps": 0.1, "pad_token_id": 0}


@pytest.fixture(scope="module")
def jamba() -> Pair:
    return Pair(transformers.JambaConfig(**JAMBA), transformers.JambaForCausalLM)


class TestJamba:
    """Mamba with norms on step size, B and C, beside attention without positions, and experts."""

    def test_parameter_count(self, jamba):
        checks.check_parameter_count(jamba)

    def test_full_forward(self, jamba):
        checks.check_full_forward(jamba)

    def test_gradients(self, jamba):
        checks.check_gradients(jamba)

    def test_cached_decode(self, jamba):
        checks.check_cached_decode(jamba)

    def test_left_padding(self, jamba):
        checks.check_left_padding(jamba)

    def test_checkpoints_both_ways(self, jamba, tmp_path):
        """Files name each expert by itself."""
        tokens = jamba.tokens(2, 9)
        jamba.theirs.save_pretrained(tmp_path / "theirs")
        save_checkpoint(jamba.ours, tmp_path / "ours", jamba.theirs.config.to_dict())
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float64).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in jamba.theirs.state_dict().items())
        with torch.no_grad():
            found = load_checkpoint(tmp_path / "theirs")(tokens)
        assert torch.equal(found, jamba.our_logits(tokens))


def test_in_half_precision_the_accumulators_stay_in_float32():
    name, fields = MODELS["mamba2"]
    config = getattr(transformers, f"{name}Config")(**fields)
    pair = StatePair(config, getattr(transformers, f"{name}ForCausalLM"))
    model = pair.ours.bfloat16()
    cache, tokens = model.make_cache(2, 9), pair.tokens(2, 9)
    for piece in (tokens[:, :6], tokens[:, 6:7]):
        model(piece, cache=cache)
        assert cache.nbytes == cache_bytes(pair.spec, batch=2, tokens=7)


def test_every_family_with_names_has_its_pair():
    families = {getattr(transformers, f"{name}Config").model_type for name, _ in MODELS.values()}
    assert families | {"jamba"} == set(STATE_SPACE_TABLES)


def random_scan(batch, t, i, n):
    torch.manual_seed(0)
    shapes = (batch, t, i), (batch, t, i), (i, n), (batch, t, n), (batch, t, n)
    u, dt, a, b, c = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return [one.requires_grad_() for one in (u, dt.exp(), -a.exp(), b, c)]


def equal_with_gradients(parts, ours, theirs):
    weights = torch.randn_like(ours)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), parts),
        torch.autograd.grad((theirs * weights).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", [selective_scan_chunked, selective_scan_parallel])
def test_the_scan_is_theirs_with_gradients(form):
    u, dt, a, b, c = parts = random_scan(2, 37, 6, 5)
    scan = inspect.unwrap(modeling_mamba.mamba_selective_scan)
    with in_float64(modeling_mamba):
        theirs = scan(*(one.transpose(1, 2) for one in (u, dt)), a, b.transpose(1, 2), c.transpose(1, 2))
    equal_with_gradients(parts, form(*parts)[0], theirs.transpose(1, 2))


@pytest.mark.parametrize("form", [ssd_recurrent, ssd_parallel, ssd_chunked])
def test_ssd_is_theirs_with_gradients(form):
    torch.manual_seed(0)
    shapes = (2, 37, 6, 3), (2, 37, 6), (6,), (2, 37, 2, 5), (2, 37, 2, 5)
    x, dt, a, b, c = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    parts = [one.requires_grad_() for one in (x, dt.exp(), -a.exp(), b, c)]
    with in_float64(modeling_mamba2):
        theirs = inspect.unwrap(modeling_mamba2.mamba2_chunk_scan)(*parts, chunk_size=8)
    equal_with_gradients(parts, form(*parts)[0], theirs)
