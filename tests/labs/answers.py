"""Build answers to a lab from its source: the solution, the stub, and the named wrong answers."""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from nbformat import NotebookNode

from course_lib.course.labs.generate import LABS, lab_names, read_source, student_version
from course_lib.course.labs.submission import solution_of


@dataclass(frozen=True)
class WrongAnswer:
    """A solution with one known mistake, and the hint that the check must name."""

    lab: str
    exercise: str
    name: str
    hint: str
    code: str

    def __str__(self) -> str:
        return f"{self.lab}-{self.exercise}-{self.name}"


def cell(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    """Return the cell with this nbgrader id."""
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def ids(notebook: NotebookNode, kind: str) -> list[str]:
    """Return the ids of the cells whose nbgrader metadata has `kind` ("grade", "solution", "locked")."""
    meta = [c.metadata.get("nbgrader", {}) for c in notebook.cells]
    return [m["grade_id"] for m in meta if m.get(kind) and not (kind == "locked" and m["grade"])]


def solved(lab: str) -> NotebookNode:
    """Return the student version with every solution filled in."""
    source = read_source(lab)
    notebook = student_version(source)
    for grade_id in ids(source, "solution"):
        cell(notebook, grade_id).source = cell(source, grade_id).source
    return notebook


def checks(notebook: NotebookNode, exercise: str) -> list[str]:
    """Return the ids of the checks of an exercise, in order: one a function where it has several."""
    return [name for name in ids(notebook, "grade") if solution_of(name) == exercise]


def wrong_answers() -> Iterator[WrongAnswer]:
    """Yield every wrong answer of `labs/wrong`, as the code of its solution cell."""
    for lab in lab_names():
        source = read_source(lab)
        for path in sorted((LABS / "wrong" / lab).glob("*.yml")):
            code = cell(source, path.stem).source
            for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
                yield WrongAnswer(lab, path.stem, name, entry["hint"], _changed(code, entry, name))


def wrong_answer(lab: str, exercise: str, name: str) -> WrongAnswer:
    """Return the wrong answer of that name."""
    return next(w for w in wrong_answers() if (w.lab, w.exercise, w.name) == (lab, exercise, name))


def _changed(code: str, entry: dict, name: str) -> str:
    """The solution with the entry's change, or the entry's own code."""
    if "code" in entry:
        return entry["code"]
    olds, news = ([x] if isinstance(x, str) else x for x in (entry["replace"], entry["by"]))
    for old, new in zip(olds, news, strict=True):
        if code.count(old) != 1:
            raise ValueError(f"{name}: the text to replace occurs {code.count(old)} times, not once: {old!r}")
        code = code.replace(old, new)
    return code
