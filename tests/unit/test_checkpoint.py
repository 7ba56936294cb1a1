"""Folders that are no checkpoint, or not of this model, are refused by name."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file

from course_lib.models.checkpoints.files import CheckpointTensors, load_checkpoint, save_checkpoint
from course_lib.models.checkpoints.weights import hf_tensors
from course_lib.models.lm import CausalLM
from course_lib.models.prefix_lm import PrefixLM
from tests.unit.test_lm import SMALL, spec_of

FIRST = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(CausalLM(spec_of()), tmp_path, SMALL)
    return tmp_path


@pytest.fixture
def sharded(tmp_path):
    save_checkpoint(CausalLM(spec_of()), tmp_path, SMALL, shard_bytes=2000)
    return tmp_path


def change(folder, **changes):
    """Rewrite the tensors; None takes one out."""
    tensors = load_file(folder / "model.safetensors") | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")


def edit_index(folder, edit):
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps(edit(index)))


def test_a_missing_tensor(folder):
    change(folder, **{FIRST: None})
    with pytest.raises(ValueError, match=f"{FIRST}: missing"):
        load_checkpoint(folder)


def test_a_tensor_too_many(folder):
    change(folder, **{"model.layers.3.mlp.up_proj.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"model\.layers\.3\.mlp\.up_proj\.weight: unknown"):
        load_checkpoint(folder)


def test_another_shape(folder):
    change(folder, **{FIRST: torch.zeros(24, 11)})
    with pytest.raises(ValueError, match=rf"{FIRST} has shape \(24, 11\), not \(24, 12\)"):
        load_checkpoint(folder)


def test_an_unknown_family(folder):
    (folder / "config.json").write_text(json.dumps(SMALL | {"model_type": "abacus"}))
    with pytest.raises(ValueError, match="model_type='abacus' is not supported"):
        load_checkpoint(folder)


def test_a_family_that_no_model_is_built_for(folder):
    fields = {"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1}
    fields |= {"num_attention_heads": 2, "intermediate_size": 5, "image_size": 8, "patch_size": 4}
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="patches=PatchSpec"):
        load_checkpoint(folder)


def test_no_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"not readable|not JSON"):
        load_checkpoint(folder)


def test_no_tensors(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"neither model\.safetensors nor"):
        load_checkpoint(folder)


def test_empty_tensors(folder):
    save_file({}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="hold no tensors"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\xff" * 64])
def test_a_damaged_file(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors: not a readable safetensors file"):
        load_checkpoint(folder)


def test_a_file_cut_short(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_checkpoint(folder)


def test_a_missing_shard(sharded):
    gone = sorted(sharded.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ValueError, match=f"'{gone.name}' is no file of the folder"):
        load_checkpoint(sharded)


def test_a_shard_without_the_tensor_that_the_index_puts_there(sharded):
    last = max(file.name for file in sharded.glob("model-*.safetensors"))
    edit_index(sharded, lambda index: {"weight_map": index["weight_map"] | {"more": last}})
    with pytest.raises(ValueError, match="more"):
        CheckpointTensors(sharded)["more"]


@pytest.mark.parametrize("place", ["../elsewhere.safetensors", "/tmp/elsewhere.safetensors"])
def test_an_index_may_not_point_out_of_the_folder(sharded, place):
    (sharded.parent / "elsewhere.safetensors").write_bytes(b"")
    edit_index(sharded, lambda index: {"weight_map": index["weight_map"] | {FIRST: place}})
    with pytest.raises(ValueError, match="is no file of the folder"):
        load_checkpoint(sharded)


@pytest.mark.parametrize("index", [[], {"weight_map": [1]}, {}, {"weight_map": {"a": 1}}])
def test_an_index_of_another_form(sharded, index):
    edit_index(sharded, lambda _: index)
    with pytest.raises(ValueError, match="a mapping with a weight_map of files is wanted"):
        load_checkpoint(sharded)


def test_a_config_of_another_model_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"another model than this one: width$"):
        save_checkpoint(CausalLM(spec_of()), tmp_path, SMALL | {"hidden_size": 16})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_a_checkpoint_is_not_written_over(tmp_path, there):
    (tmp_path / there).write_bytes(b"")
    with pytest.raises(ValueError, match="holds a checkpoint already"):
        save_checkpoint(CausalLM(spec_of()), tmp_path, SMALL)
    assert [file.name for file in tmp_path.iterdir()] == [there]


def test_a_model_is_loaded_as_asked(folder):
    loaded = load_checkpoint(folder, dtype=torch.bfloat16, build=PrefixLM)
    assert type(loaded) is PrefixLM and not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


def test_a_shard_holds_at_least_a_byte(tmp_path):
    with pytest.raises(ValueError, match="shard_bytes=0"):
        save_checkpoint(CausalLM(spec_of()), tmp_path, SMALL, shard_bytes=0)


def test_shards_keep_to_their_size(sharded):
    files = sorted(sharded.glob("model-*.safetensors"))
    assert len(files) > 2
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    sizes = {file.name: [tensor.nbytes for tensor in load_file(file).values()] for file in files}
    assert all(each and (len(each) == 1 or sum(each) <= 2000) for each in sizes.values())
    assert index["metadata"]["total_size"] == sum(map(sum, sizes.values()))
    assert all(sum(a) + sum(b) > 2000 for a, b in pairwise(sizes.values()))


def test_files_are_filled_to_the_byte_and_numbered_from_one(tmp_path):
    model = CausalLM(replace(spec_of(), name="mine"))  # a name is no part of a config
    tensors = hf_tensors(model)
    total, count = sum(tensor.nbytes for tensor in tensors.values()), len(tensors)
    save_checkpoint(model, tmp_path / "one", SMALL, shard_bytes=total)
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"config.json", "model.safetensors"}
    save_checkpoint(model, tmp_path / "each", SMALL, shard_bytes=1)
    files = sorted((tmp_path / "each").glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)
    ]
    assert all(len(load_file(file)) == 1 for file in files)
