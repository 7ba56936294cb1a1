"""GGUF to the names and the order of `transformers`: on a tiny file written by the `gguf` package."""

from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from course_lib.models.checkpoints.weights import load_hf_weights
from course_lib.models.lm import CausalLM
from course_lib.models.real.gguf_llama import LlamaFile, as_written, rows_by_halves, their_name
from course_lib.specs.from_hf import spec_from_hf_config
from tests import tiny_gguf


@pytest.fixture
def path(tmp_path):
    tiny_gguf.write(tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def test_tensors_come_back_as_they_were_before_llama_cpp_wrote_them(path):
    found, wanted = dict(LlamaFile(path).tensors()), tiny_gguf.weights()
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert np.array_equal(tensor.numpy(), wanted[name]), name


def test_four_bits_are_dequantised_as_the_format_says(tmp_path):
    """Q4_1: 32 numbers, s q + m with q in 0..15; the rounding is at most half a step."""
    tiny_gguf.write(tmp_path / "q.gguf", kind=Kind.Q4_1)
    found, wanted = dict(LlamaFile(tmp_path / "q.gguf").tensors()), tiny_gguf.weights()
    name = "model.layers.0.mlp.down_proj.weight"
    blocks = wanted[name].reshape(-1, 32)
    step = (blocks.max(1) - blocks.min(1)) / 15
    error = np.abs(found[name].numpy().reshape(-1, 32) - blocks).max(1)
    assert (error < 0.51 * step + 2e-3).all() and (error > 0.1 * step).all()
    assert len(np.unique(found[name].numpy().reshape(-1, 32)[0])) <= 16
    q = "model.layers.1.self_attn.q_proj.weight"
    assert np.abs(found[q].numpy() - wanted[q]).max() < 0.1  # 1 and more if rows were elsewhere
    assert np.array_equal(found["model.norm.weight"].numpy(), wanted["model.norm.weight"])


def test_the_config_is_what_the_metadata_says(path):
    assert LlamaFile(path).config() == {
        "model_type": "llama",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "vocab_size": len(tiny_gguf.vocabulary()),
        "max_position_embeddings": 96,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
    }


def test_rows_moved_and_halves_paired_are_rows_as_they_lie_and_neighbours_paired(path):
    """A converter may change the custom of RoPE by moving rows; whoever reads must not forget it."""
    file = LlamaFile(path)
    spec = spec_from_hf_config(file.config())
    by_halves = dict(file.tensors())
    as_they_lie = dict(by_halves)
    for name, heads in (("q_proj", tiny_gguf.HEADS), ("k_proj", tiny_gguf.KV_HEADS)):
        for i in range(tiny_gguf.LAYERS):
            key = f"model.layers.{i}.self_attn.{name}.weight"
            as_they_lie[key] = torch.from_numpy(tiny_gguf.permuted(by_halves[key].numpy(), heads))

    def logits(tensors, pairing):
        layers = tuple(
            replace(layer, mixer=replace(layer.mixer, rope=replace(layer.mixer.rope, pairing=pairing)))
            for layer in spec.layers
        )
        model = CausalLM(replace(spec, layers=layers)).double().eval()
        load_hf_weights(model, tensors)
        with torch.no_grad():
            return model(torch.tensor([[3, 70, 5, 200, 9]]))

    right = logits(by_halves, "rotate_half")
    torch.testing.assert_close(logits(as_they_lie, "interleaved"), right, rtol=0, atol=1e-12)
    assert (logits(as_they_lie, "rotate_half") - right).abs().max() > 0.1


def test_moving_rows_undoes_llama_cpp_s_order():
    matrix = np.random.default_rng(0).standard_normal((24, 5)).astype(np.float32)
    moved = torch.from_numpy(tiny_gguf.permuted(matrix, 3))
    assert np.array_equal(rows_by_halves(moved, 3).numpy(), matrix)
    assert not torch.equal(rows_by_halves(moved, 3), moved)


def test_names_are_those_of_the_gguf_package():
    for name in tiny_gguf.weights():
        assert their_name(tiny_gguf.llama_cpp_name(name)) == name


@pytest.mark.parametrize("name", ["blk.0.attn_q_norm.weight", "rope_freqs.weight", "blk.x.attn_q.weight"])
def test_an_unknown_tensor_is_refused(name):
    with pytest.raises(ValueError, match=name):
        their_name(name)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"llama.rope.scaling.type": "yarn"}, r"llama\.rope\.scaling\.type: supported is RoPE as trained"),
        ({"llama.embedding_length": None}, r"no llama\.embedding_length"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, metadata, said):
    tiny_gguf.write(tmp_path / "model.gguf", **metadata)
    with pytest.raises(ValueError, match=said):
        LlamaFile(tmp_path / "model.gguf").config()


def test_another_architecture_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "gemma3")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"architecture='gemma3': supported is 'llama'"):
        LlamaFile(tmp_path / "model.gguf")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"safetensors" * 10)
    with pytest.raises(ValueError, match="GGUF"):
        LlamaFile(tmp_path / "model.gguf")


@pytest.mark.parametrize("number", [1e-5, 1e-6, 10_000.0, 500_000.0, 0.1])
def test_a_number_is_what_was_written(number):
    assert as_written(float(np.float32(number))) == number
