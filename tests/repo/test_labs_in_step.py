"""A student lab is its source without the answers: nobody has edited one and forgotten the other."""

import subprocess
import sys

import pytest

from .repository import ROOT, ids, matching, text

SOURCES = matching(r"labs/source/\w+\.ipynb")
STUDENT = matching(r"labs/\w+\.ipynb")


def test_every_source_has_its_student_lab():
    assert sorted(path.name for path in SOURCES) == sorted(path.name for path in STUDENT)


def test_the_student_labs_are_what_the_tool_makes():
    command = [sys.executable, "tools/generate_labs.py", "--check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("path", STUDENT, ids=ids(STUDENT))
def test_a_student_lab_holds_no_answer(path):
    assert not any(mark in text(path.as_posix()) for mark in ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS"))
