"""Read a submission and put it back in order before it is graded.

A student's notebook comes back with cells deleted, copied, moved or edited. `restore`
builds the list of code cells to run, in the order of the lab's source:

    given and check cells    always from the source, hidden tests included, wherever
                             the student put theirs
    solution cells           every version the student left, in their order, so that
                             the last one counts
    the student's own cells  after the lab cell that they followed

Symbols: a *lab cell* is one with an nbgrader id; the source gives each a role: given,
    solution or check.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MAX_FILE_BYTES = 50 * 2**20
TOO_LARGE = f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB"
TOO_LARGE += ": clear its outputs and save it again"


class Unreadable(ValueError):
    """The file cannot be read as a notebook."""


@dataclass(frozen=True)
class Step:
    """One code cell to run: its text, its role (given, solution, check, witness, own),
    its lab id and its points.
    """

    source: str
    role: str
    grade_id: str = ""
    points: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The steps to run, and by lab id what had to be repaired."""

    steps: tuple[Step, ...]
    repairs: dict[str, str] = field(default_factory=dict)


def read_submission(path: Path) -> NotebookNode:
    """Read a notebook file of any readable version.

    Raises: Unreadable, with a reason for the table, if the file is too large, not JSON,
    not a notebook, or cannot be opened.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Unreadable(TOO_LARGE)
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"the file cannot be opened ({error.strerror})") from None
    return read_notebook(data)


def read_notebook(data: bytes) -> NotebookNode:
    """Read the content of a notebook file, its outputs left out.

    Raises: Unreadable, as `read_submission` does.
    """
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(TOO_LARGE)
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text)
        if not isinstance(content, dict) or "nbformat" not in content:
            raise Unreadable("the file is JSON but not a notebook")
        with warnings.catch_warnings(action="ignore"):  # of ids that it repairs
            notebook = nbformat.reads(text, as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.encode(errors="replace").decode()
            cell.source.strip(), cell.cell_type
            cell.setdefault("metadata", NotebookNode())
            cell.pop("outputs", None)
        return notebook
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("the file is nested too deeply") from None
    # Whatever a broken file provokes is this file's reason, not the run's end.
    except Exception as error:
        raise Unreadable(
            f"the file is not a notebook ({type(error).__name__}: {str(error)[:120]})"
        ) from None


def lab_of(
    notebook: NotebookNode, students: Mapping[str, NotebookNode], name: str = ""
) -> str:
    """Name the lab that a notebook belongs to: the one of `students` (student versions
    by name) with which it shares most cells, or else the one that its file name holds.

    Raises: Unreadable if neither tells.
    """
    own = {cell.source.strip() for cell in notebook.cells}
    shared = {
        lab: len(own & {cell.source.strip() for cell in student.cells})
        for lab, student in students.items()
    }
    most = max(shared.values(), default=0)
    best = [lab for lab, count in shared.items() if count == most > 0]
    if len(best) != 1:
        best = [lab for lab in students if lab in name] or list(students)
    if len(best) != 1:
        raise Unreadable("neither its cells nor its name tell which lab it is")
    return best[0]


def lab_steps(source: NotebookNode) -> Iterator[tuple[Step, NotebookNode]]:
    """Yield the lab's own code cells as steps, in order."""
    for cell in source.cells:
        if cell.cell_type == "code" and "nbgrader" in cell.metadata:
            meta = cell.metadata.nbgrader
            role = (
                "check"
                if meta.get("grade")
                else "solution"
                if meta.get("solution")
                else "given"
            )
            yield (
                Step(
                    cell.source, role, meta.grade_id, float(meta.get("points", 0) or 0)
                ),
                cell,
            )


def exercise_of(check_id: str) -> str:
    """Return the name under which a check gives points: `check-3` marks `exercise-3`,
    `check-3-visible` the part `exercise-3-visible` of it.
    """
    return check_id.replace("check", "exercise", 1)


def solution_of(check_id: str) -> str:
    """Return the id of the solution cell that a check judges.

    >>> solution_of("check-3-visible"), solution_of("check-stretch")
    ('exercise-3', 'exercise-stretch')
    """
    return "exercise-" + check_id.split("-")[1]


def restore(
    source: NotebookNode, student: NotebookNode, submission: NotebookNode
) -> Plan:
    """Return the plan for `submission`: `source` is the lab, `student` its student
    version.

    Raises: Unreadable if no cell of the lab is left in the submission.
    """
    known = {step.grade_id for step, _ in lab_steps(source)}
    buckets = _buckets(known, submission)
    if not any(_lab_id(cell) in known for cell in submission.cells):
        raise Unreadable(
            "no cell of this lab is in the file: was its metadata stripped?"
        )
    released = {step.grade_id: step.source for step, _ in lab_steps(student)}
    steps, repairs = [Step(cell.source, "own") for cell in buckets.pop("")], {}
    for step, _ in lab_steps(source):
        cells = buckets[step.grade_id]
        versions = [cell for cell in cells if _lab_id(cell) == step.grade_id]
        code = [cell for cell in versions if cell.cell_type == "code"]
        if problem := _problem(
            step, [cell.source for cell in code], released[step.grade_id]
        ):
            repairs[step.grade_id] = problem
        if step.role != "solution":
            steps.append(step)
        elif not code:
            steps.append(Step(released[step.grade_id], "solution", step.grade_id))
        for cell in cells:
            mine = cell in versions
            if cell.cell_type == "code" and not (mine and step.role != "solution"):
                steps.append(
                    Step(
                        cell.source,
                        "solution" if mine else "own",
                        step.grade_id if mine else "",
                    )
                )
    return Plan(tuple(steps), repairs)


def _lab_id(cell: NotebookNode) -> str:
    """The cell's nbgrader id, or, where a tool has stripped that, its cell id: in a lab
    they are the same.
    """
    meta = cell.metadata.get("nbgrader")
    return str((isinstance(meta, dict) and meta.get("grade_id")) or cell.get("id", ""))


def _buckets(
    known: set[str], submission: NotebookNode
) -> dict[str, list[NotebookNode]]:
    """Sort the submission's cells by the lab cell that they are, or else follow; "" is
    before the first.
    """
    buckets: dict[str, list[NotebookNode]] = {"": []} | {key: [] for key in known}
    here = ""
    for cell in submission.cells:
        here = _lab_id(cell) if _lab_id(cell) in known else here
        if cell.cell_type == "code" or _lab_id(cell) == here:
            buckets[here].append(cell)
    return buckets


def _problem(step: Step, versions: list[str], released: str) -> str:
    """Say what is wrong with the submission's versions of one lab cell, or nothing."""
    name = f"the {step.role} cell"
    if not versions:
        return f"{name} was missing" + ("" if step.role == "solution" else "; restored")
    if len(versions) > 1:
        return f"{name} appeared {len(versions)} times" + (
            "; the last one counts" if step.role == "solution" else "; restored"
        )
    if step.role != "solution" and versions[0].strip() != released.strip():
        return f"{name} had been edited; restored"
    return ""
