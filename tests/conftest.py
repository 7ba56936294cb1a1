"""What every test runs under: no network, one thread a worker, fixed seeds, shapes checked as declared.

jaxtyping's import hook makes beartype check every annotated call on the floors in `CHECKED`: a tensor of the
wrong shape fails the test that passed it. The hook has to be in place before those modules are imported, so
it stands at the top. `specs` and `costs` are left out, for the calculators call them with symbols where
numbers are declared; so is `course`, which declares no shapes. Notebooks run without the hook, as readers do.
"""

# ruff: noqa: E402

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

from . import shapes  # noqa: F401

CHECKED = (
    "kit",
    "layers",
    "kernels",
    "models",
    "tasks",
    "train",
    "generate",
    "evaluate",
    "simulate",
    "decide",
    "search",
    "parallel",
)
install_import_hook([f"course_lib.{floor}" for floor in CHECKED], "tests.shapes.checked")

import random

import hypothesis
import numpy
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# A shared machine makes single examples slow; that says nothing about the code, so there is no deadline.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

NEVER_SKIPPED = ("tests/parity/", "tests/browser/")


@pytest.fixture(autouse=True)
def seeded():
    """Give every test the same random streams, whatever ran before it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skipped parity or browser test is a failed one: it proves nothing."""
    report = yield
    if os.environ.get("CI") and report.skipped and item.nodeid.startswith(NEVER_SKIPPED):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped; in CI that is a failure.\n{report.longrepr}"
    return report
