"""A kernel for student code: tests never run an answer in their own process."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from course_lib.labs.session import Limits, Outcome, Session


@pytest.fixture(scope="session")
def kernel(tmp_path_factory) -> Iterator[Callable[[str], Outcome]]:
    """Run a cell in a kernel that all tests of a worker share."""
    with asyncio.Runner() as runner:
        session = Session(tmp_path_factory.mktemp("kernel"), Limits())
        runner.run(session.start())
        yield lambda source: runner.run(session.run(source, 120))
        runner.run(session.kill())
