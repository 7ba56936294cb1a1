"""The checks for a GPU, rehearsed: each step in its own process, failures kept apart, results as JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gpu_check  # noqa: E402
import gpu_steps  # noqa: E402

from course_lib.kernels.back_ends import BACK_ENDS  # noqa: E402

WITHOUT_JAXTYPING = """
import importlib.util, sys
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "jaxtyping" else there(name, *rest)
sys.path.insert(0, "tools")
import gpu_steps
gpu_steps.without_shapes()
import course_lib.layers.caches.contiguous, course_lib.layers.attention.forms as forms
assert sys.modules["jaxtyping"].__spec__ is None
"""


def test_the_rehearsal_checks_the_kernel_and_decoding(tmp_path):
    pytest.importorskip("triton", reason="Triton is published for Linux only")
    into = tmp_path / "gpu.json"
    command = [sys.executable, "tools/gpu_check.py", "--json", str(into), "--only"]
    command += ["kernel", "decode", "tensor_parallel", "experts", "expert_parallel", "experts_time"]
    command += ["scans", "scan_time", "back_ends", "back_ends_time"]
    environment = os.environ | {"COURSE_PROFILE": "smoke"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(into.read_text(encoding="utf-8"))
    assert report["profile"] == "smoke" and report["machine"]["versions"]["torch"]
    kernel, decode, split, experts, spread, scans, asked, timed, over, raced = report["steps"]
    assert (kernel["step"], decode["step"], split["step"]) == ("kernel", "decode", "tensor_parallel")
    assert split["ranks"] == len(split["rows"]) == 2 and all(row["gap"] < 1e-9 for row in split["rows"])
    assert {(row["dtype"], row["causal"]) for row in kernel["rows"]} == {
        (dtype, causal) for dtype in gpu_steps.TOLERANCE for causal in (True, False)
    }
    assert all(0 < row["gap"] <= row["allowed"] for row in kernel["rows"])
    assert 0 < decode["gap"] <= decode["allowed"]
    assert {row["way"] for row in experts["rows"]} == {"loop", "padded", "grouped"} and experts["ok"]
    assert spread["ok"] and sum(row["away_rows"] for row in spread["rows"]) > 0
    assert [row["tokens"] for row in timed["rows"]] == [1, 8] and timed["rows"][0]["experts_touched"] == 2
    assert scans["ok"] and {row["form"] for row in scans["rows"]} > {"SSD", "Triton SSD", "gated delta rule"}
    assert [row["tokens"] for row in over["rows"]] == [32, 64]
    assert asked["ok"] and {row["back_end"] for row in asked["rows"]} == set(BACK_ENDS)
    refused = {(row["back_end"], row["request"]) for row in asked["rows"] if row["problem"]}
    assert {name for name, _ in refused} == {"Triton"} and ("Triton", "causal") not in refused
    assert [row["pass"] for row in raced["rows"]] == ["forward", "forward and backward"]


def test_a_step_that_fails_or_outlasts_its_time_is_a_row_and_ends_nothing():
    failing = gpu_steps.Step("no such step", True, 60, dict)
    row = gpu_check.run(failing, True, 60)
    assert not row["ok"] and "ValueError" in row["problem"]
    assert gpu_check.run(failing, True, 4)["problem"] == "no time was left"


def test_a_step_that_hangs_is_stopped(monkeypatch):
    def hang(*given, timeout, **named):
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(gpu_check.subprocess, "run", hang)
    row = gpu_check.run(gpu_steps.STEPS[0], True, 30)
    assert not row["ok"] and row["problem"] == "took more than 30 s"


@pytest.mark.parametrize(("checks", "code"), [(True, 1), (False, 0)])
def test_wrong_results_end_with_1_and_a_missing_time_does_not(checks, code, monkeypatch, tmp_path):
    wrong = gpu_steps.Step("decode", checks, 60, dict)
    monkeypatch.setattr(gpu_check, "STEPS", (wrong, gpu_steps.Step("after", False, 60, dict)))
    monkeypatch.setattr(
        gpu_check,
        "run",
        lambda step, smoke, limit_s: {"step": step.name, "checks": step.checks, "ok": False, "seconds": 1.0},
    )
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--json", str(tmp_path / "gpu.json")])
    assert gpu_check.main() == code
    rows = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["steps"]
    assert [row["step"] for row in rows] == ["decode", "after"]


def test_without_a_gpu_the_stored_results_are_left_alone(monkeypatch):
    monkeypatch.setattr(gpu_check, "has_gpu", lambda: False)
    monkeypatch.setenv("COURSE_PROFILE", "gpu")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    with pytest.raises(SystemExit, match="COURSE_PROFILE=smoke"):
        gpu_check.main()


def test_the_steps_fit_into_eight_minutes_and_the_notebooks_are_there():
    assert gpu_check.WHOLE_S <= 480
    assert sum(step.limit_s for step in gpu_steps.STEPS if step.checks) < 0.75 * gpu_check.WHOLE_S
    assert all((ROOT / "notebooks" / f"{name}.ipynb").is_file() for name in gpu_steps.NOTEBOOKS)


def test_a_notebook_runs_as_a_script_where_nothing_runs_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = ["from course_lib.kit.values import record\nx = 2", 'record(double=(2 * x, "s"))', "x"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    values = gpu_steps.as_script(tmp_path / "a.ipynb", "application/vnd.course.value+json")
    assert values == [{"name": "double", "value": 4, "unit": "s", "digits": 3}]


def test_it_runs_where_jaxtyping_is_not_there():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_JAXTYPING], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
