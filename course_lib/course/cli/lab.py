"""`course lab start N`, `course lab check N`: a copy of a lab to work on, and its
checks without a browser.

The checks are those the student sees, taken from the lab and not from the copy; hidden
tests stay with the grader. They run as the grader runs them: in a kernel of their own,
in a temporary folder, for a bounded time.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cli.console import JSON, answer, plainly, progress, say, table

LABS = Path(__file__).resolve().parents[3] / "labs"
FOLDER = Path("my_labs")
PASSED, NOT_ATTEMPTED = "passed", "not attempted"
FAILED_CHECK = re.compile(
    r"CheckFailed: (?P<what>.*?)"
    r"\n  expected: (?P<expected>.*?)\n  got:      (?P<got>.*?)"
    r"\n  hint \((?P<hint_name>\w+)\): (?P<hint>.*)",
    re.DOTALL,
)

app = typer.Typer(
    no_args_is_help=True, help="Do a lab: `start` copies it, `check` runs its checks."
)


def lab_names() -> tuple[str, ...]:
    """Names of the student labs, sorted; none where only the library is installed."""
    return tuple(sorted(path.stem for path in LABS.glob("[0-9]*.ipynb")))


Lab = Annotated[
    str,
    typer.Argument(
        metavar="N",
        help="A lab's number or name: 3 or 03_kv_cache.",
        autocompletion=lambda: list(lab_names()),
    ),
]
Folder = Annotated[Path, typer.Option(help="Where your copies are.")]


def find_lab(text: str) -> str:
    """Return the name of the lab of that number or name.

    Raises: typer.BadParameter if there is none.
    """
    number = text.lstrip("0") or "0"
    for name in lab_names():
        if text == name or number == name.split("_")[0].lstrip("0"):
            return name
    allowed = (
        ", ".join(lab_names())
        or "none: the labs come with the course's repository, not with the library"
    )
    raise typer.BadParameter(
        f"no lab is called {text!r}; allowed: {allowed}", param_hint="N"
    )


def _words(name: str, folder: Path) -> str:
    """What to type for this lab in this folder: its number, unless another lab goes by
    that.
    """
    number = name.split("_")[0].lstrip("0")
    short = number if find_lab(number) == name else name
    return short if folder == FOLDER else f"{short} --folder {shlex.quote(str(folder))}"


def start(
    lab: Lab,
    folder: Folder = FOLDER,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a copy that is there.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Copy a lab to a folder of yours. A copy that is there stays, unless --force."""
    name = find_lab(lab)
    target = folder / f"{name}.ipynb"
    there = target.exists()
    if there and not force:
        raise ValueError(
            f"{target} is there already; --force replaces it, and "
            "what you wrote in it is lost"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes((LABS / f"{name}.ipynb").read_bytes())
    except OSError as error:
        raise ValueError(f"{target} cannot be written ({error.strerror})") from error
    answer({"lab": name, "path": str(target), "replaced": there}, as_json, show_start)


def show_start(facts: Mapping[str, Any]) -> None:
    """Say where the copy is and what to do with it."""
    say(f"{'Replaced' if facts['replaced'] else 'Copied to'} {facts['path']}")
    say(f"Write:  jupyter lab {facts['path']}")
    say(f"Check:  course lab check {_words(facts['lab'], Path(facts['path']).parent)}")


def check(
    lab: Lab,
    folder: Folder = FOLDER,
    file: Annotated[
        Path | None, typer.Option(help="A notebook elsewhere.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds a cell may take.")
    ] = 30,
    as_json: JSON = False,
) -> None:
    """Run the checks of your copy.

    Exit code 1 if one does not pass. A stretch that you left alone does not count.
    """
    name = find_lab(lab)
    path = file or folder / f"{name}.ipynb"
    if not path.is_file():
        raise ValueError(
            f"{path} is not there; make it with: course lab start "
            f"{_words(name, folder)}"
        )
    facts = check_facts(name, path, timeout)
    answer(facts, as_json, show)
    if not facts["passed"]:
        raise typer.Exit(1)


def check_facts(name: str, path: Path, timeout_s: float) -> dict[str, Any]:
    """Run every cell of the notebook in order and say how each check ended."""
    session, submission = _modules()
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel

    student = nbformat.read(LABS / f"{name}.ipynb", as_version=4)
    plan = submission.restore(student, student, submission.read_submission(path))
    with progress() as bar:
        task = bar.add_task(f"Lab {name}", total=len(plan.steps))
        limits = session.Limits(cell_s=timeout_s)
        try:
            outcomes = session.run_plan(
                plan.steps, limits, on_outcome=lambda _: bar.advance(task)
            )
        except (RuntimeError, NoSuchKernel) as error:
            raise ValueError(
                f"no Python kernel started ({error}); see: course doctor"
            ) from error
    exercises = results(plan.steps, outcomes, titles(student))
    return {
        "lab": name,
        "path": str(path),
        "passed": all(one["passed"] or one["optional"] for one in exercises),
        "points": sum(one["points"] for one in exercises),
        "maximum_points": sum(one["maximum_points"] for one in exercises),
        "exercises": exercises,
        "repairs": plan.repairs,
    }


def _modules():
    """The grader's modules, which need what the `lab` extra installs."""
    try:
        from course_lib.course.labs import session, submission
    except ImportError as error:
        raise ValueError(
            f"{error.name} is not installed; install it with: pip install -e '.[lab]'"
        ) from error
    return session, submission


def titles(student) -> dict[str, str]:
    """Headings of the tasks by exercise: `task-1` names `exercise-1`."""
    found = {}
    for cell in student.cells:
        heading = re.match(r"#+ (.+?)(?: \([^)]*\))?$", cell.source.split("\n")[0])
        if (
            cell.cell_type == "markdown"
            and heading
            and cell.get("id", "").startswith("task-")
        ):
            found[cell.id.replace("task", "exercise", 1)] = heading[1]
    return found


def results(steps, outcomes, headings: Mapping[str, str]) -> list[dict[str, Any]]:
    """One record for each check; an error of the answer's own cell stands before that
    of its check.
    """
    broken, found = {}, []
    for step, outcome in zip(steps, outcomes, strict=True):
        if step.role == "solution":
            broken[step.grade_id] = None if outcome.status == "ok" else outcome
        if step.role != "check":
            continue
        exercise = step.grade_id.replace("check", "exercise", 1)
        number, *part = step.grade_id.split("-")[1:]
        answer_cell = f"exercise-{number}"
        cause = broken.get(answer_cell) if outcome.status != "ok" else None
        title = headings.get(answer_cell, answer_cell)
        found.append(
            {
                "exercise": exercise,
                "title": ": ".join([title, *part]),
                "maximum_points": step.points,
                **_reading(cause or outcome, in_answer=cause is not None),
            }
        )
        found[-1]["points"] = step.points if found[-1]["passed"] else 0.0
        found[-1]["optional"] = not step.points and found[-1]["status"] == NOT_ATTEMPTED
    return found


def _reading(outcome, in_answer: bool) -> dict[str, Any]:
    """Status, message and the parts of a failed check's message."""
    status = {"ok": PASSED, "error": "failed"}.get(outcome.status, outcome.status)
    if outcome.status == "error" and outcome.message.startswith("NotImplementedError"):
        status = NOT_ATTEMPTED
    parts = FAILED_CHECK.fullmatch(outcome.message)
    keys = FAILED_CHECK.groupindex
    return {
        "status": status,
        "passed": status == PASSED,
        "message": ("in your cell: " if in_answer else "") + outcome.message,
        **(parts.groupdict() if parts else dict.fromkeys(keys)),
    }


def show(facts: Mapping[str, Any]) -> None:
    """Print the table of results, and under it what each failed check said."""
    marks = {PASSED: "✓", NOT_ATTEMPTED: "·"}
    rows = [
        (
            marks.get(one["status"], "✗"),
            one["title"],
            one["status"],
            f"{one['points']:g} / {one['maximum_points']:g}",
        )
        for one in facts["exercises"]
    ]
    rows.append(("", "all", "", f"{facts['points']:g} / {facts['maximum_points']:g}"))
    table(
        ("", "exercise", "result", "#points"),
        rows,
        title=f"{facts['lab']}: {facts['path']}",
    )
    for one in facts["exercises"]:
        if one["passed"] or one["status"] == NOT_ATTEMPTED:
            continue
        if one["hint"]:
            told = [
                ("what", one["what"]),
                ("expected", one["expected"]),
                ("got", one["got"]),
                ("hint", one["hint"]),
            ]
            table((one["title"], one["hint_name"]), told)
        else:
            say(f"{one['title']}: {one['message']}")
    say(
        "These are the checks you see in the lab. Grading adds hidden ones, on other "
        "shapes and seeds."
    )
    for cell, repair in facts["repairs"].items():
        say(f"Note on {cell}: {repair} for this run; your file is unchanged.")


app.command("start")(plainly(start))
app.command("check")(plainly(check))
