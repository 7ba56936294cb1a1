"""A folder of submissions to Lab 3 with everything in it that goes wrong in a class."""

import copy
import io
import zipfile
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


def patched_check(notebook: NotebookNode) -> None:
    """Answer exercise 1 wrongly, and have no check fail any more."""
    wrong_scale(notebook)
    silence = "from course_lib.course.labs.checking import Checker\nChecker.fail = lambda *said, **more: None"
    notebook.cells.insert(2, new_code_cell(silence))


def patched_shell(notebook: NotebookNode) -> None:
    """Answer exercise 1 wrongly, and have every cell end well."""
    wrong_scale(notebook)
    quiet = (
        "get_ipython().run_line_magic('pip', '') if 0 else None\nimport IPython.core.interactiveshell as s\n"
    )
    quiet += "s.ExecutionResult.success = property(lambda self: True)\n"
    quiet += "s.ExecutionResult.error_in_exec = property(lambda self: None, lambda self, error: None)"
    notebook.cells.insert(2, new_code_cell(quiet))


EQUAL_TO_ALL = """
class Anything(int):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__

def cache_bytes(config, *, batch, tokens, bytes_per_element=2):
    return Anything(7)

def as_gib(number):
    return number / 2**30
"""
STRAY = "import subprocess; subprocess.Popen(['sleep', '86397'], start_new_session=True)"

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
    "patched_check": patched_check,
    "patched_shell": patched_shell,
    "equal_to_all": patch("exercise-5", EQUAL_TO_ALL),
    "one_stub": more("exercise-6", "def decode_step_time(*given, **more):\n    raise NotImplementedError"),
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
    write_unreadable(folder)
    right = nbformat.writes(solved(LAB))
    late = folder / "lovelaceada_LATE_1234_56789_notebook-Copy1 (1).IPYNB"
    late.write_text(right, encoding="utf-8-sig")
    (folder / "class.zip").write_bytes(
        archive({"hopper/lab.ipynb": right, "__MACOSX/lab.ipynb": "", "cv.pdf": ""})
    )
    destroyer = solved(LAB)
    cell(destroyer, "exercise-1").source += "\n" + STRAY
    destroy = f"for path in __import__('pathlib').Path({str(folder)!r}).rglob('zz*'): path.write_text('')"
    destroyer.cells.insert(1, new_code_cell(destroy))
    nbformat.write(destroyer, folder / "aa_destroyer.ipynb")
    (folder / "zz_destroyed.ipynb").write_text(right, encoding="utf-8")
    (folder / "correct" / ".ipynb_checkpoints").mkdir()
    (folder / "correct" / ".ipynb_checkpoints" / "old.ipynb").write_text("not a submission", encoding="utf-8")


def write_unreadable(folder: Path) -> None:
    """Write what no grader can grade."""
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
    (folder / "essay.pdf").write_bytes(b"%PDF")
    (folder / "gone.ipynb").symlink_to(folder / "nowhere.ipynb")
    (folder / "outside.ipynb").symlink_to(Path(__file__).parents[2] / "labs" / "source" / f"{LAB}.ipynb")


def archive(files: dict[str, str | bytes]) -> bytes:
    """Return a zip file of `files`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return held.getvalue()
