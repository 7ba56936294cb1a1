"""Bamba, Falcon-H1, Granite 4, Nemotron-H as whole models with the weights of `transformers`, in float64."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib.costs.cache import cache_bytes
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.checkpoints.files import load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.hybrid_names import HYBRID_TABLES
from course_lib.models.lm import CausalLM
from course_lib.specs.from_hf import spec_from_hf_config
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair, in_float64

from .tiny_hybrids import BRIEF, MODELS, PADDING_LEAKS

WIDE = {"bytes_per_element": 8, "state_bytes_per_element": 8}


class HybridPair(Pair):
    """A pair whose model of theirs is told the positions: Bamba would begin at 0 in each call."""

    @torch.no_grad()
    def their_logits(self, tokens, cache=None, position_ids=None, **options):
        start = 0 if cache is None else cache.get_seq_length(self.attending)
        if position_ids is None:
            position_ids = torch.arange(start, start + tokens.shape[1]).expand(len(tokens), -1)
        options |= {"past_key_values": cache, "use_cache": cache is not None}
        with in_float64(self.modeling):
            return self.theirs(tokens, position_ids=position_ids, **options).logits

    @property
    def attending(self) -> int:
        """Number of a layer with keys and values."""
        kinds = getattr(self.theirs.config, "layer_types", None) or ["full_attention"]
        return kinds.index("full_attention") if "full_attention" in kinds else 0


def pair_of(name: str) -> HybridPair:
    family, fields = MODELS[name]
    config = CONFIG_MAPPING[family].from_dict(deepcopy(fields))
    made = HybridPair(config, getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]))
    made.name = name
    return made


@pytest.fixture(params=[name for name in MODELS if name not in BRIEF], scope="module")
def pair(request) -> HybridPair:
    return pair_of(request.param)


def test_every_family_with_names_has_its_pair():
    assert {family for family, _ in MODELS.values()} == set(HYBRID_TABLES)


class TestHybrids:
    def test_full_forward(self, pair):
        checks.check_parameter_count(pair)
        checks.check_full_forward(pair, length=9)

    def test_gradients(self, pair):
        checks.check_gradients(pair, length=6)

    def test_cached_decode(self, pair):
        checks.check_cached_decode(pair, prompt=4, length=6)

    def test_a_prompt_in_pieces(self, pair):
        tokens, cache = pair.tokens(2, 9), pair.ours.make_cache(2, 9)
        pieces = [pair.our_logits(piece, cache=cache) for piece in tokens.split([6, 1, 2], 1)]
        torch.testing.assert_close(torch.cat(pieces, 1), pair.their_logits(tokens), **pair.tolerance)
        assert cache.nbytes == cache_bytes(pair.spec, batch=2, tokens=9, **WIDE)

    def test_left_padding(self, pair):
        """Ours is right in every model."""
        tokens, pads = pair.tokens(2, 7), (0, 3)
        mask = torch.stack([(torch.arange(7) >= pad).long() for pad in pads])
        positions = positions_from_padding(mask)
        found = pair.our_logits(tokens, positions)
        theirs = pair.their_logits(tokens, position_ids=positions.clamp(min=0), attention_mask=mask)
        for row, pad in enumerate(pads):
            alone = pair.their_logits(tokens[row : row + 1, pad:])[0]
            torch.testing.assert_close(found[row, pad:], alone, **pair.tolerance)
            leaks = pair.name in PADDING_LEAKS and pad > 0
            assert ((theirs[row, pad:] - alone).abs().max() > 1e-3) == leaks

    def test_checkpoints_both_ways(self, pair, tmp_path):
        pair.theirs.save_pretrained(tmp_path / "theirs")
        loaded = load_checkpoint(tmp_path / "theirs")
        assert replace(loaded.spec, counted="") == replace(pair.spec, counted="")
        own = pair.ours.state_dict()
        assert all(torch.equal(tensor, own[name]) for name, tensor in loaded.state_dict().items())
        save_checkpoint(pair.ours, tmp_path / "ours", pair.theirs.config.to_dict())
        loaded, report = AutoModelForCausalLM.from_pretrained(
            tmp_path / "ours", dtype=torch.float64, output_loading_info=True
        )
        assert type(loaded) is type(pair.theirs) and not any(report.values()), report
        theirs = dict(pair.theirs.named_parameters())
        assert all(torch.equal(parameter, theirs[name]) for name, parameter in loaded.named_parameters())


@pytest.mark.parametrize("name", BRIEF)
def test_other_layouts(name, tmp_path):
    """Granite without experts, with RoPE and a tied head; Nemotron-H with dense parts or none."""
    pair = pair_of(name)
    checks.check_parameter_count(pair)
    checks.check_full_forward(pair, length=6)
    save_checkpoint(pair.ours, tmp_path, pair.theirs.config.to_dict())
    again = load_checkpoint(tmp_path)
    assert all(torch.equal(x, again.state_dict()[key]) for key, x in pair.ours.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"mamba_rms_norm": True}, "norm stands before its gate"),
        ({"mamba_rms_norm": True, "key_multiplier": 0.5}, "norm stands before its gate: supported"),
    ],
)
def test_what_is_not_built_of_falcon_is_refused_by_name(fields, word):
    """It is read and drawn; a model with it is not built."""
    config = CONFIG_MAPPING["falcon_h1"].from_dict(deepcopy(MODELS["falcon-h1"][1]) | fields)
    with pytest.raises(ValueError, match=word):
        CausalLM(spec_from_hf_config(config.to_dict()))
