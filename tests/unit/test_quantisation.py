"""A file's own precision: bits of a weight by method, what stays as it is, and bytes of the whole."""

from dataclasses import replace

import pytest

from course_lib.costs.hardware import load_hardware
from course_lib.costs.params import param_count
from course_lib.costs.serving import device_weight_bytes, weight_bytes
from course_lib.costs.stored import bits_per_weight, converted, fewest_bits, stored_weights
from course_lib.costs.stored_reads import bits_per_weight_read, bytes_by_part
from course_lib.course.calculators.emit import page_data
from course_lib.course.calculators.presets import multiplied_bits, own_bits
from course_lib.course.cli.fit import fit_facts
from course_lib.course.cli.lookup import SplitName, computing
from course_lib.course.cli.node import node_of
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec, read_entry
from course_lib.specs.quantisation import matches, quantisation_of
from course_lib.specs.records import Quantisation

OSS = read_entry("gpt-oss-120b")
STAY = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]


def bits_of(**fields) -> float | None:
    return quantisation_of({"quantization_config": fields}).bits


@pytest.mark.parametrize("listed", [None, STAY])
def test_gpt_oss_weighs_what_its_release_does(listed):
    """alvarobartt/hf-mem#60: 65,248,815,744 bytes, whether the config lists what stays or not."""
    quantised = {"quant_method": "mxfp4", "modules_to_not_convert": listed}
    spec = spec_from_hf_config({**OSS["config"], "quantization_config": quantised})
    assert sum(stored_weights(spec, spec.quantisation).values()) == 65_248_815_744
    assert weight_bytes(spec, bytes_by_part(spec, spec.quantisation)) == 65_248_815_744
    named = load_spec("gpt-oss-120b")
    assert stored_weights(named, named.quantisation) == stored_weights(spec, spec.quantisation)


@pytest.mark.parametrize(
    ("fields", "bits"),
    [
        ({"quant_method": "mxfp4"}, 4.25),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 4),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, 8.75),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, 4.5),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8),
        ({"quant_method": "modelopt_fp4", "quant_algo": "NVFP4"}, 4.5),
        ({"quantization": {"quant_algo": "NVFP4", "group_size": 16}}, 4.5),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, 4 + 20 / 128),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": False}, 4.5),
        ({"load_in_8bit": True}, 8),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, None),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": None}}}, None),
        ({"quant_method": "aqlm"}, None),
    ],
)
def test_bits_of_a_weight_by_method(fields, bits):
    assert bits_of(**fields) == bits


def test_groups_of_compressed_tensors():
    nvfp4 = {"num_bits": 4, "type": "float", "group_size": 16, "symmetric": True}
    eight = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
    four = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": False}
    for weights, bits in ((nvfp4, 4.5), (eight, 8), (four, 4 + 20 / 128)):
        groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
        assert bits_of(quant_method="compressed-tensors", config_groups=groups) == bits
    mixed = {"group_0": {"weights": nvfp4}, "group_1": {"weights": eight}}
    assert bits_of(quant_method="compressed-tensors", config_groups=mixed) == 8


def test_what_a_file_lists_stays_as_it_is():
    spec = load_spec("llama-3-8b")
    all_of_it = converted(spec, Quantisation(method="fp8", bits=8))
    counts = param_count(spec).by_part
    assert all_of_it == {"attention": counts["attention"], "ffn": counts["ffn"]}
    first = Quantisation(method="fp8", bits=8, kept=("model.layers.0", "re:.*o_proj$", "lm_head"))
    fewer = converted(spec, first)
    assert fewer["ffn"] == all_of_it["ffn"] * 31 // 32
    assert fewer["attention"] == 31 * (all_of_it["attention"] // 32 - 4096 * 4096)
    head = converted(spec, Quantisation(method="gptq", bits=4, head=True))
    assert head["head"] == 4096 * 128_256
    assert "head" not in converted(spec, Quantisation(method="x", bits=4, head=True, kept=("lm_head",)))


@pytest.mark.parametrize(
    ("pattern", "module", "meant"),
    [
        ("lm_head", "lm_head", True),
        ("gate", "model.layers.0.mlp.gate_proj", False),
        ("self_attn", "model.layers.0.self_attn.q_proj", True),
        ("model.layers.1", "model.layers.1.mlp.up_proj", True),
        ("model.layers.1", "model.layers.11.mlp.up_proj", False),
        ("model.layers.*.self_attn", "model.layers.7.self_attn.q_proj", True),
        ("re:.*down_proj", "model.layers.7.mlp.down_proj", True),
        (r"re:^model\.layers\.0\..*$", "model.layers.0.mlp.down_proj", True),
        ("*experts*", "model.layers.0.mlp.down_proj", False),
    ],
)
def test_patterns(pattern, module, meant):
    assert matches(pattern, module) is meant


@pytest.mark.parametrize(
    "name", ["deepseek-v3", "jamba-v0.1", "qwen3.5-35b-a3b", "mamba2-2.7b", "rwkv-4-7b", "t5-base"]
)
def test_every_kind_of_layer_is_converted_and_no_more_than_there_is(name):
    spec = load_spec(name)
    parts, found = param_count(spec).by_part, converted(spec, Quantisation(method="fp8", bits=8))
    assert found and all(0 < count <= parts[part] for part, count in found.items())
    assert sum(found.values()) > 0.8 * (
        spec.vocab and sum(parts.values()) - parts["embedding"] - parts.get("head", 0)
    )
    stored = stored_weights(spec, Quantisation(method="fp8", bits=8))
    assert sum(stored.values()) == 2 * sum(parts.values()) - sum(found.values())


def test_devices_hold_parts_at_their_own_width():
    spec = load_spec("gpt-oss-120b")
    widths = bytes_by_part(spec, spec.quantisation)
    stored = stored_weights(spec, spec.quantisation)
    attention = stored["attention"] + stored["norm"] + stored["router"]
    rest = sum(stored.values()) - attention
    held = device_weight_bytes(spec, 8, split="requests", bytes_per_weight=widths)
    assert held == pytest.approx(attention + rest / 8, rel=1e-12)
    assert round(bits_per_weight(spec), 3) == 4.468
    assert bits_per_weight(load_spec("llama-3-8b")) == 16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("mxfp4", "quantization_config='mxfp4': a mapping"),
        ({"quant_method": 4}, "quant_method=4: a word"),
        ({"quant_method": "gptq", "bits": "four"}, "bits='four': a whole number"),
        ({"quant_method": "awq", "bits": 4, "group_size": 0}, "group_size=0: a whole number"),
        (
            {"quant_method": "fp8", "modules_to_not_convert": "lm_head"},
            "modules_to_not_convert='lm_head': a list",
        ),
        ({"quant_method": "compressed-tensors"}, "config_groups=None: a mapping"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 1}}, "config_groups.a=1: weights"),
    ],
)
def test_refusals(fields, message):
    with pytest.raises(ValueError, match=message):
        quantisation_of({"quantization_config": fields})


