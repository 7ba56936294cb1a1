"""A session keeps to its limits: time, memory, output, environment, and what it leaves behind."""

import asyncio
import os
import sys
import time

import pytest

from course_lib.course.labs.kernel import Limits, Outcome
from course_lib.course.labs.session import run_steps
from course_lib.course.labs.submission import Step
from course_lib.course.labs.worker import _read


def run(*sources: str, **limits) -> list[Outcome]:
    """Run cells in a fresh session; a source that begins with `check` is a check cell."""
    steps = [Step(source, "check" if source.startswith("check") else "solution") for source in sources]
    return asyncio.run(run_steps(steps, Limits(**limits)))


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_after_a_death_the_rest_runs_with_what_was_defined():
    outcomes = run("x = 1", "import os; os._exit(3)", "y = x + 1", "check = y", "check = 1 / 0")
    assert statuses(outcomes) == ["ok", "died", "ok", "ok", "error"]
    assert outcomes[-1].message == "ZeroDivisionError: division by zero"


def test_a_loop_that_never_returns_to_python_is_stopped():
    outcomes = run("x = 1", "sum(range(10**18))", "check = x", cell_s=2)
    assert statuses(outcomes) == ["ok", "timeout", "ok"]


def test_the_time_of_a_submission_is_bounded():
    start = time.monotonic()
    outcomes = run("import time", "time.sleep(60)", "check = 1", cell_s=30, total_s=5)
    assert statuses(outcomes) == ["ok", "timeout", "late"]
    assert time.monotonic() - start < 25


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process this way")
def test_memory_is_bounded():
    outcomes = run("x = bytearray(3 * 2**29)", "check = 1", memory_bytes=2**30)
    assert statuses(outcomes) == ["error", "ok"]
    assert outcomes[0].message.startswith("MemoryError")


def test_a_short_flood_is_forgiven_and_a_long_one_is_not():
    outcomes = run("print('x' * 10**5)", "print('x' * 10**7)", "check = 1", output_bytes=2**20)
    assert statuses(outcomes) == ["ok", "flood", "ok"]


@pytest.mark.parametrize(
    "cell", ["print('x' * 2**31)", "raise ValueError('x' * 10**8)", "import os; os.write(2, b'x' * 10**7)"]
)
def test_a_flood_is_called_one_whatever_it_comes_in(cell):
    outcomes = run("x = 1", cell, "check = x", cell_s=60)
    assert statuses(outcomes) == ["ok", "flood", "ok"]
    assert outcomes[1].message == "more than 2 MiB of output"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (r"raise ValueError('a\ud800b')", "ValueError: a?b"),
        (r"raise KeyError('\udfff')", r"KeyError: '\udfff'"),
        (r"raise ValueError({'\ud800': 1})", r"ValueError: {'\ud800': 1}"),
    ],
)
def test_a_lone_surrogate_in_an_error_costs_no_time(cell, message):
    outcomes = run("x = 1", cell, "check = x", cell_s=10)
    assert statuses(outcomes) == ["ok", "error", "ok"]
    assert outcomes[1].message == message


def test_what_a_worker_tells_can_be_written():
    line = '[{"status": "error", "message": "ValueError: \\ud800", "shown": "\\udc80"}]'
    assert _read(line) == [Outcome("error", "ValueError: ?", "?")]


def test_the_environment_is_bare_and_the_folder_temporary(monkeypatch):
    monkeypatch.setenv("CLASS_SECRET", "42")
    code = "import os, pathlib; here = pathlib.Path.cwd(); pathlib.Path('left').write_text('x')"
    told = "raise RuntimeError(f\"{'CLASS_SECRET' in os.environ}|{here == pathlib.Path.home()}|{here}\")"
    outcomes = run(code, told)
    secret, at_home, folder = outcomes[1].message.removeprefix("RuntimeError: ").split("|")
    assert (secret, at_home) == ("False", "True")
    assert not os.path.exists(folder)
