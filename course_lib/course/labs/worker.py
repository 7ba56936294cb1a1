"""Run the steps of one submission in a process of its own: what the grader starts for
each.

It reads one line of JSON, the steps and the limits, and writes one line for each
outcome as it comes and one for all of them at the end. What a cell does to its parent
it does to this process; the grader keeps the outcomes that were told before.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict

from course_lib.course.labs.isolate import Worker, namespaces
from course_lib.course.labs.kernel import Limits, Outcome
from course_lib.course.labs.session import run_steps
from course_lib.course.labs.submission import Step

KILLED = Outcome("died", "the process that ran the cells was ended from inside")
START_S = 180.0


async def run_apart(steps: Sequence[Step], limits: Limits) -> list[Outcome]:
    """Run `steps` as `run_steps` does, in a process of its own; one outcome a step.

    A step that the worker did not live to tell of has died, and those after it too.
    """
    question = json.dumps(
        {
            "steps": [asdict(step) for step in steps],
            "limits": asdict(limits),
            "private": bool(namespaces()),
        }
    )
    with tempfile.TemporaryDirectory(prefix="sub-", ignore_cleanup_errors=True) as tmp:
        worker = await Worker.start(["-m", "course_lib.course.labs.worker"], tmp)
        async with worker:
            lines = await worker.ask(question, limits.total_s + START_S)
    told = [_read(line) for line in lines]
    outcomes = next((one for one in told if len(one) == len(steps) > 1), None)
    if outcomes is None:
        outcomes = [outcome for one in told for outcome in one][: len(steps)]
    return outcomes + [KILLED] * (len(steps) - len(outcomes))


def _read(line: str) -> list[Outcome]:
    """The outcomes that a line tells: one, all, or none where it is not one of ours."""
    try:
        told = json.loads(line)
        return [
            Outcome(*(_text(one[field]) for field in ("status", "message", "shown")))
            for one in told
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _text(value: object) -> str:
    """`value` as text that every table and page can hold: no lone surrogates."""
    return str(value).encode(errors="replace").decode()


def main() -> int:
    """Answer the one question on stdin."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    asked = json.loads(sys.stdin.readline())

    def tell(*outcomes: Outcome) -> None:
        out.write(json.dumps([asdict(outcome) for outcome in outcomes]) + "\n")
        out.flush()

    steps = [Step(**step) for step in asked["steps"]]
    limits = Limits(**asked["limits"])
    outcomes = asyncio.run(run_steps(steps, limits, tell, asked["private"]))
    tell(*outcomes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
