"""`course spec`, `kv` and `fit` of models that no family reads whole: as `transformers` builds them."""

import json
import re

import pytest
from typer.testing import CliRunner

from course_lib.costs.hardware import load_hardware
from course_lib.course.cli.app import app
from course_lib.course.cli.built import cache_of
from tests.parity.test_params import hf_config, hf_count

RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
SIZES = {"hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 99, "num_attention_heads": 4}
JAPANESE = {"model_type": "gpt_neox_japanese", **SIZES}
ALIBI = {
    "model_type": "falcon",
    **SIZES,
    "alibi": True,
    "new_decoder_architecture": False,
    "multi_query": True,
}
SHAPES = {"unread": (JAPANESE, 2 * 64 * 4), "in part": (ALIBI, 2 * 16 * 4)}
CLASS = {"unread": "GPTNeoXJapaneseForCausalLM", "in part": "FalconForCausalLM"}


def course(folder, config, *words, code=0):
    """The JSON of a command on a config."""
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    result = RUN.invoke(app, [*map(str, words), str(file), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", SHAPES)
def test_the_cache_and_the_weights_are_those_of_the_built_model(name, tmp_path):
    config, numbers = SHAPES[name]
    told = course(tmp_path, config, "spec")
    with_class = hf_config(config)
    with_class.architectures = [CLASS[name]]
    assert told["total_parameters"] == hf_count(with_class)
    kept = course(tmp_path, config, "kv", "--context", 1000, "--batch", 3, "--bits", 8)
    assert kept["further_bytes_per_token"] == numbers
    assert kept["total_bytes"] == 3 * kept["bytes_per_request"] == 3 * 1000 * numbers
    assert "transformers" in kept["counted"] and "straight line" in kept["note"]
    fits = course(tmp_path, config, "fit", "--gpu", "L4", "--context", 1000, "--weight-bits", 4)
    left = 0.9 * load_hardware("L4").memory_bytes - told["total_parameters"] / 2
    assert fits["max_concurrency_requests"] == left // (1000 * 2 * numbers)
    assert kept["gpu"] is None
    assert course(tmp_path, config, "kv", "--gpu", "L4")["gpu"]["gpu"] == "NVIDIA L4"


def test_what_is_refused_in_part_is_named(tmp_path):
    assert "'alibi': true is not supported" in course(tmp_path, ALIBI, "kv")["counted"]
    assert "no family here reads" in course(tmp_path, JAPANESE, "kv")["counted"]


def test_several_devices_and_a_wrong_config_are_refused(tmp_path):
    file = tmp_path / "config.json"
    wrong = {**ALIBI, "alibi": False, "num_hidden_layers": "four"}
    for config, words, message in (
        (
            JAPANESE,
            ["fit", "--gpu", "L4", "--devices", "2"],
            "1 is allowed for a model that transformers builds",
        ),
        (wrong, ["kv"], "num_hidden_layers"),
    ):
        file.write_text(json.dumps(config), encoding="utf-8")
        result = RUN.invoke(app, [*words, str(file)])
        assert result.exit_code == 2
        assert message in re.sub(r"[\s│]+", " ", result.stderr)


def test_nothing_fits_is_an_exit_code(tmp_path):
    told = course(tmp_path, JAPANESE, "fit", "--gpu", "L4", "--context", 10**9, code=1)
    assert told["max_concurrency_requests"] == 0


def test_without_a_cache_the_refusal_says_what_is_known():
    built = {"model": "x", "counted": "X", "total_parameters": 1234, "cache_bytes_per_token": None}
    with pytest.raises(ValueError, match=r"x: 1,234 parameters, counted as X; no cache was found"):
        cache_of(built)
