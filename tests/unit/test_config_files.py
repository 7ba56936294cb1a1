"""Files that describe a model, known by their content: JSON of several kinds, GGUF, safetensors, big ones."""

import json
import struct
import time

import pytest

from course_lib.costs.params import param_count
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.gguf_header import gguf_config
from tests.unit.test_faults_of_configs import LLAMA

META_LLAMA_3 = {
    "dim": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "multiple_of": 1024,
    "ffn_dim_multiplier": 1.3,
    "norm_eps": 1e-05,
    "rope_theta": 500000.0,
}
MISTRAL_7B = {
    "dim": 4096,
    "n_layers": 32,
    "head_dim": 128,
    "hidden_dim": 14336,
    "n_heads": 32,
    "n_kv_heads": 8,
    "norm_eps": 1e-05,
    "vocab_size": 32768,
}
BERT_OF_2018 = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
GPT2_OF_2019 = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
MIXTRAL = MISTRAL_7B | {"vocab_size": 32000, "moe": {"num_experts": 8, "num_experts_per_tok": 2}}


@pytest.mark.parametrize(
    ("fields", "family", "total"),
    [
        (META_LLAMA_3, "llama", 8_030_261_248),
        (MISTRAL_7B, "mistral", 7_248_023_552),
        (MIXTRAL, "mixtral", 46_702_792_704),
        (BERT_OF_2018, "bert", 109_482_240),
        (GPT2_OF_2019, "gpt2", 124_439_808),
    ],
    ids=["meta", "mistral", "mixtral", "bert", "gpt2"],
)
def test_other_ways_to_write_a_config_are_read(fields, family, total):
    spec = spec_from_hf_config(fields)
    assert (spec.family, param_count(spec).total) == (family, total)
    if family == "mistral":
        assert spec.layers[0].mixer.window is None


def test_a_params_json_says_what_it_lacks():
    with pytest.raises(ValueError, match="'vocab_size': -1 leaves it to the tokenizer"):
        spec_from_hf_config(META_LLAMA_3 | {"vocab_size": -1})
    with pytest.raises(ValueError, match="'vision_encoder': not read"):
        spec_from_hf_config(MISTRAL_7B | {"vision_encoder": {"hidden_size": 8}})


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"metadata": {"total_size": 9}, "weight_map": {"a": "b"}}, "index of weight files"),
        ({"version": "1.0", "added_tokens": [], "pre_tokenizer": None, "model": {}}, "tokenizer.json"),
        ({"tokenizer_class": "LlamaTokenizer"}, "tokenizer_config.json"),
        (
            {"eos_token_id": 2, "transformers_version": "5"},
            "generation_config.json",
        ),
        ({"peft_type": "LORA"}, "adapter_config.json"),
        ({"image_mean": [0.5]}, "preprocessor_config.json"),
        ({"_class_name": "UNet2DConditionModel"}, "config of diffusers"),
        ([1, 2], r"config=\[1, 2\]: a mapping"),
        ("text", "config='text': a mapping"),
        ({f"field {i}": 1 for i in range(6000)}, "a mapping of 6000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_kind_is_refused_by_its_name(document, name, tmp_path):
    path = tmp_path / "file"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ValueError, match=name):
        spec_from_hf_config(path)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04rest of a zip archive", "zip archive"),
        (b"\x80\x02}q\x00 and so on, more", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"\xff\x00\xfe\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e", "not JSON|no text"),
        (b"", "not JSON"),
    ],
    ids=["zip", "pickle", "lfs", "html", "noise", "empty"],
)
def test_what_is_no_json_is_named(start, kind, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(start)
    with pytest.raises(ValueError, match=kind) as caught:
        spec_from_hf_config(path)
    assert len(str(caught.value)) < 300


def test_a_safetensors_header_tells_parameters_and_bytes(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "model.embed_tokens.weight": {"dtype": "BF16", "shape": [10, 4], "data_offsets": [0, 80]},
        "model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [6, 4], "data_offsets": [80, 128]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "model"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(128))
    with pytest.raises(ValueError, match=r"safetensors.*64 parameters in 2 tensors.*128 bytes.*ffn 24"):
        spec_from_hf_config(path)
    path.write_bytes(struct.pack("<Q", len(text)) + text[:-20])
    with pytest.raises(ValueError, match="damaged"):
        spec_from_hf_config(path)


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(architecture: str, sizes: dict[str, int], tensors: dict[str, list[int]]) -> bytes:
    """A GGUF file's header, with a tokenizer's words among the metadata."""
    words = [f"word {i}" for i in range(3000)]
    pairs = [string("general.architecture") + struct.pack("<I", 8) + string(architecture)]
    pairs += [string(f"{architecture}.{key}") + struct.pack("<II", 4, value) for key, value in sizes.items()]
    listed = struct.pack("<IIQ", 9, 8, len(words)) + b"".join(map(string, words))
    pairs.append(string("tokenizer.ggml.tokens") + listed)
    rows = [
        string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, 0)
        for name, shape in tensors.items()
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(pairs)) + b"".join(pairs) + b"".join(rows)


SIZES = {
    "block_count": 2,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "context_length": 128,
}
TENSORS = {"token_embd.weight": [64, 1000], "output.weight": [64, 1000], "blk.0.attn_q.weight": [64, 64]}


def test_a_gguf_header_gives_a_spec(tmp_path):
    path = tmp_path / "any name"
    path.write_bytes(gguf("llama", SIZES, TENSORS))
    assert param_count(spec_from_hf_config(path)).total == 189_760
    tied = {name: shape for name, shape in TENSORS.items() if name != "output.weight"}
    path.write_bytes(gguf("llama", SIZES, tied))
    assert param_count(spec_from_hf_config(path)).total == 189_760 - 64_000
    assert gguf_config(path)["num_key_value_heads"] == 2


def test_a_gguf_file_of_another_architecture_is_counted_by_part(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf("rwkv9", SIZES, TENSORS))
    with pytest.raises(ValueError, match=r"architecture 'rwkv9'.*132,096 parameters in 3 tensors"):
        spec_from_hf_config(path)
    path.write_bytes(gguf("llama", SIZES, TENSORS)[:90])
    with pytest.raises(ValueError, match=r"damaged|cut short"):
        spec_from_hf_config(path)


BIG = {
    "an array": lambda n: json.dumps(list(range(n // 8))),
    "a string": lambda n: json.dumps("x" * n),
    "a field": lambda n: json.dumps(LLAMA | {"hidden_size": [1.5] * (n // 5)}),
    "names": lambda n: json.dumps({"model_type": "x", "architectures": ["A" * 20] * (n // 24)}),
    "fields": lambda n: json.dumps({f"k{i}": i for i in range(n // 15)}),
    "brackets": lambda n: "[" * n,
    "lines": lambda n: "\n" * n,
}


@pytest.mark.parametrize("size", [3_500_000, 20_000_000])
@pytest.mark.parametrize("kind", BIG)
def test_a_big_file_is_answered_shortly_and_soon(kind, size, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(BIG[kind](size), encoding="utf-8")
    start = time.process_time()
    with pytest.raises(ValueError, match=r"config|read") as caught:
        try:
            spec_from_hf_config(path)
        except RecursionError:
            raise ValueError("config: nested too deeply") from None
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 400
