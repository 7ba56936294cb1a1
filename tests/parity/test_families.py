"""Families that are read by tables of settings, and new mixers: cache bytes, FLOPs and class defaults equal
those of `transformers`; and how many of its causal model types are read."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib.costs.cache import cache_bytes
from course_lib.costs.flops import prefill_flops
from course_lib.costs.mixers.dispatch import recurrence_flops, selection_flops_per_pair
from course_lib.costs.params import param_count
from course_lib.specs.families.missing import MISSING
from course_lib.specs.from_hf import PARSERS, spec_from_hf_config
from course_lib.specs.records import AttentionSpec, LatentAttentionSpec, LightningSpec
from tests.parity.test_cache_bytes import held_bytes
from tests.parity.tiny_configs import tiny_config
from tests.parity.tiny_families import FAMILIES

READ = [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name in PARSERS]
NO_DEFAULTS = {  # their default configs build no model
    "dbrx", "dots1", "hunyuan_v1_dense", "hunyuan_v1_moe", "lfm2_moe", "ministral", "nemotron",
    "recurrent_gemma",
}  # fmt: skip


def theirs(name: str, fields: dict):
    """A random model of the family in float32, on the CPU."""
    config = CONFIG_MAPPING[name].from_dict(deepcopy(fields))
    config._experts_implementation = "eager"
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name])(config).eval()


def alone(name: str) -> dict:
    """A small config of the family, without attention to an encoder."""
    fields = tiny_config(name, 1)
    return fields | ({"add_cross_attention": False} if "add_cross_attention" in fields else {})


@pytest.mark.parametrize("name", sorted(MISSING))
def test_a_family_is_refused_by_what_it_needs(name):
    assert name in CONFIG_MAPPING
    assert name not in PARSERS
    with pytest.raises(ValueError, match=re.escape(f"'{name}' is not supported; it needs {MISSING[name]}")):
        spec_from_hf_config({"model_type": name, "hidden_size": 8})


def test_more_than_ninety_causal_model_types_are_read():
    assert len(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) == 189
    assert len(READ) >= 90, sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(READ))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in NO_DEFAULTS])
def test_class_defaults(name):
    config = CONFIG_MAPPING[name]()
    ours = param_count(spec_from_hf_config(config.to_dict())).total
    with torch.device("meta"):
        model = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name])(config)
    assert ours == sum(one.numel() for one in model.parameters() if one.requires_grad)


STATES_OUTSIDE = ("recurrent_gemma",)  # which keeps its states in its modules, not in the cache


KEEPS_ALL = ("gpt_neo",)  # whose windows are a mask over keys that are all kept


def test_theirs_keeps_what_a_window_hides():
    fields = tiny_config("gpt_neo", 1)
    model, spec = theirs("gpt_neo", fields), spec_from_hf_config(fields)
    output = model(input_ids=torch.ones((1, 13), dtype=torch.long), use_cache=True)
    layers = [replace(layer, mixer=replace(layer.mixer, window=None)) for layer in spec.layers]
    whole = replace(spec, layers=tuple(layers))
    assert held_bytes(output) == cache_bytes(whole, batch=1, tokens=13, bytes_per_element=4)


@pytest.mark.parametrize("tokens", [1, 4, 13])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in STATES_OUTSIDE + KEEPS_ALL])
def test_cache_bytes(name, tokens):
    """Below and beyond a window of 5, and of the 5 keys that an indexer picks."""
    fields = alone(name)
    model, spec = theirs(name, fields), spec_from_hf_config(fields)
    ids = torch.randint(1, spec.vocab, (2, tokens), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output = model(input_ids=ids, use_cache=True)
    held = held_bytes(output) + beside(output.get("past_key_values"))
    assert held == cache_bytes(spec, batch=2, tokens=tokens, bytes_per_element=4)


def beside(cache) -> int:
    """Bytes of an indexer's keys and of lightning attention's states, which have places of their own."""
    keys = [getattr(layer, "indexer_keys", None) for layer in getattr(cache, "layers", ())]
    states = [one for one in getattr(cache, "linear_cache", ()) if isinstance(one, torch.Tensor)]
    return sum(one.numel() * one.element_size() for one in (*keys, *states) if one is not None)


def counted(model, ids) -> dict[str, int]:
    model.requires_grad_(False)  # the counter hooks weights that want gradients; views of DBRX's have none
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids)
    return {str(op): flops for op, flops in counter.get_flop_counts()["Global"].items()}


def attends_alone(spec) -> bool:
    return all(isinstance(layer.mixer, AttentionSpec | LatentAttentionSpec) for layer in spec.layers)


ATTENDING = [name for name in FAMILIES if attends_alone(spec_from_hf_config(tiny_config(name, 1)))]


@pytest.mark.parametrize("name", ATTENDING)
def test_flops_of_a_full_pass(name):
    """`skip_masked=False`: eager kernels compute every score, hidden or not picked."""
    fields, tokens = alone(name), 13
    model, spec = theirs(name, fields), spec_from_hf_config(fields)
    ids = torch.randint(1, spec.vocab, (1, tokens), generator=torch.Generator().manual_seed(1))
    expected = prefill_flops(spec, tokens, skip_masked=False, logit_positions=tokens)
    assert sum(counted(model, ids).values()) == expected


def test_an_indexer_is_counted_in_the_pass():
    spec = spec_from_hf_config(tiny_config("deepseek_v32", 1))
    assert selection_flops_per_pair(spec.layers[0].mixer) > 0


def test_a_step_of_lightning_attention_is_more_than_its_products():
    """Two products with the state and one multiplication by the decay, for each element of the state."""
    mixer = LightningSpec(heads=3, head_dim=5)
    assert recurrence_flops(mixer) == 3 * 25 * (2 + 2 + 1)
