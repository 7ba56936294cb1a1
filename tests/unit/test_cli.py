"""`course kv`, `spec`, `fit`, `doctor`: the library's values, stable keys, exit codes, errors that help."""

import json
import math
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.devices import splits_evenly
from course_lib.costs.hardware import list_hardware, load_hardware
from course_lib.costs.params import param_count
from course_lib.costs.roofline import decode_roofline, prefill_roofline
from course_lib.costs.serving import cache_equals_weights, max_concurrency, weight_bytes
from course_lib.course.cli import machine
from course_lib.course.cli.app import app
from course_lib.specs.loader import list_specs, load_spec, read_entry

RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
GENERATING = [name for name in list_specs() if load_spec(name).head == "lm"]


def course(*words: object):
    return RUN.invoke(app, [str(word) for word in words])


def facts(*words: object, code: int = 0) -> dict:
    """The JSON of a command; NaN and infinities are refused."""
    result = course(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refusal(*words: object) -> str:
    """The message of a refused command, on one line, without its frame."""
    result = course(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr)


@pytest.mark.parametrize("name", list_specs())
def test_kv_is_the_formula(name):
    spec, tokens = load_spec(name), 5000
    told = facts("kv", name, "--context", tokens, "--batch", 3, "--bits", 8)
    assert told["total_bytes"] == cache_bytes(spec, batch=3, tokens=tokens, bytes_per_element=1)
    assert told["bytes_per_request"] == cache_bytes(spec, batch=1, tokens=tokens, bytes_per_element=1)
    assert told["bytes_per_token"] == cache_bytes_per_token(spec, bytes_per_element=1)
    assert sum(kind["bytes_per_request"] for kind in told["kinds"]) == told["bytes_per_request"]
    assert sum(kind["layers"] for kind in told["kinds"]) == len(spec.layers)


def test_kv_knows_windows_latents_and_states():
    gemma = facts("kv", "gemma-3-27b", "--context", 131072)
    held = {kind["window_tokens"]: kind["cached_tokens"] for kind in gemma["kinds"]}
    assert held == {1024: 1023, None: 131072}
    assert gemma["bytes_of_next_token"] * 62 == gemma["bytes_per_token"] * 10  # 10 of 62 layers still grow
    deepseek = facts("kv", "deepseek-v3", "--context", 1000)
    assert [kind["elements_per_token_and_layer"] for kind in deepseek["kinds"]] == [512 + 64]
    mamba = facts("kv", "mamba-2.8b", "--context", 1), facts("kv", "mamba-2.8b", "--context", 10**9)
    assert mamba[0]["total_bytes"] == mamba[1]["total_bytes"] > 0


@pytest.mark.parametrize("gpu", list_hardware())
def test_kv_counts_the_requests_that_fit(gpu):
    told = facts("kv", "llama-3.1-8b", "-c", 8192, "--gpu", gpu.lower(), "--devices", 2, "--weight-bits", 8)
    spec, device = load_spec("llama-3.1-8b"), load_hardware(gpu)
    fitting = max_concurrency(spec, device, 8192, devices=2, bytes_per_weight=1)
    assert told["gpu"]["max_concurrency_requests"] == fitting > 0
    assert told["gpu"]["weight_bytes"] == weight_bytes(spec, 1)
    assert told["gpu"]["memory_bytes"] == 2 * device.memory_bytes


@pytest.mark.parametrize("name", GENERATING)
def test_fit_is_the_roofline(name):
    spec, device = load_spec(name), load_hardware("H100-SXM")
    devices = next(n for n in range(64, 0, -1) if splits_evenly(spec, n))
    node = ("--gpu", "H100-SXM", "--devices", devices, "--weight-bits", 16)
    told = facts("fit", name, *node, "--context", 2000)
    options = {"devices": devices} | ({"source_tokens": 2000} if spec.encoder else {})
    fitting = max_concurrency(spec, device, 2000, devices=devices)
    assert told["max_concurrency_requests"] == fitting > 1
    assert [step["batch_requests"] for step in told["decode"]] == [1, fitting]
    for step in told["decode"]:
        wanted = decode_roofline(spec, device, batch=step["batch_requests"], context=2000, **options)
        assert (step["time_s"], step["bound"]) == (wanted.time_s, wanted.bound)
        assert step["tokens_per_s"] == step["batch_requests"] / wanted.time_s
    prefill = prefill_roofline(spec, device, 1 if spec.encoder else 2000, **options)
    assert (told["prefill"]["compute_s"], told["prefill"]["memory_s"]) == (
        prefill.compute_s,
        prefill.memory_s,
    )
    assert told["cache_equals_weights_requests"] == cache_equals_weights(spec, 2000)


def test_a_quantised_file_is_counted_as_it_is_stored_and_named():
    """alvarobartt/hf-mem#60: the released weights are 65,248,815,744 bytes, and fit on one device."""
    told = facts("fit", "gpt-oss-120b", "--gpu", "H100-SXM", "-c", 8192)
    assert told["weight_bytes"] == 65_248_815_744 and told["max_concurrency_requests"] > 0
    assert "mxfp4 (4.25 bits a weight, experts alone)" in told["precision"]
    asked = facts("fit", "gpt-oss-120b", "--gpu", "H100-SXM", "-c", 8192, "--weight-bits", 4.25)
    assert asked["bits_per_weight"] == 4.25 and asked["precision"].startswith("weights of 4.25 bits as asked")
    plain = facts("kv", "llama-3-8b", "--gpu", "L4", "--bits", 8.5)
    assert plain["bits_per_element"] == 8.5 and "names no quantisation" in plain["gpu"]["precision"]


def test_what_devices_hold_twice_is_named():
    node = ("--gpu", "H200-SXM", "--devices", 8, "--weight-bits", 8, "-c", 32768)
    heads = facts("fit", "deepseek-v3", *node)
    requests = facts("fit", "deepseek-v3", *node, "--split", "requests")
    assert (heads["max_concurrency_requests"], requests["max_concurrency_requests"]) == (18, 112)
    held = {one["what"]: one for one in requests["held_again"]}
    assert round(held["attention weights"]["bytes_per_copy"] / 1e9, 1) == 11.4
    assert "latents and their matrices on all 8" in course("fit", "deepseek-v3", *node).stdout
    shown = course("kv", "qwen2.5-7b", *node).stdout
    assert "4 KV heads on 2" in shown and "8 devices do not divide 28 query heads" in shown


def test_a_time_names_its_arithmetic():
    for bits, arithmetic in ((16, "16-bit"), (8, "FP8"), (4.5, "FP4")):
        told = facts("fit", "llama-3.1-70b", "--gpu", "B200", "-c", 256, "--weight-bits", bits)
        assert told["arithmetic"] == arithmetic
    assert (
        "lower bounds in FP4 arithmetic"
        in course("fit", "llama-3.1-70b", "--gpu", "B200", "-c", 256, "--weight-bits", 4.5).stdout
    )


def test_fit_says_no_and_how_many_it_takes():
    told = facts("fit", "llama-3.1-405b", "--gpu", "L4", "-c", 8192, code=1)
    assert told["max_concurrency_requests"] == 0
    needed, spec = told["devices_needed"], load_spec("llama-3.1-405b")
    fewer = next(n for n in range(needed - 1, 0, -1) if splits_evenly(spec, n))
    for devices, fits in ((fewer, False), (needed, True)):
        again = facts("fit", "llama-3.1-405b", "--gpu", "L4", "-c", 8192, "--devices", devices, code=not fits)
        assert (again["max_concurrency_requests"] > 0) is fits
    assert f"It takes {needed} devices" in course("fit", "llama-3.1-405b", "--gpu", "L4", "-c", 8192).stdout


@pytest.mark.parametrize("name", list_specs())
def test_spec_counts_the_parameters_and_names_its_sources(name):
    spec, told = load_spec(name), facts("spec", name)
    count = param_count(spec)
    assert (told["total_parameters"], told["active_parameters"]) == (count.total, count.active)
    assert told["parameters_by_part"] == dict(count.by_part)
    assert sum(told["parameters_by_part"].values()) == count.total
    assert [source["url"] for source in told["sources"]] == [source.url for source in spec.sources]
    stacks = {"decoder": len(spec.layers), "stack": len(spec.layers), "encoder": len(spec.encoder)}
    for stack in {kind["stack"] for kind in told["kinds"]}:
        indices = sorted(i for kind in told["kinds"] if kind["stack"] == stack for i in kind["indices"])
        assert indices == list(range(stacks[stack]))


def test_a_config_json_is_a_model_too(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(read_entry("llama-3-8b")["config"]))
    named = facts("kv", "llama-3-8b", "-c", 4096)
    for given_as in (path, tmp_path):
        told = facts("kv", given_as, "-c", 4096)
        assert told["total_bytes"] == named["total_bytes"]
        assert facts("spec", given_as)["total_parameters"] == facts("spec", "llama-3-8b")["total_parameters"]


def test_the_lists_are_complete():
    assert [one["model"] for one in facts("spec", "--list")["models"]] == list(list_specs())
    assert [one["gpu"] for one in facts("fit", "--list-gpus")["gpus"]] == list(list_hardware())
    assert all(name in course("spec", "--list").stdout for name in list_specs())
    assert all(name in course("fit", "--list-gpus").stdout for name in list_hardware())


KEYS = {
    "kv": """
        model counted writes_tokens context_tokens model_context_tokens batch_requests bits_per_element
        bytes_per_token bytes_of_next_token bytes_per_request total_bytes fixed_bytes_per_request
        further_bytes_per_token line_from_tokens reserved_bytes_per_request reserved_added_share kinds gpu
    """,
    "spec": """
        model family layers encoder_layers width vocab context_tokens total_parameters active_parameters
        counted parameters_beside whole_parameters
        parameters_by_part published_total_parameters published_active_parameters
        published_active_leaves_out kinds embeddings head sources
    """,
    "fit": """
        model counted gpu devices split memory_bytes reserve_share precision bits_per_weight weight_bytes
        device_memory_bytes device_weight_bytes device_cache_bytes_per_request held_again heads_not_divided
        max_concurrency_requests tokens_in_all context_tokens model_context_tokens bits_per_element
        arithmetic peak_flops_per_s cache_bytes_per_request devices_needed cache_equals_weights_requests
        prefill decode measured
    """,
    "doctor": """
        python_version python_path platform course_version cores usable_cores torch_threads memory_bytes
        profile profile_asked profile_error packages torch_pinned_version torch_is_pinned gpus programs models
        bandwidth problems
    """,
}
COMMANDS = {
    "kv": ("kv", "gpt2"),
    "spec": ("spec", "gpt2"),
    "fit": ("fit", "gpt2", "--gpu", "L4"),
    "doctor": ("doctor", "--no-measure"),
}


@pytest.mark.parametrize("command", KEYS)
def test_the_keys_of_the_json_stay(command):
    assert list(facts(*COMMANDS[command])) == KEYS[command].split()


@pytest.mark.parametrize("command", KEYS)
def test_the_tables_show_what_the_json_says(command):
    result = course(*COMMANDS[command])
    assert result.exit_code == 0, result.output
    told = facts(*COMMANDS[command])
    shown = {
        "kv": "36 MiB",
        "spec": f"{told.get('total_parameters', 0):,}",
        "fit": "requests that fit",
        "doctor": str(told.get("python_version")),
    }
    assert shown[command] in result.stdout
    assert "nan" not in result.stdout.lower().split()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kv", "lama-3.1-8b"], "no model is called 'lama-3.1-8b'; nearest: llama-3.1-8b"),
        (["spec", "qwen3"], "nearest: qwen3-0.6b"),
        (["kv"], "a name or a config.json is wanted (see course spec --list)"),
        (["kv", "zzzzzz"], "none comes close (all: course spec --list)"),
        (["fit", "gpt2"], "a name is wanted (see course fit --list-gpus)"),
        (["fit", "gpt2", "--gpu", "h100"], "nearest: H100-SXM"),
        (["fit", "bert-base", "--gpu", "L4"], "bert-base generates no text"),
        (["kv", "bert-base", "--gpu", "L4"], "a model that keeps a cache is allowed"),
        (["kv", "gpt2", "--context", "0"], "'--context' / '-c': "),
        (["kv", "gpt2", "--batch", "many"], "'--batch' / '-b': "),
        (["kv", "gpt2", "--bits", "65"], "'--bits': Input should be less than or equal to 64"),
        (["kv", "gpt2", "--bits", "nan"], "'--bits': Input should be less than or equal to 64"),
        (
            ["fit", "gpt2", "--gpu", "L4", "--devices", "5"],
            "a divisor or a multiple of kv_heads=12 is allowed",
        ),
        (["fit", "gpt2", "--gpu", "L4", "--arithmetic", "fp4"], "NVIDIA L4 has 16-bit, FP8, INT8"),
        (["fit", "gpt2", "--gpu", "L4", "--split", "layers"], "'layers' is not one of"),
        (["spec", "missing/config.json"], "not readable (No such file or directory)"),
        (["quantize"], "No such command 'quantize'"),
    ],
)
def test_a_refused_input_says_what_is_allowed(words, said):
    assert said in refusal(*words)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "{", "[]", '{"model_type": "llama"}', '{"model_type": 1}', ""]
)
def test_a_file_that_is_no_config_is_refused(tmp_path, content):
    path = tmp_path / "some.json"
    path.write_text(content)
    for command in (["spec", path], ["kv", path], ["fit", path, "--gpu", "L4"]):
        assert "config" in refusal(*command)


