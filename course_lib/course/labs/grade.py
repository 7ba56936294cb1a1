"""Grade a folder of submissions: `python -m course_lib.course.labs.grade SUBMISSIONS
--out grades.csv`.

Every notebook below the folder becomes one row: its status, the points of each
exercise, and for each exercise that lost points the reason, which is the message of the
check that failed with its hint.

    status      meaning
    graded      every check ran to its end
    timeout     a cell ran past --cell-timeout, or the submission past --timeout;
                the rest was still graded
    died        a cell killed its kernel; the rest was still graded
    flood       a cell printed more than the limit; the rest was still graded
    unreadable  the file is not a notebook, or not one of this lab
    error       the grader failed on this file

A check passes when its cell ends without an error. (nbgrader also fails a cell that
writes to stderr, so a warning costs all points there; here it costs none.) The table is
rewritten after every submission.
"""

import argparse
import asyncio
import csv
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from course_lib.course.labs.generate import lab_names, read_source, student_version
from course_lib.course.labs.session import Limits, Outcome, run_steps
from course_lib.course.labs.submission import (
    Plan,
    Step,
    Unreadable,
    exercise_of,
    lab_steps,
    read_submission,
    restore,
)

MAX_REASON = 400


@dataclass
class Mark:
    """One row of the table: points and the reason for each exercise, by its name."""

    submission: str
    lab: str
    status: str = "graded"
    points: dict[str, float] = field(default_factory=dict)
    maximum: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> float:
        """Points over all exercises."""
        return sum(self.points.values())


def mark_plan(plan: Plan, outcomes: list[Outcome], mark: Mark) -> Mark:
    """Fill `mark` from the outcome of every step of `plan`."""
    said: dict[str, list[str]] = {}
    for step, outcome in zip(plan.steps, outcomes, strict=True):
        exercise = exercise_of(step.grade_id) if step.role == "check" else step.grade_id
        if mark.status == "graded" and (outcome.fatal or outcome.status == "late"):
            mark.status = "timeout" if outcome.status == "late" else outcome.status
        if step.role == "check":
            mark.maximum[exercise] = step.points
            mark.points[exercise] = step.points if outcome.status == "ok" else 0.0
        if outcome.status != "ok" and step.role in ("check", "solution"):
            said.setdefault(exercise, []).append(_reason(step, outcome))
    for grade_id, repair in plan.repairs.items():
        said.setdefault(exercise_of(grade_id), []).insert(0, repair)
    mark.reasons = {exercise: "; ".join(reasons) for exercise, reasons in said.items()}
    return mark


def _reason(step: Step, outcome: Outcome) -> str:
    text = " | ".join(
        line.strip() for line in outcome.message.splitlines() if line.strip()
    )
    if outcome.status == "error" and text.startswith("NotImplementedError"):
        text = "not attempted"
    where = "" if step.role == "check" else "in the solution cell: "
    return where + (text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "...")


def lab_of(path: Path, lab: str | None) -> str:
    """Name the lab that a file belongs to: the one asked for, or else the one in its
    file or folder name.

    Raises: Unreadable if neither names a lab and there is more than one.
    """
    names = lab_names()
    candidates = (
        [lab]
        if lab
        else [
            path.stem,
            *(parent.name for parent in path.parents),
            *names[: len(names) == 1],
        ]
    )
    for candidate in candidates:
        if candidate in names:
            return candidate
    raise Unreadable("neither the file nor its folder is named after a lab; use --lab")


