"""A worker cannot take the grader with it, and leaves nothing behind, with namespaces or without."""

import asyncio
import subprocess
import sys
import time

import psutil
import pytest

from course_lib.course.labs import isolate, worker
from course_lib.course.labs.kernel import Limits, Outcome
from course_lib.course.labs.submission import Step
from course_lib.course.labs.worker import KILLED, run_apart

KILL_PARENT = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(30)"
STRAY = "import subprocess; subprocess.Popen(['sleep', '{}'], start_new_session=True)"


@pytest.fixture(params=["namespaces", "without"])
def kind(request, monkeypatch) -> str:
    """Run a test as this machine allows, and as one without namespaces would."""
    if request.param == "without":
        monkeypatch.setattr(isolate, "namespaces", tuple)
        monkeypatch.setattr(worker, "namespaces", tuple)
    return request.param


def run(*sources: str, **limits) -> list[Outcome]:
    steps = [Step(source, "solution", f"exercise-{n}") for n, source in enumerate(sources)]
    return asyncio.run(run_apart(steps, Limits(**limits)))


def test_a_cell_that_kills_the_process_above_it_costs_no_other_row(kind):
    outcomes = run("x = 1", KILL_PARENT, "y = x", cell_s=3)
    if kind == "namespaces" and isolate.namespaces():  # the signal is not delivered
        assert [o.status for o in outcomes] == ["ok", "timeout", "ok"]
    else:
        assert outcomes == [Outcome("ok"), KILLED, KILLED]


def test_what_a_submission_started_is_ended(kind):
    seconds = f"8640{len(kind)}"
    assert run(STRAY.format(seconds), "x = 1") == [Outcome("ok"), Outcome("ok")]
    left = [p for p in psutil.process_iter(["cmdline"]) if seconds in (p.info["cmdline"] or [])]
    assert left == []


def test_a_namespace_has_no_network():
    if isolate.namespaces():
        ask = "import socket; socket.create_connection(('127.0.0.1', 9), 2)"
        assert "Network is unreachable" in run(ask)[0].message
    else:  # nothing to keep, and nothing that claims it
        assert subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode != 0


def test_lines_that_are_not_ours_are_no_outcomes():
    for line in ("", "[", "[1]", "{}", '[{"status": "ok"}]', "[" * 10**5, "3"):
        assert worker._read(line) == []


def test_a_worker_that_never_answers_is_ended():
    async def ask() -> tuple[list[str], float]:
        start = time.monotonic()
        one = await isolate.Worker.start(["-c", "import time; print('now', flush=True); time.sleep(99)"])
        async with one:
            said = await one.ask("", 3)
        assert one.process.returncode is not None
        return said, time.monotonic() - start

    said, seconds = asyncio.run(ask())
    assert said == ["now"] and seconds < 30


def test_a_mark_is_found_and_only_its_own(monkeypatch):
    monkeypatch.setenv(isolate.MARK, "one")
    marked = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        deadline = time.monotonic() + 10
        while not isolate.strays("one") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [p.pid for p in isolate.strays("one")] == [marked.pid]
        assert isolate.strays("two") == []
    finally:
        marked.kill()
        marked.wait()
