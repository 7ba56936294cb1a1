"""Grade a folder of submissions: `python -m course_lib.course.labs.grade SUBMISSIONS
--out grades.csv`.

Every notebook below the folder, in archives too, becomes one row: its status, the
points of each exercise, and for each exercise that lost points the reason, which is the
message of the check that failed with its hint.

    status      meaning
    graded      every check ran to its end
    timeout     a cell ran past --cell-timeout, or the submission past --timeout;
                the rest was still graded
    died        a cell killed its kernel or the process above it; what could still be
                graded was
    flood       a cell printed more than the limit; the rest was still graded
    unreadable  the file is not a notebook, or not one of a lab
    not read    the file is no notebook by its name
    error       the grader failed on this file

All files are read before the first kernel starts. A submission runs in a worker of its
own (`isolate`), and an exercise has its points if its check passes there and its
functions give the values of the lab's own solution to questions put from outside
(`witness`). (nbgrader also fails a cell that writes to stderr, so a warning costs all
points there; here it costs none.) Table and page are rewritten after every submission.
"""

import argparse
import asyncio
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from course_lib.course.labs.collect import Found, collect
from course_lib.course.labs.generate import lab_names, read_source, student_version
from course_lib.course.labs.kernel import Limits
from course_lib.course.labs.marking import (
    MAX_REASON,
    mark_plan,
    untouched,
    with_witnesses,
)
from course_lib.course.labs.report import (
    Mark,
    write_feedback,
    write_page,
    write_table,
)
from course_lib.course.labs.submission import (
    Plan,
    Unreadable,
    exercise_of,
    lab_of,
    lab_steps,
    restore,
)
from course_lib.course.labs.worker import run_apart


@dataclass(frozen=True)
class Lab:
    """A lab: its source, its student version, and what its own solution answers to the
    witnesses, by exercise.
    """

    name: str
    source: NotebookNode
    student: NotebookNode
    answers: dict[str, str] = field(default_factory=dict)


async def own_answers(lab: Lab, seed: int, limits: Limits) -> dict[str, str]:
    """Ask the lab's own solution, in a worker as a submission's.

    Raises: RuntimeError if it does not run, for then nothing can be graded.
    """
    steps = [s for s, _ in lab_steps(lab.source)]
    # Each witness where a submission has it: a later cell may use a name again.
    full = with_witnesses(steps, lab.name, seed)
    plan = [step for step in full if step.role != "check"]
    outcomes = await run_apart(plan, limits)
    for step, outcome in zip(plan, outcomes, strict=True):
        if outcome.status != "ok" and step.role != "given":
            raise RuntimeError(
                f"the solution of {lab.name} does not run on this machine: "
                f"{step.grade_id}, {outcome.status}, {outcome.message[:MAX_REASON]}"
            )
    return {s.grade_id: o.shown for s, o in zip(plan, outcomes, strict=True) if o.shown}


