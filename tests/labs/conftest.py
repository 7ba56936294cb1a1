"""A kernel for student code: tests never run an answer in their own process."""

import asyncio
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

from course_lib.course.labs.kernel import Limits, Outcome, Session

BEFORE_ALL = "import os; os.environ['TRITON_INTERPRET'] = '1'"  # labs share this kernel; one of them needs it
NEEDS_TRITON = "02_flash_kernel"  # published for Linux only


def pytest_collection_modifyitems(items):
    """Skip the kernel lab where Triton is not published."""
    for item in items:
        if NEEDS_TRITON in item.nodeid and find_spec("triton") is None:
            item.add_marker(pytest.mark.skip(reason="Triton is published for Linux only"))


@pytest.fixture(scope="session")
def kernel(tmp_path_factory) -> Iterator[Callable[[str], Outcome]]:
    """Run a cell in a kernel that all tests of a worker share."""
    with asyncio.Runner() as runner:
        session = Session(tmp_path_factory.mktemp("kernel"), Limits())
        runner.run(session.start())
        runner.run(session.run(BEFORE_ALL, 120))
        yield lambda source: runner.run(session.run(source, 120))
        runner.run(session.kill())
