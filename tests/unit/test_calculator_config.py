"""The page reads a config.json with the library's parsers and costs, translated: the numbers are the same."""

import ast
import json
from dataclasses import asdict

import pytest

from course_lib.costs.summary import summary
from course_lib.course.calculators.config import formula, published, script
from course_lib.course.calculators.statements import statement
from course_lib.course.cli.lookup import precision_text
from course_lib.specs.from_hf import spec_from_fields
from tests.javascript import READER, run, static
from tests.parity.tiny_configs import TINY, tiny_config
from tests.unit import test_config_files as files
from tests.unit import test_faults_of_configs as faults

SCRIPTS = (*map(static, READER), script(), static("calculator-reader.js"))
COUNTS = ("counted", "total", "active", "by_part", "beside", "whole")
EXACT = (*COUNTS, "quantisation", "weight_bytes", "tied", "layers", "context", "decode_flops")
READ = """const { Float } = globalThis.calculatorPython;
    const plain = (value) => value instanceof Float ? value.value
        : value instanceof Map ? Object.fromEntries([...value].map(([name, n]) => [name, plain(n)])) : value;
    return data.map(([text, tokens, bytes]) => {
        const found = globalThis.calculatorReader.read(text, tokens, bytes);
        const names = Object.keys(found.summary ?? {});
        return { ...found, ...Object.fromEntries(names.map((name) => [name, plain(found.summary[name])])) };
    });"""


def by_page(configs: list, tokens: int = 1000, bytes_per_element: float = 2) -> list[dict]:
    """What the page says of configs, given as text or as fields."""
    texts = [config if isinstance(config, str) else json.dumps(config) for config in configs]
    return run(READ, [[text, tokens, bytes_per_element] for text in texts], *SCRIPTS)


