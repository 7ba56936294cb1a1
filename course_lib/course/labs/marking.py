"""From what the cells of a submission did to its points and reasons.

An exercise has its points if its check passes in the student's kernel and its functions
give the values of the lab's own solution to the questions put from outside (`witness`).
"""

import re
from collections.abc import Mapping, Sequence

from nbformat import NotebookNode

from course_lib.course.labs.kernel import Outcome
from course_lib.course.labs.report import Mark
from course_lib.course.labs.submission import (
    Plan,
    Step,
    exercise_of,
    lab_steps,
    solution_of,
)
from course_lib.course.labs.witness import dissent, questions_of

MAX_REASON = 400
ASK = """from course_lib.course.labs.witness import show_answers
show_answers({lab!r}, {exercise!r}, {seed}, globals())"""


def with_witnesses(steps: Sequence[Step], lab: str, seed: int) -> tuple[Step, ...]:
    """Put after the last check of each exercise the step that asks its functions."""
    last = {solution_of(s.grade_id): at for at, s in enumerate(steps) if s.points > 0}
    full: list[Step] = []
    for at, step in enumerate(steps):
        full.append(step)
        exercise = solution_of(step.grade_id) if step.points > 0 else ""
        if last.get(exercise) == at and questions_of(lab, exercise):
            full.append(witness_step(lab, exercise, seed))
    return tuple(full)


def witness_step(lab: str, exercise: str, seed: int) -> Step:
    source = ASK.format(lab=lab, exercise=exercise, seed=seed)
    return Step(source, "witness", exercise)


def mark_plan(
    plan: Plan,
    outcomes: Sequence[Outcome],
    mark: Mark,
    answers: Mapping[str, str],
    untouched: frozenset[str] = frozenset(),
) -> Mark:
    """Fill `mark` from the outcome of every step of `plan`.

    `answers` are those of the lab's own solution, by exercise; `untouched` the
    exercises in which nothing was written.
    """
    differing = {
        step.grade_id: _differing(outcome, answers[step.grade_id])
        for step, outcome in zip(plan.steps, outcomes, strict=True)
        if step.role == "witness"
    }
    mark.maximum = dict.fromkeys(
        (exercise_of(s.grade_id) for s in plan.steps if s.role == "check"), 0.0
    )
    mark.points = dict.fromkeys(mark.maximum, 0.0)
    said: dict[str, list[str]] = {}
    for step, outcome in zip(plan.steps, outcomes, strict=True):
        exercise = exercise_of(step.grade_id)
        if mark.status == "graded" and (outcome.fatal or outcome.status == "late"):
            mark.status = "timeout" if outcome.status == "late" else outcome.status
        if step.role == "check":
            mark.maximum[exercise] += step.points
            asked = differing.get(solution_of(step.grade_id), [])
            others = [name for name in asked if name in judged_by(step)]
            if outcome.status == "ok" and others:
                said.setdefault(exercise, []).append(_unconfirmed(others))
            elif outcome.status == "ok":
                mark.points[exercise] += step.points
        if outcome.status != "ok" and step.role in ("check", "solution"):
            written = solution_of(step.grade_id) not in untouched
            reason = _reason(step, outcome, written)
            if reason not in said.setdefault(exercise, []):
                said[exercise].append(reason)
    for grade_id, repair in plan.repairs.items():
        said.setdefault(exercise_of(grade_id), []).insert(0, repair)
    mark.reasons = {exercise: "; ".join(reasons) for exercise, reasons in said.items()}
    return mark


def judged_by(check: Step) -> set[str]:
    """Names of what a check judges: the part in its id, or else all names in it.

    >>> judged_by(Step("print(ring.check(RingCache))", "check", "check-3-RingCache"))
    {'RingCache'}
    """
    part = check.grade_id.split("-")[2:]
    return set(part or re.findall(r"\w+", check.source))


def _differing(outcome: Outcome, answers: str) -> list[str]:
    """Names of the functions whose values are not the solution's."""
    return dissent(outcome.shown if outcome.status == "ok" else "", answers)


def _unconfirmed(names: Sequence[str]) -> str:
    verb = "gives" if len(names) == 1 else "give"
    return (
        f"the check passes, but asked from outside {', '.join(names)} {verb} other "
        "values than the lab's solution"
    )


def _reason(step: Step, outcome: Outcome, written: bool) -> str:
    text = " | ".join(
        line.strip() for line in outcome.message.splitlines() if line.strip()
    )
    if outcome.status == "error" and text.startswith("NotImplementedError"):
        text = "a part is still to be written" if written else "not attempted"
    where = "" if step.role == "check" else "in the solution cell: "
    return where + (text if len(text) <= MAX_REASON else text[: MAX_REASON - 3] + "...")


def untouched(plan: Plan, student: NotebookNode) -> frozenset[str]:
    """Exercises of which every version is the stub that was handed out."""
    stubs = {s.grade_id: s.source.strip() for s, _ in lab_steps(student)}
    written = {
        step.grade_id
        for step in plan.steps
        if step.role == "solution" and step.source.strip() != stubs[step.grade_id]
    }
    return frozenset(stubs.keys() - written)
