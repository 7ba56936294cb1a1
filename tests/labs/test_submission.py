"""What `restore` makes of a submission, without running anything."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.course.labs.generate import read_source, student_version
from course_lib.course.labs.kernel import Outcome
from course_lib.course.labs.marking import mark_plan
from course_lib.course.labs.report import Mark, plain_text
from course_lib.course.labs.submission import Unreadable, lab_of, restore


def lab_cell(grade_id, source, **meta):
    flags = {"grade": False, "solution": False, "locked": True, "task": False, "schema_version": 3}
    return new_code_cell(source, id=grade_id, metadata={"nbgrader": flags | {"grade_id": grade_id} | meta})


@pytest.fixture
def source():
    answer = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    check = "assert f()\n### BEGIN HIDDEN TESTS\nassert f() == 1\n### END HIDDEN TESTS"
    return new_notebook(
        cells=[
            lab_cell("setup", "a = 1"),
            new_markdown_cell("Write f."),
            lab_cell("exercise-1", answer, solution=True, locked=False),
            lab_cell("check-1", check, grade=True, points=3),
        ]
    )


def plan_of(source, change):
    student = student_version(source)
    submission = student_version(source)
    change(submission.cells)
    return restore(source, student, submission)


def order(plan):
    return [step.grade_id or step.source for step in plan.steps]


def test_an_untouched_submission_runs_as_the_source_does(source):
    plan = plan_of(source, lambda cells: None)
    assert order(plan) == ["setup", "exercise-1", "check-1"]
    assert "hidden" not in plan.steps[1].source and "f() == 1" in plan.steps[2].source
    assert plan.repairs == {}


def test_own_cells_run_after_the_cell_they_follow(source):
    def change(cells):
        cells.insert(0, new_code_cell("before"))
        cells.insert(4, new_code_cell("after"))

    assert order(plan_of(source, change)) == ["before", "setup", "exercise-1", "after", "check-1"]


def test_every_version_of_an_answer_runs_before_its_check(source):
    def change(cells):
        cells.append(lab_cell("exercise-1", "f = late", solution=True, locked=False))

    plan = plan_of(source, change)
    assert order(plan) == ["setup", "exercise-1", "exercise-1", "check-1"]
    assert plan.steps[2].source == "f = late"
    assert plan.repairs == {"exercise-1": "the solution cell appeared 2 times; the last one counts"}


def test_a_missing_answer_is_the_stub(source):
    plan = plan_of(source, lambda cells: cells.pop(2))
    assert order(plan) == ["setup", "exercise-1", "check-1"]
    assert "NotImplementedError" in plan.steps[1].source
    assert plan.repairs == {"exercise-1": "the solution cell was missing"}


def test_an_answer_turned_into_text_is_missing(source):
    def change(cells):
        cells[2] = new_markdown_cell("text", id="exercise-1")

    assert plan_of(source, change).repairs == {"exercise-1": "the solution cell was missing"}


def test_checks_and_points_come_from_the_source(source):
    def change(cells):
        cells[3].source, cells[3].metadata.nbgrader.points = "pass", 99

    plan = plan_of(source, change)
    assert plan.steps[2].points == 3 and "assert" in plan.steps[2].source
    assert plan.repairs == {"check-1": "the check cell had been edited; restored"}


def test_a_file_without_a_cell_of_the_lab_is_unreadable(source):
    with pytest.raises(Unreadable, match="metadata stripped"):
        plan_of(source, lambda cells: cells.clear())


@pytest.mark.parametrize(
    ("outcomes", "status", "points"),
    [
        (["ok", "ok", "ok"], "graded", 3),
        (["ok", "error", "error"], "graded", 0),
        (["ok", "ok", "timeout"], "timeout", 0),
        (["ok", "ok", "late"], "timeout", 0),
        (["ok", "died", "error"], "died", 0),
        (["ok", "ok", "flood"], "flood", 0),
    ],
)
def test_marks_follow_from_outcomes(source, outcomes, status, points):
    plan = plan_of(source, lambda cells: None)
    mark = mark_plan(plan, [Outcome(status) for status in outcomes], Mark("name", "lab"), {})
    assert (mark.status, mark.total, mark.maximum) == (status, points, {"exercise-1": 3})
    assert bool(mark.reasons) == (points == 0)


def test_an_unknown_lab_is_refused():
    with pytest.raises(
        ValueError, match="lab name '99': allowed are 01_prototypes, 02_attention_math, 02_flash_kernel, "
    ):
        read_source("99")


def test_a_file_without_ids_is_unreadable_and_not_zero(source):
    def strip(cells):
        for cell in cells:
            cell.metadata.pop("nbgrader", None)
            cell.pop("id", None)

    with pytest.raises(Unreadable, match="metadata stripped"):
        plan_of(source, strip)


def test_the_lab_is_known_by_its_cells_and_then_by_its_name():
    students = {name: student_version(read_source(name)) for name in ("01_prototypes", "03_kv_cache")}
    empty = new_notebook(cells=[new_code_cell("x = 1")])
    assert lab_of(students["03_kv_cache"], students, "01_prototypes (1).ipynb") == "03_kv_cache"
    assert lab_of(empty, students, "ada_LATE_12_03_kv_cache-1.ipynb") == "03_kv_cache"
    assert lab_of(empty, {"03_kv_cache": students["03_kv_cache"]}) == "03_kv_cache"
    with pytest.raises(Unreadable, match="neither its cells nor its name"):
        lab_of(empty, students, "a.ipynb")


@pytest.mark.parametrize(
    ("text", "plain"), [("=1+1", "'=1+1"), ("-x", "'-x"), ("a\nb\x00", "a b "), ("ok", "ok")]
)
def test_text_in_the_table_is_never_a_formula(text, plain):
    assert plain_text(text) == plain
