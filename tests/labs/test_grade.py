"""The grader, from the command line, over one folder with every kind of submission."""

import csv
import subprocess
import sys
import time

import psutil
import pytest

from course_lib.course.labs.generate import read_source
from course_lib.course.labs.submission import exercise_of
from tests.labs.answers import cell, ids
from tests.labs.submissions import CHANGES, LAB, write_folder

SOURCE = read_source(LAB)
FULL = {exercise_of(name): cell(SOURCE, name).metadata.nbgrader.points for name in ids(SOURCE, "grade")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Grade the folder once; every test reads the table."""
    folder = tmp_path_factory.mktemp("class")
    write_folder(folder / "submitted")
    command = [
        sys.executable,
        "-m",
        "course_lib.course.labs.grade",
        "submitted",
        "--out",
        "grades.csv",
        "--feedback",
        "feedback",
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--cell-timeout", "12", "--timeout", "150", "--jobs", "2"],
        cwd=folder, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    with (folder / "grades.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    return {"rows": rows, "done": done, "seconds": time.monotonic() - start, "folder": folder}


def row_of(run, name: str) -> dict[str, str]:
    """Return the row of the submission in folder `name`."""
    return run["rows"][f"{name}/{LAB}.ipynb"]


def points(row: dict[str, str]) -> dict[str, float]:
    return {name: float(row[name]) for name in FULL}


def without(*lost: int | str) -> dict[str, float]:
    """Full points, less those of the exercises, or functions, in `lost`."""
    names = [f"exercise-{n}" for n in lost]
    return {
        name: 0 if any(f"{name}-".startswith(f"{n}-") for n in names) else full for name, full in FULL.items()
    }


EXPECTED = {
    # name: (status, exercises without points, words of the reason)
    "correct": ("graded", (), ""),
    "wrong": ("graded", ("1-step",), "hint (scale)"),
    "endless_loop": ("timeout", (2,), "exercise-2: no end after 12 s"),
    "loop_at_once": ("timeout", (5,), "in the solution cell: no end after 12 s"),
    "deleted_check": ("graded", (), "exercise-4-append: the check cell was missing; restored"),
    "deleted_answer": ("graded", (3,), "exercise-3: the solution cell was missing"),
    "duplicated": ("graded", (), "the solution cell appeared 2 times; the last one counts"),
    "upside_down": ("graded", (), ""),
    "edited_check": (
        "graded",
        (1,),
        "exercise-1-append: the check cell had been edited; restored; not attempted",
    ),
    "own_cells": ("graded", (), ""),
    "syntax_error": ("graded", (6,), "in the solution cell: SyntaxError"),
    "kernel_death": ("died", (2,), "exercise-2: the kernel died"),
    "exit": ("graded", (), "in the solution cell: SystemExit"),
    "flood": ("flood", (2,), "exercise-2: more than 2 MiB of output"),
    "patched_check": (
        "graded",
        ("1-step",),
        "but asked from outside step gives",
    ),
    "patched_shell": ("graded", ("1-step",), "asked from outside step gives"),
    "equal_to_all": ("graded", ("5-cache_bytes",), "exercise-5-cache_bytes: "),
    "one_stub": (
        "graded",
        ("6-decode_step_time",),
        "decode_step_time: a part is still to be written",
    ),
    "warns": ("graded", (), ""),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_mark_and_its_reason(run, name):
    status, lost, reason = EXPECTED[name]
    row = row_of(run, name)
    assert (row["status"], points(row)) == (status, without(*lost)), row["reasons"]
    assert float(row["total"]) == sum(without(*lost).values())
    assert float(row["max"]) == 100
    assert reason in row["reasons"]


def test_every_kind_is_expected():
    assert set(EXPECTED) == set(CHANGES)


def test_a_correct_answer_has_nothing_to_explain(run):
    assert row_of(run, "correct")["reasons"] == ""


def test_the_stub_gets_nothing_and_is_called_not_attempted(run):
    row = run["rows"][f"stub/{LAB}/my answers.ipynb"]
    assert (row["status"], float(row["total"])) == ("graded", 0)
    assert row["reasons"].count("not attempted") == len(FULL)
    assert row["lab"] == LAB


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("'=broken.ipynb", "not a notebook (JSONDecodeError"),
        ("empty.ipynb", "not a notebook (JSONDecodeError"),
        ("list.ipynb", "JSON but not a notebook"),
        ("binary.ipynb", "not a notebook (UnicodeDecodeError"),
        ("deep.ipynb", "nested too deeply"),
        ("stripped.ipynb", "metadata stripped"),
        ("gone.ipynb", "a link that leads nowhere"),
        ("outside.ipynb", "a link that leads out of the folder"),
    ],
)
def test_an_unreadable_file_is_a_row(run, name, reason):
    row = run["rows"][name]
    assert (row["status"], float(row["total"])) == ("unreadable", 0)
    assert reason in row["reasons"]


@pytest.mark.parametrize("name", ["essay.pdf", "class.zip/cv.pdf"])
def test_a_file_that_is_no_notebook_is_named(run, name):
    assert run["rows"][name]["status"] == "not read"
    assert "a .pdf, not a notebook" in run["rows"][name]["reasons"]


NAMED_BY_OTHERS = [
    "only_cell_ids.ipynb",
    "lovelaceada_LATE_1234_56789_notebook-Copy1 (1).IPYNB",
    "class.zip/hopper/lab.ipynb",
]


@pytest.mark.parametrize("name", NAMED_BY_OTHERS)
def test_what_a_tool_did_to_the_file_costs_nothing(run, name):
    assert (run["rows"][name]["lab"], float(run["rows"][name]["total"])) == (LAB, 100)


def test_nobody_changes_what_others_handed_in(run):
    assert (run["folder"] / "submitted" / "zz_destroyed.ipynb").read_bytes() == b""
    assert float(run["rows"]["zz_destroyed.ipynb"]["total"]) == 100


def test_no_process_is_left(run):
    left = [p for p in psutil.process_iter() if "86397" in " ".join(command_of(p))]
    assert left == []


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_run_reports_and_ends_well(run):
    assert run["done"].returncode == 0, run["done"].stderr
    assert run["done"].stdout == ""
    assert len(run["done"].stderr.splitlines()) == len(run["rows"]) == len(CHANGES) + 16
    assert all(float(row["seconds"]) < 150 + 30 for row in run["rows"].values())


def test_nothing_is_left_beside_the_submissions(run):
    written = ["feedback", "grades.csv", "grades.html", "submitted"]
    assert sorted(path.name for path in run["folder"].iterdir()) == written


def test_the_instructors_page_says_where_most_was_lost(run):
    page = (run["folder"] / "grades.html").read_text()
    assert f"{len(run['rows'])} files" in page and "03_kv_cache: where most points were lost" in page
    assert "hint scale" in page and "<script" not in page
    assert "&#x27;=broken.ipynb" in page or "=broken.ipynb" in page


def test_each_student_gets_a_page_of_their_own(run):
    pages = {
        p.relative_to(run["folder"] / "feedback").as_posix()
        for p in (run["folder"] / "feedback").rglob("*.html")
    }
    assert pages == {f"{name}.html" for name in run["rows"]} - {"'=broken.ipynb.html"} | {
        "=broken.ipynb.html"
    }
    page = (run["folder"] / "feedback" / "wrong" / f"{LAB}.ipynb.html").read_text()
    assert "94 of 100 points" in page and "hint (scale)" in page