class Grader:
    """One run over one collection of submissions."""

    def __init__(self, lab: str | None, limits: Limits, seed: int) -> None:
        self.lab, self.limits, self.seed = lab, limits, seed
        self.labs: dict[str, Lab] = {}
        for name in lab_names():
            source = read_source(name)
            self.labs[name] = Lab(name, source, student_version(source))

    def read(self, found: Found) -> tuple[Mark, Plan | None]:
        """Say which lab a file belongs to and what of it is to run."""
        mark = Mark(found.name, self.lab or "")
        if found.notebook is None:
            mark.status, mark.reasons = found.kind, {"file": found.reason}
            return mark, None
        try:
            students = {name: lab.student for name, lab in self.labs.items()}
            mark.lab = self.lab or lab_of(found.notebook, students, found.name)
            lab = self.labs[mark.lab]
            for step, _ in lab_steps(lab.source):
                if step.role == "check":
                    exercise = exercise_of(step.grade_id)
                    mark.points[exercise] = 0.0
                    mark.maximum[exercise] = (
                        mark.maximum.get(exercise, 0.0) + step.points
                    )
            plan = restore(lab.source, lab.student, found.notebook)
        except Unreadable as error:
            mark.status, mark.reasons = "unreadable", {"file": str(error)}
            return mark, None
        return mark, plan

    async def ask_solutions(self, names: set[str]) -> None:
        """Fill in the answers of the solutions of the labs named."""
        for name in sorted(names):
            answers = await own_answers(self.labs[name], self.seed, self.limits)
            self.labs[name].answers.update(answers)

    async def grade(self, mark: Mark, plan: Plan) -> Mark:
        """Run one submission; whatever goes wrong with it ends up in its mark."""
        start, lab = time.monotonic(), self.labs[mark.lab]
        full = Plan(with_witnesses(plan.steps, mark.lab, self.seed), plan.repairs)
        try:
            outcomes = await run_apart(full.steps, self.limits)
            mark_plan(full, outcomes, mark, lab.answers, untouched(plan, lab.student))
        except Exception as error:  # one file must not stop the rest; its row says why
            mark.status = "error"
            mark.reasons = {"grader": f"{type(error).__name__}: {error}"[:MAX_REASON]}
        mark.seconds = time.monotonic() - start
        return mark


async def grade_all(
    submissions: Path, out: Path, grader: Grader, jobs: int, feedback: Path | None
) -> list[Mark]:
    """Grade every notebook of `submissions`, `jobs` at a time, and keep `out` and the
    page beside it up to date.
    """
    read = [grader.read(found) for found in collect(submissions)]
    await grader.ask_solutions({mark.lab for mark, plan in read if plan})
    marks: list[Mark] = []
    gate = asyncio.Semaphore(jobs)

    def keep(mark: Mark) -> None:
        marks.append(mark)
        write_table(marks, out)
        write_page(marks, out.with_suffix(".html"))
        try:
            if feedback:
                write_feedback(mark, feedback)
        except OSError as error:  # one name must not stop the rest
            sys.stderr.write(f"no page for {mark.submission!r}: {error.strerror}\n")
        sys.stderr.write(
            f"[{len(marks)}/{len(read)}] {mark.submission}: {mark.status}, "
            f"{mark.total:g} points\n"
        )

    async def one(mark: Mark, plan: Plan) -> None:
        async with gate:
            keep(await grader.grade(mark, plan))

    write_table(marks, out)
    for mark, plan in read:
        if plan is None:
            keep(mark)
    await asyncio.gather(*(one(mark, plan) for mark, plan in read if plan))
    return marks


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when every file was dealt with, 1 when the grader
    failed on one, 2 when nothing could be graded.
    """
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.course.labs.grade",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument(
        "submissions", type=Path, help="folder (or zip) searched for .ipynb files"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("grades.csv"),
        help="the table to write; the page goes beside it, as .html",
    )
    parser.add_argument(
        "--feedback", type=Path, help="folder for one page a submission"
    )
    parser.add_argument(
        "--lab", choices=lab_names(), help="the lab, when the cells do not tell"
    )
    parser.add_argument(
        "--timeout", type=float, default=300, help="seconds a submission (300)"
    )
    parser.add_argument(
        "--cell-timeout", type=float, default=30, help="seconds a cell (30)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="submissions at a time (2)")
    parser.add_argument(
        "--seed", type=int, help="of the questions put from outside (drawn)"
    )
    options = parser.parse_args(arguments)
    if min(options.timeout, options.cell_timeout, options.jobs) <= 0:
        parser.error("--timeout, --cell-timeout and --jobs must be positive")
    limits = Limits(cell_s=options.cell_timeout, total_s=options.timeout)
    seed = secrets.randbits(31) if options.seed is None else options.seed
    job = grade_all(
        options.submissions,
        options.out,
        Grader(options.lab, limits, seed),
        options.jobs,
        options.feedback,
    )
    try:
        marks = asyncio.run(job)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 1 if any(mark.status == "error" for mark in marks) else 0


if __name__ == "__main__":
    sys.exit(main())