def check_equal(found: dict, config: dict, tokens: int, bytes_per_element: float) -> None:
    """Hold what the page says to `summary`: counts exactly, shares and FLOPs to 1e-12."""
    expected = asdict(summary(spec_from_fields(config), tokens, bytes_per_element))
    expected["by_part"] = dict(expected["by_part"])
    expected["beside"] = dict(expected["beside"])
    assert set(expected) <= set(found)
    for name, value in expected.items():
        if value is None or (name in EXACT and (not isinstance(value, int) or value < 2**53)):
            assert found[name] == value, name
        else:
            assert found[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize(("tokens", "bytes_per_element"), [(1, 2), (900, 0.5), (131_072, 1)])
def test_every_published_config_costs_on_the_page_what_it_costs_in_the_library(tokens, bytes_per_element):
    configs = published()
    found = by_page(list(configs.values()), tokens, bytes_per_element)
    for (name, config), one in zip(configs.items(), found, strict=True):
        assert "total" in one, (name, one)
        check_equal(one, config, tokens, bytes_per_element)
    assert len(configs) > 30


def test_every_family_is_read_as_the_library_reads_it():
    configs = [tiny_config(family, seed) for family in TINY for seed in range(25)]
    for config, one in zip(configs, by_page(configs, 50), strict=True):
        assert "total" in one, (config, one)
        check_equal(one, config, 50, 2)


def test_each_family_names_a_field_of_the_wrong_kind_in_the_librarys_words():
    configs = []
    for family in TINY:
        for field in tiny_config(family, 0):
            configs.append(tiny_config(family, 0) | {field: [None, {"a": -1.0}]})
    refused = 0
    for config, found in zip(configs, by_page(configs), strict=True):
        try:
            spec_from_fields(config)
        except ValueError as error:
            assert found["error"] == str(error)
            refused += 1
        else:
            assert "total" in found
    assert refused > 300


def test_an_unknown_model_type_and_what_a_family_does_not_support_are_refused_by_name():
    zamba, alibi, wide = by_page(
        [
            {"model_type": "zamba", "hidden_size": 8},
            tiny_config("falcon", 0) | {"alibi": True},
            tiny_config("llama", 0) | {"vocab_size": 10**12, "hidden_size": 10**9, "num_attention_heads": 10},
        ]
    )
    assert zamba["error"].startswith("model_type='zamba' is not supported;")
    assert "'alibi': true is not supported for falcon" in alibi["error"]
    assert "counted exactly" in wide["error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Not JSON at line 1, column 1: a value is wanted, the text ends."),
        ('{"a": 1,\n "b" 2}', "Not JSON at line 2, column 6: ':' is wanted, found \"2\"."),
        ('{"a": 1,}', 'Not JSON at line 1, column 9: a field\'s name in double quotes is wanted, found "}".'),
        ("{'a': 1}", "Not JSON at line 1, column 2: a field's name in double quotes is wanted, found \"'\"."),
        ('{"a": [1, 2}', "Not JSON at line 1, column 12: ',' or ']' is wanted, found \"}\"."),
        ('{"a": Nan}', 'Not JSON at line 1, column 7: a value is wanted, found "N".'),
        ('{"a": infinity}', 'Not JSON at line 1, column 7: a value is wanted, found "i".'),
        ('{"a": 1} x', 'Not JSON at line 1, column 10: the end is wanted, found "x".'),
        ("[" * 200, 'Not JSON at line 1, column 101: at most 100 levels of brackets is wanted, found "[".'),
        ("[1]", "config=[1]: a mapping is wanted"),
        ("{}", "config: the field 'model_type' is missing"),
        (" " * 4_000_001, "The text is too long: at most 4,000,000 characters are read."),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(text, message):
    assert by_page([text])[0]["error"] == message


def test_faults_of_configs_get_the_librarys_answers_on_the_page():
    """The whole text goes through the page's own reader of JSON: Infinity, a mark at the start, refusals."""
    configs = [fields for fields, _ in faults.RIGHT.values()]
    configs += [faults.MISTRAL, faults.JAMBA, faults.LLAMA | {"num_attention_heads": 6}]
    configs += [files.META_LLAMA_3, files.MIXTRAL, files.BERT_OF_2018, files.GPT2_OF_2019, faults.T5]
    configs += [{"weight_map": {}}, [1] * 50, "x" * 100, faults.LLAMA | {"hidden_size": [[1] * 50] * 9}]
    texts = [json.dumps(config) for config in configs]
    for config, found in zip(configs, by_page(["\ufeff" + text for text in texts], 40), strict=True):
        try:
            spec = spec_from_fields(config)
        except ValueError as error:
            assert found["error"] == str(error)
        else:
            assert found.get("total"), (config, found)
            check_equal(found, config, 40, 2)
            assert found["counted"] == spec.counted


WEIGHTS = {"num_bits": 4, "type": "float", "group_size": 16, "symmetric": True}
ALL = {"targets": ["Linear"], "weights": WEIGHTS}
SOME = {"targets": ["*up_proj"], "weights": WEIGHTS}
QUANTISED = [
    {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
    {
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
        "ignored_layers": ["re:^model\\.layers\\.0.*$"],
    },
    {"quant_method": "AWQ", "bits": 4, "group_size": 128},
    {"quant_method": "gptq", "bits": 3, "group_size": 7, "lm_head": True},
    {"load_in_4bit": True, "llm_int8_skip_modules": ["self_attn", "*down_proj"]},
    {"quantization": {"quant_algo": "nvfp4", "exclude_modules": ["lm_head"]}},
    {
        "quant_method": "compressed-tensors",
        "config_groups": {"a": {"targets": ["Linear"], "weights": WEIGHTS}},
    },
    {
        "quant_method": "compressed-tensors",
        "config_groups": {"a": {"targets": ["*up_proj"], "weights": WEIGHTS}},
    },
    {"quant_method": "aqlm"},
    {"quant_method": 5},
    {"quant_method": "awq", "bits": 0},
    {"quant_method": "fp8", "ignore": [1] * 30},
    {"quant_method": "fp8", "weight_block_size": "x" * 100},
    {"quant_method": "compressed-tensors", "config_groups": [1]},
    "fp8",
    None,
]


def test_a_files_quantisation_is_read_on_the_page_as_in_the_terminal():
    """Words, bytes and refusals; the average of no file is rounded otherwise in either language."""
    models = [
        tiny_config(family, 3) for family in ("llama", "mixtral", "deepseek_v3", "qwen3_5_moe", "mamba2")
    ]
    models += [published()["gpt-oss-120b"]]
    configs = [model | {"quantization_config": one} for model in models for one in QUANTISED]
    said, bits = set(), set()
    for config, found in zip(configs, by_page(configs, 40), strict=True):
        try:
            spec = spec_from_fields(config)
        except ValueError as error:
            assert found["error"] == str(error)
            assert len(found["error"]) < 200
            continue
        assert "summary" in found, found
        assert "quantization_config" not in found["unread"]
        check_equal(found, config, 40, 2)
        told = precision_text(spec, None)
        assert found["quantisation"] in told
        said.add(found["quantisation"])
        bits.add(found["bits_per_weight"])
    assert len(said) == 9 and len(bits) > 30


def test_the_release_weighs_on_the_page_what_its_files_do():
    (found,) = by_page([published()["gpt-oss-120b"]])
    assert found["weight_bytes"] == 65_248_815_744
    assert found["quantisation"] == "mxfp4 (4.25 bits a weight, experts alone)"


def test_a_field_named_as_a_part_of_javascript_is_a_field():
    text = '{"__proto__": {"vocab_size": 9}, "constructor": 1, "model_type": "llama"}'
    message = "config of model_type 'llama': the field 'hidden_size' is missing"
    assert by_page([text])[0]["error"] == message


def test_the_fields_read_and_those_not_read_are_named():
    config = published()["llama-3.1-8b"] | {"torch_dtype": "bfloat16"}
    found = by_page([config])[0]
    read = {name: (value, given) for name, value, given in found["read"]}
    assert read["hidden_size"] == (str(config["hidden_size"]), True)
    assert read["head_dim"] == ("128", False)
    assert found["unread"] == ["torch_dtype"]


def test_a_construct_that_is_not_translated_is_refused_by_name():
    sources = {"while x: pass": "While", "x = {1}": "Set", "x = a @ b": "MatMult", "f(*x)": "Call"}
    for source, named in sources.items():
        with pytest.raises(ValueError, match=f"^{named} on line 1:"):
            statement(ast.parse(source).body[0])


def test_the_formula_is_the_traced_one():
    assert formula("llama-3.1-8b").count("&=") == 3
    assert r"\text{cache} &= 2 \, L \, G \, d_k \, b" in formula("llama-3.1-8b")
