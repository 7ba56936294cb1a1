"""Draw every pair of published models, and look for what a reader would see wrong.

    python tools/gallery_check.py           all pairs (make gallery-check)
    python tools/gallery_check.py qwen3-8b  the pairs of one model

A text that leaves its picture or lies on another is a fault, and so is a difference
that no mark shows. CI draws sixty pairs chosen by the commit's hash, and all pairs of a
model whose config has changed (tests/unit/test_gallery_draw.py).
"""

import sys
import time
from itertools import combinations

from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import differences
from course_lib.course.gallery.pair import draw_pair
from course_lib.specs.loader import list_specs, load_spec

SIGNS = ("≠ ", "+ ")


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
    return faulty


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