def test_a_width_for_each_part_is_wanted():
    with pytest.raises(ValueError, match="'ffn' is wanted"):
        weight_bytes(load_spec("llama-3-8b"), {"attention": 1, "embedding": 1})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"quant_method": "fp8", "weight_block_size": 128}, "weight_block_size=128"),
        ({"quant_method": "fp8", "ignored_layers": 5}, "ignored_layers=5"),
        ({"quant_method": "gptq", "bits": 99}, "bits=99"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 3}}, "config_groups.a=3"),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {}, "targets": 3}}},
            "targets=3",
        ),
    ],
)
def test_what_is_no_quantisation_is_refused_by_its_field(fields, told):
    with pytest.raises(ValueError, match=told):
        bits_of(**fields)


def test_groups_with_targets_convert_those_alone():
    """An FP8 file whose group names the feed-forward layers leaves attention in 16 bits."""
    group = {"weights": {"num_bits": 8, "type": "float"}, "targets": ["re:.*mlp.*"]}
    fields = {"quant_method": "compressed-tensors", "config_groups": {"a": group}}
    found = quantisation_of({"quantization_config": fields})
    spec = load_spec("llama-3-8b")
    assert converted(spec, found) == {"ffn": param_count(spec).by_part["ffn"]}


def test_gemma_4_converts_no_keys_that_it_borrows():
    spec = load_spec("gemma-4-e2b")
    made = converted(spec, Quantisation(method="fp8", bits=8))
    assert made["attention"] <= param_count(spec).by_part["attention"]


def test_times_of_an_fp8_file_stand_on_what_a_pass_reads_and_multiplies():
    """9.05 bits on average, for the embedding has 16; yet 8 are multiplied, and it is not read."""
    spec = replace(load_spec("llama-3-8b"), quantisation=Quantisation(method="fp8", bits=8))
    parts = param_count(spec).by_part
    layers = parts["attention"] + parts["ffn"]
    read = (8 * layers + 16 * parts["head"]) / (layers + parts["head"])
    assert bits_per_weight_read(spec, tokens=1) == pytest.approx(read) != bits_per_weight(spec)
    assert fewest_bits(spec) == 8 < bits_per_weight(spec)


def test_few_tokens_read_few_of_the_experts():
    """All experts of gpt-oss are read at 4096 tokens; one token reads 4 of 32, and attention weighs more."""
    spec = load_spec("gpt-oss-20b")
    parts, bits = param_count(spec).by_part, bytes_by_part(spec, spec.quantisation)
    for share, tokens in ((4 / 32, 1), (1, 10**5)):
        counts = {part: parts[part] for part in ("attention", "router", "head")}
        counts["experts"] = parts["experts"] * share
        whole = sum(8 * n * bits[part] for part, n in counts.items()) / sum(counts.values())
        assert bits_per_weight_read(spec, tokens=tokens) == pytest.approx(float(whole))


def test_fit_bounds_an_fp8_file_by_fp8_arithmetic_and_says_what_it_cannot_bound():
    """On an H100 the file of 9.05 bits on average runs in FP8: a bound in 16 bits would be none."""
    spec, device = load_spec("llama-3-8b"), load_hardware("H100-SXM")
    told = {}
    for method, bits in (("fp8", 8), ("aqlm", None)):
        named = replace(spec, quantisation=Quantisation(method=method, bits=bits))
        node = node_of(named, 1, SplitName.heads, 16, None)
        told[method] = fit_facts(named, computing(device, None, node.multiplied_bits), 8192, node)
    assert (told["fp8"]["arithmetic"], told["aqlm"]["arithmetic"]) == ("FP8", "16-bit")
    assert told["fp8"]["decode"][0]["bits_per_weight_read"] < told["fp8"]["bits_per_weight"]
    assert "no time is a bound" in told["aqlm"]["precision"]


def test_the_calculator_multiplies_in_the_fewest_bits_of_the_file():
    """gpt-oss-20b has 5.26 bits on average, for attention has 16: its experts run in FP4 all the same."""
    assert multiplied_bits("gpt-oss-20b", own_bits("gpt-oss-20b")) == 4.25
    model = page_data(("concurrency",))["models"]["gpt-oss-20b"]
    assert (model["bits"], model["multiplied_bits"]) == (5.264, 4.25)
