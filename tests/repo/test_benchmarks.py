"""Every benchmark starts the same way: as a script, from anywhere, on this checkout's library."""

import subprocess
import sys

import pytest

from .repository import ROOT, ids, matching

SCRIPTS = [path for path in matching(r"benchmarks/\w+\.py") if path.name != "report.py"]


@pytest.mark.parametrize("path", SCRIPTS, ids=ids(SCRIPTS))
def test_a_benchmark_starts_as_a_script(path, tmp_path):
    command = [sys.executable, ROOT / path, "--help"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "--rounds" in run.stdout, run.stderr