def test_a_context_beyond_the_model_s_own_is_remarked():
    assert "more than its own 1,024" in course("kv", "gpt2", "-c", 1025).stdout
    assert "more than its own" not in course("kv", "gpt2", "-c", 1024).stdout
    assert facts("kv", "gpt2")["context_tokens"] == 1024


def test_the_shell_can_complete_names(monkeypatch):
    environment = {
        "_COURSE_COMPLETE": "complete_bash",
        "COMP_WORDS": "course kv llama-3.1-",
        "COMP_CWORD": "2",
    }
    result = RUN.invoke(app, [], env=environment, prog_name="course")
    assert result.stdout.split() == ["llama-3.1-405b", "llama-3.1-70b", "llama-3.1-8b"]


def test_the_command_starts_without_torch():
    code = "import sys, course_lib.course.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_doctor_measures_and_finds_problems(monkeypatch):
    monkeypatch.setattr(machine, "MEASURED_BYTES", 2**22)
    told = facts("doctor")
    assert told["bandwidth"][0]["device"] == "cpu"
    assert 1e7 < told["bandwidth"][0]["read_bytes_per_s"] < 1e13
    assert told["bandwidth"][0]["moved_bytes"] == 2**22
    assert told["torch_is_pinned"] and told["problems"] == []
    monkeypatch.setenv("COURSE_PROFILE", "huge")
    monkeypatch.setattr(machine, "pinned_torch", lambda: "1.0.0")
    told = facts("doctor", "--no-measure", code=1)
    assert "pip install torch==1.0.0" in told["problems"][0]
    assert "COURSE_PROFILE='huge': allowed are smoke, cpu, gpu" in told["problems"][1]
    assert told["profile"] is None


