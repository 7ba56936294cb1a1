"""Make a student version of a lab from its source notebook.

A source notebook in `labs/source` holds the solutions and the hidden tests, marked as
nbgrader marks them:

    ### BEGIN SOLUTION ... ### END SOLUTION            in a cell marked solution=true
    ### BEGIN HIDDEN TESTS ... ### END HIDDEN TESTS    in a cell marked grade=true

The student version is what nbgrader's own `generate_assignment` would release: the same
preprocessors in the same order, without its database. It is committed, and a test
compares it with a fresh one.
"""

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)

LABS = Path(__file__).parents[3] / "labs"
STEPS = (
    LockCells,
    ClearSolutions,
    ClearOutput,
    CheckCellMetadata,
    ClearHiddenTests,
    ComputeChecksums,
    CheckCellMetadata,
)


def student_version(source: NotebookNode) -> NotebookNode:
    """Return a copy of `source` without solutions, hidden tests and outputs, its check
    cells locked.

    Raises: nbgrader's own errors when a marker is not closed or stands in a cell of the
        wrong kind.
    """
    notebook, resources = copy.deepcopy(source), {}
    for step in STEPS:
        notebook, resources = step().preprocess(notebook, resources)
    return notebook


def lab_names(labs: Path = LABS) -> tuple[str, ...]:
    """Return the names of all labs that have a source notebook, sorted."""
    return tuple(sorted(path.stem for path in (labs / "source").glob("*.ipynb")))


def read_source(name: str, labs: Path = LABS) -> NotebookNode:
    """Read the source notebook of lab `name`.

    Raises: ValueError if there is no such lab.
    """
    if name not in lab_names(labs):
        raise ValueError(f"lab name {name!r}: allowed are {', '.join(lab_names(labs))}")
    return nbformat.read(labs / "source" / f"{name}.ipynb", as_version=4)


def student_text(name: str, labs: Path = LABS) -> str:
    """Return the student version of lab `name` as the text of its file."""
    return nbformat.writes(student_version(read_source(name, labs))) + "\n"