async def grade_file(path: Path, name: str, lab: str | None, limits: Limits) -> Mark:
    """Grade one file; whatever is wrong with it ends up in its mark."""
    mark, start = Mark(name, lab or ""), time.monotonic()
    try:
        mark.lab = lab_of(path, lab)
        source, student = _lab(mark.lab)
        mark.maximum = {
            exercise_of(s.grade_id): s.points
            for s, _ in lab_steps(source)
            if s.role == "check"
        }
        mark.points = dict.fromkeys(mark.maximum, 0.0)
        plan = restore(source, student, read_submission(path))
        mark_plan(plan, await run_steps(plan.steps, limits), mark)
    except Unreadable as error:
        mark.status, mark.reasons = "unreadable", {"file": str(error)}
    except (
        Exception
    ) as error:  # one file must not stop the rest; the row says what happened
        mark.status, mark.reasons = (
            "error",
            {"grader": f"{type(error).__name__}: {error}"[:MAX_REASON]},
        )
    mark.seconds = time.monotonic() - start
    return mark


@cache
def _lab(name: str) -> tuple[NotebookNode, NotebookNode]:
    """The source of a lab, and its student version."""
    source = read_source(name)
    return source, student_version(source)


def write_table(marks: list[Mark], out: Path) -> None:
    """Write the marks as CSV, sorted by submission; columns are the exercises of all
    labs met.
    """
    exercises = sorted({exercise for mark in marks for exercise in mark.maximum})
    columns = [
        "submission",
        "lab",
        "status",
        "total",
        "max",
        *exercises,
        "seconds",
        "reasons",
    ]
    with out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for mark in sorted(marks, key=lambda mark: mark.submission):
            points = [
                f"{mark.points[name]:g}" if name in mark.points else ""
                for name in exercises
            ]
            reasons = "; ".join(
                f"{name}: {text}" for name, text in sorted(mark.reasons.items())
            )
            sums = [f"{mark.total:g}", f"{sum(mark.maximum.values()):g}"]
            row = [
                mark.submission,
                mark.lab,
                mark.status,
                *sums,
                *points,
                f"{mark.seconds:.1f}",
                reasons,
            ]
            table.writerow([_plain(value) for value in row])


def _plain(value: str) -> str:
    """Keep a spreadsheet from reading a student's text as a formula."""
    text = "".join(c if c.isprintable() else " " for c in value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


async def grade_folder(
    folder: Path, out: Path, lab: str | None, limits: Limits, jobs: int
) -> list[Mark]:
    """Grade every notebook below `folder`, `jobs` at a time, and keep `out` up to
    date.
    """
    paths = sorted(
        p
        for p in folder.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in p.parts and p.is_file()
    )
    marks: list[Mark] = []
    gate = asyncio.Semaphore(jobs)

    async def one(path: Path) -> None:
        async with gate:
            marks.append(
                await grade_file(path, path.relative_to(folder).as_posix(), lab, limits)
            )
        write_table(marks, out)
        mark = marks[-1]
        sys.stderr.write(
            f"[{len(marks)}/{len(paths)}] {mark.submission}: {mark.status}, "
            f"{mark.total:g} points\n"
        )

    write_table(marks, out)
    await asyncio.gather(*(one(path) for path in paths))
    return marks


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when every file was dealt with, 1 when the grader
    failed on one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.course.labs.grade",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument(
        "submissions", type=Path, help="folder searched for .ipynb files"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("grades.csv"), help="the table to write"
    )
    parser.add_argument(
        "--lab",
        choices=lab_names(),
        help="the lab, when file and folder names do not say",
    )
    parser.add_argument(
        "--timeout", type=float, default=300, help="seconds a submission (300)"
    )
    parser.add_argument(
        "--cell-timeout", type=float, default=30, help="seconds a cell (30)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="submissions at a time (2)")
    options = parser.parse_args(arguments)
    if not options.submissions.is_dir():
        parser.error(f"{options.submissions} is not a folder")
    if min(options.timeout, options.cell_timeout, options.jobs) <= 0:
        parser.error("--timeout, --cell-timeout and --jobs must be positive")
    limits = Limits(cell_s=options.cell_timeout, total_s=options.timeout)
    job = grade_folder(
        options.submissions, options.out, options.lab, limits, options.jobs
    )
    marks = asyncio.run(job)
    return 1 if any(mark.status == "error" for mark in marks) else 0


if __name__ == "__main__":
    sys.exit(main())