ODD = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "nan", "-inf", "1e9", "../", ".json", "/", "\0", "[b t]", "--", "-c"]),
)
NAMES = st.sampled_from([*list_specs(), "LLAMA-3-8B", "gpt"]) | ODD
NUMBERS = st.integers(-1, 10**9).map(str) | ODD
OPTIONS = st.one_of(
    st.tuples(st.sampled_from(["--context", "--batch", "--bits", "--weight-bits", "--devices"]), NUMBERS),
    st.tuples(st.just("--split"), st.sampled_from(["heads", "requests"]) | ODD),
    st.tuples(st.just("--arithmetic"), st.sampled_from(["16-bit", "fp8", "INT8", "FP4"]) | ODD),
    st.tuples(st.just("--gpu"), st.sampled_from(list_hardware()) | ODD),
    st.sampled_from([("--json",), ("--list",), ("--list-gpus",)]),
)


@settings(max_examples=150)
@given(st.sampled_from(["kv", "spec", "fit"]), NAMES, st.lists(OPTIONS, max_size=4))
def test_no_arguments_bring_a_traceback_or_nan(command, name, options):
    words = [command, name, *(word for option in options for word in option)]
    result = RUN.invoke(app, words)
    assert result.exit_code in (0, 1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        assert result.stderr
    elif "--json" in words:
        json.loads(result.stdout, parse_constant=pytest.fail)
    else:
        assert not {"nan", "inf"} & set(re.findall(r"[a-z]+", result.stdout.lower()))


JSON_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({})
)


@settings(max_examples=60)
@given(st.sampled_from(list_specs()), st.data())
def test_no_config_brings_a_traceback_or_nan(tmp_path_factory, name, data):
    config = dict(read_entry(name)["config"])
    for field in data.draw(st.lists(st.sampled_from(sorted(config)), max_size=2)):
        config[field] = data.draw(JSON_VALUES | st.integers(1, 10**6))
    path = tmp_path_factory.mktemp("fuzz") / "config.json"
    path.write_text(json.dumps(config))
    for words in (["spec"], ["kv", "-c", "777"], ["fit", "--gpu", "L4", "-c", "777"]):
        result = course(words[0], path, *words[1:], "--json")
        assert result.exception is None or isinstance(result.exception, SystemExit), config
        if result.exit_code == 2:
            continue
        told = json.loads(result.stdout, parse_constant=pytest.fail)
        assert all(math.isfinite(value) for value in told.values() if isinstance(value, int | float))
