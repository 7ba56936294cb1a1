"""Draw every pair of published models, and look for what a reader would see wrong.

    python tools/gallery_check.py           all pairs (make gallery-check)
    python tools/gallery_check.py qwen3-8b  the pairs of one model

A text that leaves its picture or lies on another is a fault, and so is a difference
that no mark shows. A run over all pairs writes its date, its counts and the commit of
the specs into tools/gallery_check.json, which is committed. CI draws sixty pairs chosen
by the commit's hash, and all pairs of a model whose config has changed
(tests/unit/test_gallery_draw.py).
"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import differences
from course_lib.course.gallery.pair import draw_pair
from course_lib.specs.loader import list_specs, load_spec

SIGNS = ("≠ ", "+ ")
ROOT = Path(__file__).resolve().parent.parent
RESULT = Path(__file__).with_suffix(".json")
SPECS = "course_lib/specs"


def faults_of(pair: tuple[str, str]) -> list[str]:
    """What is wrong with the picture of two models."""
    left, right = map(load_spec, pair)
    figure = draw_pair(left, right)
    marked = any(
        text.words.startswith(SIGNS)
        for panel in figure.panels
        for text in panel.pen.texts
    )
    differ = bool(differences(describe(left), describe(right)))
    wrong = figure.faults()
    if marked != differ:
        wrong.append(f"differences: {differ}, marks: {marked}")
    return wrong


def commit_of(path: str) -> str:
    """The commit that last changed a path; "" where there is no history."""
    asked = ["git", "-C", ROOT, "log", "-1", "--format=%H", "--", path]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def write(pairs: int, faulty: int, seconds: float) -> None:
    """Keep what a run over all pairs has found."""
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "models": len(list_specs()),
        "pairs": pairs,
        "pairs_with_a_fault": faulty,
        "cpu_s": round(seconds),
        "specs_commit": commit_of(SPECS),
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main(names: list[str]) -> int:
    """Check the pairs, print the faults, and return how many pairs have one."""
    pairs = [
        pair
        for pair in combinations(list_specs(), 2)
        if not names or set(names) & set(pair)
    ]
    start, faulty = time.process_time(), 0
    for pair in pairs:
        wrong = faults_of(pair)
        faulty += bool(wrong)
        for fault in wrong:
            print(f"{' and '.join(pair)}: {fault}")
    seconds = time.process_time() - start
    print(f"{len(pairs):,} pairs, {faulty} with a fault; {seconds:.0f} CPU seconds")
    if not names:
        write(len(pairs), faulty, seconds)
    return faulty


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
