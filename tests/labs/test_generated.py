"""Student versions: in step with their sources, valid for nbgrader, and without a word of the solutions."""

import ast
import json
import re

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator
from nbgrader.utils import compute_checksum, is_locked

from course_lib.course.labs.generate import LABS, lab_names, read_source, student_text
from tests.labs.answers import cell, checks, ids

LAB_NAMES = lab_names()
HINT = re.compile(r"<details>\n<summary>Hint (\d): [^<]+</summary>\n\n.+?\n\n</details>", re.DOTALL)
REGION = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END \1", re.DOTALL)


def student(lab):
    """Read the committed student version."""
    return nbformat.read(LABS / f"{lab}.ipynb", as_version=4)


def lines(text):
    """Return the lines of `text` that say something."""
    return [line.strip() for line in text.splitlines() if len(line.strip()) > 3]


def test_there_is_a_lab():
    assert {"01_prototypes", "02_attention_math", "02_flash_kernel", "03_kv_cache"} <= set(LAB_NAMES)
    assert {"04_moe", "04_moe_operations"} < set(LAB_NAMES)
    assert sorted(path.stem for path in LABS.glob("*.ipynb")) == list(LAB_NAMES)


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_student_version_is_in_step(lab):
    committed = (LABS / f"{lab}.ipynb").read_text(encoding="utf-8")
    assert committed == student_text(lab), "run: python tools/generate_labs.py"


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_no_line_of_a_solution_or_hidden_test_is_left(lab):
    source = read_source(lab)
    regions = [region for c in source.cells for _, region in REGION.findall(c.source)]
    given = [REGION.sub("", c.source) for c in source.cells]
    secret = set(lines("\n".join(regions))) - set(lines("\n".join(given)))
    assert len(secret) > 40
    text = "\n".join(c.source for c in student(lab).cells)
    assert set(lines(text)) & secret == set()
    assert "BEGIN SOLUTION" not in text and "HIDDEN" not in text


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_nbgrader_accepts_both_versions(lab):
    for notebook in (read_source(lab), student(lab)):
        nbformat.validate(notebook)
        MetadataValidator().validate_nb(notebook)
    for c in student(lab).cells:
        if "nbgrader" in c.metadata:
            assert c.metadata.nbgrader.schema_version == 3
            assert c.metadata.nbgrader.checksum == compute_checksum(c)
            assert c.metadata.deletable is False
            assert c.metadata.get("editable", True) is not is_locked(c)


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_students_get_no_outputs_and_every_code_cell_has_a_role(lab):
    for c in student(lab).cells:
        if c.cell_type == "code":
            assert c.outputs == [] and c.execution_count is None
            assert c.metadata.nbgrader.grade_id == c.id
    for name in ids(student(lab), "solution"):
        assert "raise NotImplementedError()" in cell(student(lab), name).source


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_each_exercise_has_a_goal_a_difficulty_three_hints_and_hidden_tests(lab):
    notebook = read_source(lab)
    by_id = {c.id: c.source for c in notebook.cells}
    for exercise in ids(notebook, "solution"):
        key = exercise.removeprefix("exercise-")
        assert "**Goal.**" in by_id[f"task-{key}"] and "★" in by_id[f"task-{key}"]
        assert HINT.findall(by_id[f"hints-{key}"]) == ["1", "2", "3"]
        for check in checks(notebook, exercise):
            assert "BEGIN HIDDEN TESTS" in by_id[check]


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_stubs_are_typed_and_documented(lab):
    for exercise in ids(student(lab), "solution"):
        nodes = list(ast.walk(ast.parse(cell(student(lab), exercise).source)))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        assert functions
        for function in functions:
            assert function.returns is not None, function.name
            assert ast.get_docstring(function) or function.name == "__init__", function.name
        assert all(ast.get_docstring(node) for node in nodes if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize(
    ("lab", "exercises", "minutes"),
    [
        ("01_prototypes", 6, 75),
        ("02_attention_math", 6, 75),
        ("02_flash_kernel", 3, 55),
        ("03_kv_cache", 6, 88),
        ("04_moe", 6, 80),
        ("04_moe_operations", 5, 60),
        ("05_ssm", 7, 80),
        ("09_hybrids", 5, 90),
    ],
)
def test_a_lab_takes_the_minutes_it_says_and_gives_100_points(lab, exercises, minutes):
    notebook = read_source(lab)
    titles = [c.source.splitlines()[0] for c in notebook.cells if c.id.startswith("task-")]
    said = [int(m) for title in titles for m in re.findall(r"^## Exercise .*\((\d+) minutes", title)]
    points = [cell(notebook, name).metadata.nbgrader.points for name in ids(notebook, "grade")]
    assert (len(said), sum(said), sum(points)) == (exercises, minutes, 100)


@pytest.mark.parametrize("lab", LAB_NAMES)
def test_the_source_was_run_and_every_check_passed(lab):
    code = [c for c in read_source(lab).cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    outputs = json.dumps([c.outputs for c in code])
    assert "error" not in {o["output_type"] for c in code for o in c.outputs}
    assert "stderr" not in outputs
