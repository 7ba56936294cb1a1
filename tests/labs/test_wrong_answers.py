"""The checks tell right from wrong: solutions pass, stubs fail, each wrong answer fails with its hint."""

from collections import Counter
from functools import cache

import pytest

from course_lib.course.labs.generate import lab_names, read_source, student_version
from course_lib.course.labs.submission import exercise_of
from tests.labs.answers import cell, ids, wrong_answers

FORGET = "for name in [name for name in dir() if name.isidentifier() and name[0] != '_']: del globals()[name]"
WRONG = list(wrong_answers())
CHECKS = [(lab, check) for lab in lab_names() for check in ids(read_source(lab), "grade")]


lab_source = cache(read_source)


def run(kernel, lab: str, exercise: str, code: str):
    """Run the lab's given cells, `code`, and the check with its hidden tests, in an empty namespace."""
    source = lab_source(lab)
    assert kernel(FORGET).status == "ok"
    for given in ids(source, "locked"):
        if not given.startswith("table"):  # these show results of earlier exercises
            assert kernel(cell(source, given).source).status == "ok"
    defined = kernel(code)
    assert defined.status == "ok", defined.message
    return kernel(cell(source, exercise.replace("exercise", "check")).source)


@pytest.mark.parametrize(("lab", "check"), CHECKS)
def test_the_solution_passes(kernel, lab, check):
    exercise = exercise_of(check)
    outcome = run(kernel, lab, exercise, cell(lab_source(lab), exercise).source)
    assert outcome.status == "ok", outcome.message


@pytest.mark.parametrize(("lab", "check"), CHECKS)
def test_the_stub_fails(kernel, lab, check):
    exercise = exercise_of(check)
    outcome = run(kernel, lab, exercise, cell(student_version(lab_source(lab)), exercise).source)
    assert outcome.status == "error"
    assert outcome.message.startswith("NotImplementedError")


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_answer_fails_with_the_hint_that_fits(kernel, wrong):
    outcome = run(kernel, wrong.lab, wrong.exercise, wrong.code)
    assert outcome.status == "error", "the wrong answer passed"
    assert outcome.message.startswith("CheckFailed"), outcome.message
    assert f"hint ({wrong.hint}):" in outcome.message, outcome.message
    assert "expected:" in outcome.message and "got:" in outcome.message


def test_every_exercise_has_wrong_answers():
    counts = Counter((wrong.lab, wrong.exercise) for wrong in WRONG)
    assert {(lab, exercise_of(check)) for lab, check in CHECKS} == set(counts)
    assert min(counts.values()) >= 3
    assert len({str(wrong) for wrong in WRONG}) == len(WRONG)
