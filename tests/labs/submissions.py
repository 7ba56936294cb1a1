"""A folder of submissions to Lab 3 with everything in it that goes wrong in a class."""

import copy
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_lib.course.labs.generate import read_source, student_version
from tests.labs.answers import cell, solved, wrong_answer

LAB = "03_kv_cache"
STUBBORN_LOOP = """
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""


def patch(grade_id: str, code: str) -> Callable[[NotebookNode], None]:
    """Replace the code of one cell."""
    return lambda notebook: cell(notebook, grade_id).update(source=code)


def more(grade_id: str, code: str) -> Callable[[NotebookNode], None]:
    """Add code at the end of one cell."""

    def change(notebook: NotebookNode) -> None:
        cell(notebook, grade_id).source += "\n" + code

    return change


def delete(*grade_ids: str) -> Callable[[NotebookNode], None]:
    """Remove cells."""

    def change(notebook: NotebookNode) -> None:
        doomed = [cell(notebook, grade_id) for grade_id in grade_ids]
        notebook.cells = [c for c in notebook.cells if not any(c is d for d in doomed)]

    return change


def duplicate_after_stub(notebook: NotebookNode) -> None:
    """Leave the stub of exercise 2 in place and solve it in a copy at the end; copy check 2 to the top."""
    copied, check = copy.deepcopy(cell(notebook, "exercise-2")), copy.deepcopy(cell(notebook, "check-2"))
    copied.id, check.id = "copy-1", "copy-2"  # as Jupyter names copies
    notebook.cells.insert(0, check)
    cell(notebook, "exercise-2").source = cell(student_version(read_source(LAB)), "exercise-2").source
    notebook.cells.append(copied)


def reverse(notebook: NotebookNode) -> None:
    """Turn the notebook upside down."""
    notebook.cells.reverse()


def own_cells(notebook: NotebookNode) -> None:
    """Add cells without metadata: one fails, one warns, one asks for input."""
    notebook.cells.insert(1, new_code_cell("1 / 0"))
    notebook.cells.insert(9, new_code_cell("import sys; print('a warning', file=sys.stderr)"))
    notebook.cells.append(new_code_cell("input('name? ')"))


def wrong_scale(notebook: NotebookNode) -> None:
    """Answer exercise 1 with the named wrong answer `missing_scale`."""
    wrong = wrong_answer(LAB, "exercise-1", "missing_scale")
    cell(notebook, "exercise-1").source = wrong.code


def cheat(notebook: NotebookNode) -> None:
    """Leave exercise 1 undone and rewrite its check and its points."""
    cell(notebook, "exercise-1").source = cell(student_version(read_source(LAB)), "exercise-1").source
    cell(notebook, "check-1-append").update(source="print('passed')")
    cell(notebook, "check-1-append").metadata.nbgrader["points"] = 1000


CHANGES: dict[str, Callable[[NotebookNode], None]] = {
    "correct": lambda notebook: None,
    "wrong": wrong_scale,
    "endless_loop": patch("exercise-2", "def grouped_attention(q, k, v, mask):" + STUBBORN_LOOP),
    "loop_at_once": patch("exercise-5", "while True: pass"),
    "deleted_check": delete("check-4-append", "setup"),
    "deleted_answer": delete("exercise-3"),
    "duplicated": duplicate_after_stub,
    "upside_down": reverse,
    "edited_check": cheat,
    "own_cells": own_cells,
    "syntax_error": patch("exercise-6", "def max_concurrency(:"),
    "kernel_death": patch("exercise-2", "import os\ndef grouped_attention(*inputs): os._exit(0)"),
    "exit": more("exercise-1", "exit()"),
    "flood": patch("exercise-2", "def grouped_attention(*inputs):\n    while True: print('x' * 500)"),
    "warns": more("exercise-2", "import warnings\n_f = grouped_attention\n"
                  "def grouped_attention(*inputs):\n    warnings.warn('slow')\n    return _f(*inputs)"),
}  # fmt: skip


def write_folder(folder: Path) -> None:
    """Write every kind of submission below `folder`, in the layouts that come back from classes."""
    for name, change in CHANGES.items():
        notebook = solved(LAB)
        change(notebook)
        target = folder / name / f"{LAB}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(notebook, target)
    (folder / "stub" / LAB).mkdir(parents=True)
    nbformat.write(student_version(read_source(LAB)), folder / "stub" / LAB / "my answers.ipynb")
    (folder / "=broken.ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "empty.ipynb").write_bytes(b"")
    (folder / "list.ipynb").write_text("[1, 2]", encoding="utf-8")
    (folder / "binary.ipynb").write_bytes(bytes(range(256)))
    (folder / "deep.ipynb").write_text("[" * 100_000, encoding="utf-8")
    stripped = solved(LAB)
    for c in stripped.cells:
        c.metadata.pop("nbgrader", None)
    nbformat.write(stripped, folder / "only_cell_ids.ipynb")
    for number, c in enumerate(stripped.cells):
        c.id = f"cell-{number}"
    nbformat.write(stripped, folder / "stripped.ipynb")
    (folder / "bom.ipynb").write_text(nbformat.writes(solved(LAB)), encoding="utf-8-sig")
    (folder / "correct" / ".ipynb_checkpoints").mkdir()
    (folder / "correct" / ".ipynb_checkpoints" / "old.ipynb").write_text("not a submission", encoding="utf-8")
