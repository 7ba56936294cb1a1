"""Checkpoint folders of mixtures both ways: files name each expert, both libraries stack them."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from course_lib.models.checkpoints.expert_files import FILES, experts_apart, stacked_experts
from course_lib.models.checkpoints.files import SINGLE, load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.hybrid_names import HYBRID_TABLES
from course_lib.models.checkpoints.moe_names import MOE_TABLES
from course_lib.models.checkpoints.recurrent_names import RECURRENT_TABLES
from course_lib.models.checkpoints.weights import hf_tensors, load_hf_weights
from tests.parity.test_checkpoint import (  # noqa: F401 (collected here, with the fixture below)
    test_they_load_what_we_save,
    test_we_load_what_they_save,
)
from tests.parity.test_moe import pair_of
from tests.parity.tiny_moe import MODELS

ONE_EACH = {family: name for name, (family, _) in reversed(MODELS.items())}


@pytest.fixture(params=ONE_EACH.values(), scope="module")
def pair(request):
    return pair_of(request.param)


def test_every_family_with_names_goes_both_ways():
    elsewhere = {"switch_transformers", "deepseek_v32", "glm_moe_dsa"}  # test_switch, _indexed_attention
    assert set(ONE_EACH) | elsewhere == set(MOE_TABLES)
    others = {*RECURRENT_TABLES, *HYBRID_TABLES, "jamba"}  # test_recurrent_models, _hybrids, _state_spaces
    assert set(FILES) <= {*MOE_TABLES, *others}


def test_our_files_have_their_names(pair, tmp_path):
    """Name by name and number by number what `save_pretrained` writes."""
    pair.theirs.save_pretrained(tmp_path / "theirs")
    save_checkpoint(pair.ours, tmp_path / "ours", pair.theirs.config.to_dict())
    theirs, ours = (load_file(tmp_path / side / SINGLE) for side in ("theirs", "ours"))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def test_the_bias_on_the_pick_goes_both_ways(pair, tmp_path):
    save_checkpoint(pair.ours, tmp_path, pair.theirs.config.to_dict())
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    theirs, found = (dict(model.named_buffers()) for model in (pair.theirs, loaded))
    for name, buffer in theirs.items():
        if name.endswith("bias"):
            assert torch.equal(found[name], buffer.to(found[name].dtype)), name
    again = load_checkpoint(tmp_path)
    for name, buffer in pair.ours.named_buffers():
        assert torch.equal(dict(again.named_buffers())[name], buffer), name


def test_a_file_without_an_expert_is_refused():
    pair = pair_of("qwen3")
    files = experts_apart(hf_tensors(pair.ours), "qwen3_moe")
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    files.pop(name)
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.experts\.gate_up_proj.* up_proj .*0, 1, 2, 4"):
        load_hf_weights(pair.ours, files)


def test_what_is_stacked_stays_as_it_is(pair):
    family, stacked = pair.spec.family, hf_tensors(pair.ours)
    found = stacked_experts(stacked, family)
    assert set(found) == set(stacked)
    again = stacked_experts(experts_apart(stacked, family), family)
    assert set(again) == set(stacked)
    assert len(again) == len(stacked)
    assert all(torch.equal(again[name], stacked[name]) for name in stacked)
