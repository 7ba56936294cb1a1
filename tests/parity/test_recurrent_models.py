"""Whole models with a state in some of their layers and the weights of `transformers`, in float64."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib.costs.cache import cache_bytes
from course_lib.layers.positions.numbering import positions_from_padding
from course_lib.models.checkpoints.files import load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.recurrent_names import RECURRENT_TABLES
from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair, in_float64

from .tiny_recurrent import MODELS, PADDING_LEAKS, TOLERANCES

WIDE = {"bytes_per_element": 8, "state_bytes_per_element": 8}


class RwkvPair(Pair):
    """Its state is a list of tensors, right for one row; it knows no positions and no padding."""

    batch = 1

    def their_cache(self):
        return {"state": None}

    @torch.no_grad()
    def their_logits(self, tokens, cache=None, attention_mask=None, position_ids=None):
        with in_float64(self.modeling):
            given = {} if cache is None else cache
            out = self.theirs(tokens, use_cache=cache is not None, **given)
        if cache is not None:
            cache["state"] = out.state
        return out.logits


class MiniMaxPair(Pair):
    """It has a cache of its own, which counts tokens by the first layer: 0 where that is a linear one."""

    def their_cache(self):
        cache = self.modeling.MiniMaxCache()
        cache.seen = 0
        return cache

    def their_logits(self, tokens, cache=None, position_ids=None, **options):
        if cache is not None:
            position_ids = torch.arange(cache.seen, cache.seen + tokens.shape[1])[None]
            cache.seen += tokens.shape[1]
        return super().their_logits(tokens, cache, position_ids=position_ids, **options)


class GriffinPair(Pair):
    """Its recurrence adds up in float32 by a default value, out of reach of `in_float64`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        for module in self.theirs.modules():
            if isinstance(module, self.modeling.RecurrentGemmaRglru):
                module._rnn_scan = partial(module._rnn_scan, acc_dtype=torch.float64)


PAIRS = {"minimax": MiniMaxPair, "recurrent_gemma": GriffinPair, "rwkv": RwkvPair}


def pair_of(name: str) -> Pair:
    family, fields = MODELS[name]
    config = CONFIG_MAPPING[family].from_dict(deepcopy(fields))
    model_class = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family])
    made = PAIRS.get(family, Pair)(config, model_class, tolerance=TOLERANCES.get(name, 1e-10))
    made.name = name
    return made


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    return pair_of(request.param)


def test_every_family_with_names_has_its_pair():
    assert {family for family, _ in MODELS.values()} == set(RECURRENT_TABLES)


@pytest.mark.parametrize("name", ["qwen3.5", "qwen3.5-moe"])
def test_the_text_model_is_read_out_of_a_file_of_a_model_that_sees(name):
    pair = pair_of(name)
    stack = {name for name in pair.theirs.state_dict() if name.startswith("model.")}
    tensors = {
        name.replace("model.", "model.language_model.", 1) if name in stack else name: tensor
        for name, tensor in pair.theirs.state_dict().items()
    }
    fresh, beside = (
        CausalLM(pair.spec).double(),
        {name: torch.zeros(2) for name in ("model.visual.x", "mtp.fc.weight")},
    )
    load_hf_weights(fresh, tensors | beside)
    tokens = pair.tokens(2, 9)
    with torch.no_grad():
        assert torch.equal(fresh(tokens), pair.our_logits(tokens))
    with pytest.raises(ValueError, match=r"mtp\.fc\.weight: unknown"):  # where no file of a wrapper says why
        load_hf_weights(fresh, pair.theirs.state_dict() | beside)


class TestRecurrentModels:
    def test_parameter_count(self, pair):
        checks.check_parameter_count(pair)

    def test_full_forward(self, pair):
        checks.check_full_forward(pair)

    def test_gradients(self, pair):
        checks.check_gradients(pair)

    def test_cached_decode(self, pair):
        checks.check_cached_decode(pair, batch=getattr(pair, "batch", 2))

    def test_a_prompt_in_pieces(self, pair):
        """Ours goes on from its states through the chunked forms."""
        tokens, cache = pair.tokens(2, 13), pair.ours.make_cache(2, 13)
        pieces = [pair.our_logits(piece, cache=cache) for piece in tokens.split([6, 4, 1, 2], 1)]
        torch.testing.assert_close(torch.cat(pieces, 1), pair.their_logits(tokens), **pair.tolerance)
        assert cache.nbytes == cache_bytes(pair.spec, batch=2, tokens=13, ring=True, **WIDE)

    def test_left_padding(self, pair):
        """Ours is right in every model; theirs, but where a bias enters the convolution at padding."""
        if pair.name not in PADDING_LEAKS:
            checks.check_left_padding(pair)
            return
        tokens, pads = pair.tokens(3, 11), (0, 3, 6)
        mask = torch.stack([(torch.arange(11) >= pad).long() for pad in pads])
        found = pair.our_logits(tokens, positions_from_padding(mask))
        theirs = pair.their_logits(tokens, attention_mask=mask)
        for row, pad in enumerate(pads):
            alone = pair.their_logits(tokens[row : row + 1, pad:])[0]
            torch.testing.assert_close(found[row, pad:], alone, **pair.tolerance)
            assert pad == 0 or (theirs[row, pad:] - alone).abs().max() > 1e-3

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
        if pair.spec.family == "minimax":  # powers of the decays, which both work out
            assert all(name.endswith("_decay") for name in report.pop("missing_keys"))
        assert type(loaded) is type(pair.theirs) and not any(report.values()), report
        theirs = dict(pair.theirs.named_parameters())
        for name, parameter in loaded.named_parameters():  # OLMo Hybrid loads its rates in float32
            assert torch.equal(parameter, theirs[name].to(parameter.dtype)), name
