"""`course lab start` keeps what is there; `course lab check` says what the lab's own checks say."""

import json

import nbformat
import pytest
from typer.testing import CliRunner

from course_lib.course.cli import lab
from course_lib.course.cli.app import app
from course_lib.course.labs import session
from course_lib.course.labs.generate import LABS

from .answers import cell, solved, wrong_answer

RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
NAME = "03_kv_cache"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def course(*words: object, code: int = 0):
    result = RUN.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("number", ["3", "03", NAME])
def test_start_copies_the_student_lab(elsewhere, number):
    told = json.loads(course("lab", "start", number, "--json").stdout)
    assert told == {"lab": NAME, "path": f"my_labs/{NAME}.ipynb", "replaced": False}
    assert (elsewhere / told["path"]).read_bytes() == (LABS / f"{NAME}.ipynb").read_bytes()


@pytest.mark.parametrize(
    ("words", "next_words"),
    [
        (("3",), "3"),
        (("3", "--folder", "my work"), "3 --folder 'my work'"),
        (("02_attention_math",), "2"),
        (("02_flash_kernel",), "02_flash_kernel"),
    ],
)
def test_start_says_how_to_check_that_very_copy(elsewhere, words, next_words):
    assert course("lab", "start", *words).stdout.splitlines()[-1] == f"Check:  course lab check {next_words}"
    (elsewhere / "my_labs").mkdir(exist_ok=True)
    for copy in elsewhere.rglob("*.ipynb"):
        copy.unlink()
    told = course("lab", "check", *words, code=2).stderr
    assert f"course lab start {next_words}" in " ".join(told.split())


def test_start_overwrites_only_by_force(elsewhere):
    course("lab", "start", "3", "--folder", "mine")
    copy = elsewhere / "mine" / f"{NAME}.ipynb"
    copy.write_text("my work")
    assert "--force" in course("lab", "start", "3", "--folder", "mine", code=2).stderr
    assert copy.read_text() == "my work"
    course("lab", "start", "3", "--folder", "mine", "--force")
    assert copy.read_bytes() == (LABS / f"{NAME}.ipynb").read_bytes()


def test_errors_say_what_is_allowed(elsewhere):
    assert NAME in course("lab", "start", "99", code=2).stderr
    assert "course lab start 3" in course("lab", "check", "3", code=2).stderr
    (elsewhere / "file").write_text("")
    assert "cannot be written" in course("lab", "start", "3", "--folder", "file", code=2).stderr
    (elsewhere / "broken.ipynb").write_text('{"cells": [')
    assert "not a notebook" in course("lab", "check", "3", "--file", "broken.ipynb", code=2).stderr


def test_where_only_the_library_is_installed_the_labs_are_said_to_be_elsewhere(elsewhere, monkeypatch):
    monkeypatch.setattr(lab, "LABS", elsewhere / "nothing")
    assert "repository" in course("lab", "start", "3", code=2).stderr


def test_a_kernel_that_does_not_start_is_said_to_be_the_reason(monkeypatch):
    def dead(*_, **__):
        raise RuntimeError("Kernel died before replying")

    course("lab", "start", "3")
    monkeypatch.setattr(session, "run_plan", dead)
    assert "no Python kernel started" in course("lab", "check", "3", code=2).stderr


def test_check_passes_a_solution_and_ignores_a_stretch_left_alone(elsewhere):
    notebook = solved(NAME)
    stub = nbformat.read(LABS / f"{NAME}.ipynb", as_version=4)
    cell(notebook, "exercise-stretch").source = cell(stub, "exercise-stretch").source
    nbformat.write(notebook, elsewhere / "answer.ipynb")
    told = json.loads(course("lab", "check", "3", "--file", "answer.ipynb", "--json").stdout)
    assert told["passed"] and told["points"] == told["maximum_points"] == 100
    statuses = {one["exercise"]: one["status"] for one in told["exercises"]}
    assert statuses.pop("exercise-stretch") == "not attempted"
    assert set(statuses.values()) == {"passed"}
    assert list(told) == ["lab", "path", "passed", "points", "maximum_points", "exercises", "repairs"]


def test_check_says_what_is_wrong_and_which_hint_fits(elsewhere):
    notebook = solved(NAME)
    wrong = wrong_answer(NAME, "exercise-1", "missing_scale")
    cell(notebook, "exercise-1").source = wrong.code
    cell(notebook, "exercise-2").source = "def grouped_attention(:"
    cell(notebook, "exercise-3").source = "raise NotImplementedError"
    cell(notebook, "exercise-4").source = "while True: pass"
    cell(notebook, "check-5-as_gib").source = "print('passed')"
    nbformat.write(notebook, elsewhere / "answer.ipynb")
    words = ["lab", "check", "3", "--file", "answer.ipynb", "--timeout", "5"]
    told = json.loads(course(*words, "--json", code=1).stdout)
    by_name = {one["exercise"]: one for one in told["exercises"]}
    parts = "1-append", "1-step", "1-run", "2", "3-visible", "4-gather", "5-as_gib", "6-request_latency"
    statuses = [by_name[f"exercise-{part}"]["status"] for part in parts]
    assert statuses[:4] == ["passed", "failed", "passed", "failed"]
    assert statuses[4:] == ["not attempted", "timeout", "passed", "passed"]
    first = by_name["exercise-1-step"]
    assert first["title"] == "Exercise 1: a contiguous cache: step"
    assert first["hint_name"] == wrong.hint
    assert first["hint"] and first["expected"] and first["got"] and first["what"].startswith("Exercise 1")
    assert by_name["exercise-2"]["message"].startswith("in your cell: SyntaxError")
    assert told["points"] == 44 and not told["passed"]
    assert "edited" in told["repairs"]["check-5-as_gib"]


def test_check_shows_a_table_with_the_hint(elsewhere):
    notebook = nbformat.read(LABS / f"{NAME}.ipynb", as_version=4)
    cell(notebook, "exercise-2").source = "def grouped_attention(q, k, v, mask):\n    return q[:, :1]"
    nbformat.write(notebook, elsewhere / "answer.ipynb")
    shown = course("lab", "check", "3", "--file", "answer.ipynb", code=1).stdout
    assert "Exercise 2: heads that share keys and values" in shown
    assert "expected" in shown and "hint" in shown
    assert "0 / 100" in shown
