"""The report of a run: CPU seconds of tests and their children by chapter, and the slowest files first."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.minutes import DURATIONS, SHARES, area, slowest_first, table

ROOT = Path(__file__).resolve().parents[2]
SPINNING = """
import subprocess, sys, time
SPIN = "import time\\nwhile time.process_time() < 1.5: pass"
def test_itself():
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
def test_a_child():
    subprocess.run([sys.executable, "-c", SPIN], check=True)
"""


def test_every_area_has_a_share_and_a_chapter_of_its_own():
    files = {
        "tests/browser/test_pages.py": "browser and the book",
        "notebooks/00_why_architecture/01_costs.ipynb": "chapters 0 to 3",
        "notebooks/10_choosing/01_costs.ipynb": "chapter 10",
        "labs/source/04_mixtures.ipynb": "chapter 4",
        "tests/unit/test_problems_03.py": "chapters 0 to 3",
        "tests/unit/test_cards_page.py": "platform",
        "tests/unit/test_attention.py": "chapters 0 to 3",
        "course_lib/course/labs/lab05/scan.py": "chapter 5",
        "course_lib/layers/norms.py": "chapters 0 to 3",
    }
    assert {file: area(file) for file in files} == files
    assert set(files.values()) <= set(SHARES)


def test_the_slowest_file_starts_first_and_stays_together():
    names = ["a.py::x", "b.py::x", "c.py::x", "a.py::y", "new.py::x", "b.py::y"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    ordered = [item.nodeid for item in slowest_first(items, {"a.py": 1.0, "b.py": 9.0, "c.py": 2.0})]
    assert ordered == ["b.py::x", "b.py::y", "new.py::x", "c.py::x", "a.py::x", "a.py::y"]


def test_the_report_adds_an_area_up_beside_its_share():
    rows = table({"tests/repo/a.py": 60.0, "course_lib/course/b.py": 30.0, "notebooks/04_x/a.ipynb": 6.0})
    assert [row.split()[-2:] for row in rows] == [["0.10", "6.0"], ["1.50", "14.0"], ["1.60", "20.0"]]


def test_the_committed_seconds_are_of_files_that_exist():
    seconds = json.loads(DURATIONS.read_text(encoding="utf-8"))
    assert [file for file in seconds if not (ROOT / file).exists()] == []
    assert min(seconds.values()) > 0


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_counts_its_children_and_ends_with_the_runners_summary(workers, tmp_path):
    spinning, into = tmp_path / "test_spinning.py", tmp_path / "seconds.json"
    spinning.write_text(SPINNING, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.minutes", "-n", workers]
    command += ["--rootdir", tmp_path, "-c", os.devnull, "--durations-into", into, spinning]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *before, last = done.stdout.strip().splitlines()
    assert last.startswith("2 passed")
    total = next(line for line in before if line.startswith("all of these"))
    assert float(re.findall(r"[\d.]+", total)[0]) >= 0.03, (
        "0.3 s of its own and 1.5 s of its child are 0.03 minutes"
    )
    assert list(json.loads(into.read_text())) == ["test_spinning.py"]
