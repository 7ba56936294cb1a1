"""Mutants of the solutions: 40 drawn by the commit's hash are rejected; a full run is on record."""

import json
import subprocess
import sys

import pytest
from tools.mutants import RESULT, equivalents

from course_lib.course.labs.generate import LABS, lab_names, read_source
from course_lib.course.labs.mutation import mutants

NAMES = lab_names()
FOUND = {lab: list(mutants(read_source(lab))) for lab in NAMES}


def commit() -> str:
    run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=LABS, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "no commit"


def test_forty_mutants_drawn_by_the_commit_are_rejected_or_listed():
    command = [sys.executable, "tools/mutants.py", "--chosen", "40", "--by", commit()]
    run = subprocess.run(command, cwd=LABS.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    labs = json.loads(run.stdout)["labs"]
    assert sum(one["mutants"] for one in labs.values()) == 40
    assert all(one["died"] == 0 for one in labs.values()), labs


@pytest.mark.parametrize("lab", NAMES)
def test_the_recorded_run_is_of_these_mutants_and_none_passed(lab):
    record = json.loads(RESULT.read_text(encoding="utf-8"))["labs"][lab]
    assert record["mutants"] == len(FOUND[lab]), "run: make mutants"
    assert record["passed"] == record["listed_but_rejected"] == []
    assert record["equivalent"] == sum(map(len, equivalents(lab).values()))
    assert record["visible"] > 0.8 * record["mutants"]


@pytest.mark.parametrize("lab", NAMES)
def test_every_equivalent_is_a_mutant_and_has_its_reason(lab):
    names = {(m.exercise, m.name) for m in FOUND[lab]}
    for exercise, reasons in equivalents(lab).items():
        for name, reason in reasons.items():
            assert (exercise, name) in names, "no such mutant any more"
            assert len(reason) > 20


@pytest.mark.parametrize("lab", NAMES)
def test_names_tell_mutants_apart_and_every_solution_has_some(lab):
    names = [(m.exercise, m.name) for m in FOUND[lab]]
    assert len(set(names)) == len(names)
    assert len({m.code for m in FOUND[lab]}) == len(names)
    assert min(sum(e == exercise for e, _ in names) for exercise in {e for e, _ in names}) >= 20
