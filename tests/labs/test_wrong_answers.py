"""The checks tell right from wrong: solutions pass, stubs fail, each wrong answer fails with its hint."""

import ast
from collections import Counter
from functools import cache

import pytest

from course_lib.course.labs.generate import lab_names, read_source, student_version
from course_lib.course.labs.submission import solution_of
from tests.labs.answers import cell, checks, ids, wrong_answers

FORGET = "for name in [name for name in dir() if name.isidentifier() and name[0] != '_']: del globals()[name]"
WRONG = list(wrong_answers())
lab_source = cache(read_source)
EXERCISES = [(lab, name) for lab in lab_names() for name in dict.fromkeys(
    solution_of(check) for check in ids(lab_source(lab), "grade"))]  # fmt: skip


def run(kernel, lab: str, exercise: str, code: str):
    """Run the lab's given cells, `code`, and its checks with their hidden tests, in an empty namespace.

    Returns the first outcome that is not ok, or the first, and all of them.
    """
    source = lab_source(lab)
    assert kernel(FORGET).status == "ok"
    for given in ids(source, "locked"):
        if not given.startswith("table"):  # these show results of earlier exercises
            assert kernel(cell(source, given).source).status == "ok"
    defined = kernel(code)
    assert defined.status == "ok", defined.message
    outcomes = [kernel(cell(source, check).source) for check in checks(source, exercise)]
    return next((outcome for outcome in outcomes if outcome.status != "ok"), outcomes[0]), outcomes


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_the_solution_passes(kernel, lab, exercise):
    outcome, _ = run(kernel, lab, exercise, cell(lab_source(lab), exercise).source)
    assert outcome.status == "ok", outcome.message


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_the_stub_fails_in_every_check(kernel, lab, exercise):
    _, outcomes = run(kernel, lab, exercise, cell(student_version(lab_source(lab)), exercise).source)
    for outcome in outcomes:
        assert outcome.status == "error"
        assert outcome.message.startswith("NotImplementedError"), outcome.message


PARTS = [(lab, exercise, check) for lab, exercise in EXERCISES
         for check in checks(lab_source(lab), exercise) if check.count("-") > 1]  # fmt: skip


@pytest.mark.parametrize(("lab", "exercise", "check"), PARTS)
def test_a_stub_in_one_function_costs_the_points_of_that_one_alone(kernel, lab, exercise, check):
    """Each check passes with the other functions of its exercise still unwritten."""
    part = OF_CLASS.get(check, check.split("-", 2)[2])
    code = only(lab, exercise, part)
    source = lab_source(lab)
    _, outcomes = run(kernel, lab, exercise, code)
    names = checks(source, exercise)
    assert outcomes[names.index(check)].status == "ok", outcomes[names.index(check)].message
    assert any(o.message.startswith("NotImplementedError") for o in outcomes) or check in ALONE


OF_CLASS = {"check-1-append": "append", "check-3-RingCache": "RingCache", "check-4-copy_on_write": "append",
            "check-4-read": "SourceMemory", "check-4-once": "SourceMemory"}  # fmt: skip
ALONE = ("check-4-read", "check-4-once")


def only(lab: str, exercise: str, part: str) -> str:
    """The solution of one function, method or class, the other ones as stubs."""
    solution = ast.parse(cell(lab_source(lab), exercise).source)
    stub = ast.parse(cell(student_version(lab_source(lab)), exercise).source)

    def named(body):
        return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    stubs = named(stub.body)
    for place, node in enumerate(solution.body):
        name = getattr(node, "name", part)
        if isinstance(node, ast.ClassDef) and name != part:
            inner = named(stubs[name].body)
            node.body = [inner.get(m.name, m) if getattr(m, "name", part) != part else m
                         for m in node.body]  # fmt: skip
        elif name != part:
            solution.body[place] = stubs[name]
    return ast.unparse(solution)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_answer_fails_with_the_hint_that_fits(kernel, wrong):
    outcome, _ = run(kernel, wrong.lab, wrong.exercise, wrong.code)
    assert outcome.status == "error", "the wrong answer passed"
    assert outcome.message.startswith("CheckFailed"), outcome.message
    assert f"hint ({wrong.hint}):" in outcome.message, outcome.message
    assert "expected:" in outcome.message and "got:" in outcome.message


def test_every_exercise_has_wrong_answers():
    counts = Counter((wrong.lab, wrong.exercise) for wrong in WRONG)
    assert set(EXERCISES) == set(counts)
    assert min(counts.values()) >= 3
    assert len({str(wrong) for wrong in WRONG}) == len(WRONG)
