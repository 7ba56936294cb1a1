"""Run a submission's cells in order, in kernels of its own, so that nothing in them can
stop the grader.

One rule covers loops that swallow interrupts, calls that never return to Python,
crashes and floods: the kernel is killed with everything it started, a fresh one replays
the cells that had run well, and only the cell that did it is charged. Cells run in a
temporary folder, with a bare environment and bounded memory.

This keeps accidents apart; `isolate` keeps the grader out of a submission's reach.
Neither is a sandbox: grade strangers' files in a container.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.course.labs.kernel import Limits, Outcome, Session
from course_lib.course.labs.submission import Step, solution_of


def _nothing(outcome: Outcome) -> None: ...


async def run_steps(
    steps: Sequence[Step],
    limits: Limits,
    on_outcome: Callable[[Outcome], None] = _nothing,
    private: bool = False,
) -> list[Outcome]:
    """Run `steps` in order under `limits` and return one outcome each, told to
    `on_outcome` as it comes. `private`: talk to the kernel through files, for there is
    no network.
    """
    deadline = time.monotonic() + limits.total_s
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as home,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as runtime,
    ):
        place = _Place(Path(home), limits, f"{runtime}/kernel", private)
        session = await place.fresh()
        try:
            for step in steps:
                asked = not _asked_for_nothing(step, steps, outcomes)
                if session is None and asked and deadline > time.monotonic():
                    session = await place.replayed(steps, outcomes, deadline)
                left = deadline - time.monotonic()
                if left <= 0:
                    late = f"the submission's {limits.total_s:.0f} s were used up"
                    outcomes.append(Outcome("late", late))
                    on_outcome(outcomes[-1])
                    continue
                if session is None or not asked:
                    outcomes.append(Outcome("skipped"))
                    on_outcome(outcomes[-1])
                    continue
                outcomes.append(
                    await session.run(step.source, _limit(step, limits, left))
                )
                on_outcome(outcomes[-1])
                if outcomes[-1].fatal:
                    await session.kill()
                    session = None
        finally:
            if session is not None:
                await session.kill()
    return outcomes


def _asked_for_nothing(
    step: Step, steps: Sequence[Step], outcomes: Sequence[Outcome]
) -> bool:
    """True for a witness of an exercise whose checks all failed: it has no points left
    to confirm.
    """
    if step.role != "witness":
        return False
    checks = [
        outcome.status
        for earlier, outcome in zip(steps, outcomes, strict=False)
        if earlier.role == "check" and solution_of(earlier.grade_id) == step.grade_id
    ]
    return bool(checks) and "ok" not in checks


def _limit(step: Step, limits: Limits, left: float) -> float:
    """Seconds for a step: what is left at most, and no less than a minute for the lab's
    own imports.
    """
    return min(
        max(limits.cell_s, 60.0) if step.role == "given" else limits.cell_s, left
    )


@dataclass
class _Place:
    """Where the kernels of one submission live, one after the other."""

    folder: Path
    limits: Limits
    runtime: str
    private: bool
    started: int = 0

    async def fresh(self) -> Session:
        """Start a kernel; on a loaded machine the first attempt may time out, so try
        twice.
        """
        session = self._session()
        try:
            await session.start()
        except RuntimeError:
            await session.kill()
            session = self._session()
            await session.start()
        return session

    def _session(self) -> Session:
        self.started += 1
        runtime = f"{self.runtime}{self.started}"
        return Session(self.folder, self.limits, runtime, self.private)

    async def replayed(
        self, steps: Sequence[Step], outcomes: list[Outcome], deadline: float
    ) -> Session:
        """Start a kernel and run again every earlier cell that defined something and
        did not kill its kernel.
        """
        while True:
            session = await self.fresh()
            for index, (step, outcome) in enumerate(zip(steps, outcomes, strict=False)):
                if step.role in ("check", "witness") or outcome.fatal:
                    continue
                left = deadline - time.monotonic()
                if left <= 0:  # the next step is late, whatever is defined
                    return session
                again = await session.run(step.source, _limit(step, self.limits, left))
                if again.fatal:
                    outcomes[index] = again
                    await session.kill()
                    break
            else:
                return session


def run_plan(
    steps: Sequence[Step],
    limits: Limits,
    on_outcome: Callable[[Outcome], None] = _nothing,
) -> list[Outcome]:
    """`run_steps` for callers without an event loop."""
    return asyncio.run(run_steps(steps, limits, on_outcome))
