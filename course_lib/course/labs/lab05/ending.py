"""Lab 5, the ending: the student's recurrences beside attention on three tasks, and the
table recomputed with the course's own.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

from course_lib.course.labs.lab05 import memories, recalling, reference, tabling
from course_lib.course.labs.lab05.small_models import (
    Answers,
    ByteModel,
    ngram_lines,
    trained,
)
from course_lib.course.labs.lab05.three_tasks import (
    LAG,
    LENGTHS,
    NAMES,
    names_results,
    signal_results,
    text_results,
)

STEPS = 160
MIXERS = ("attention", "block", "wkv")
HEAD = (
    f"  {'mixer':18} quality  to attention   time t^  memory t^  KiB at {LENGTHS[-1]:,}"
)
TITLES = {
    "names": f"1. What came after this name? ({NAMES:,} names of held-out source; the "
    "share recalled)",
    "signal": f"2. How deep was the code indented {LAG} lines ago? (R squared, held "
    "out)",
    "text": "3. The next byte (nats, held out)",
}


def own() -> Answers:
    """The course's own functions, by the names of the lab."""
    return Answers(
        zoh=reference.zoh,
        scan=reference.scan,
        short_conv=reference.short_conv,
        block=reference.block,
        wkv=memories.wkv,
        delta_chunked=memories.delta_chunked,
        successors=recalling.successors,
        growth=tabling.growth,
        table=tabling.table,
    )


def measured(answers: Answers, models: dict[str, ByteModel]) -> list[dict]:
    """Quality, seconds and bytes of every mixer on every task."""
    return [
        *names_results(answers),
        *signal_results(answers),
        *text_results(models),
    ]


def report(**functions: Any) -> Iterator[str]:
    """Yield the lines of the report, from the lab's functions by name."""
    answers, start = Answers(**functions), time.process_time()
    steps = STEPS if os.environ.get("COURSE_PROFILE") != "smoke" else 20
    models = {mixer: trained(mixer, answers, steps) for mixer in MIXERS}
    results = measured(answers, models)
    rows, task = answers.table(results), ""
    yield HEAD
    for one, row in zip(results, rows, strict=True):
        if row["task"] != task:
            task = row["task"]
            yield TITLES[task]
            if task == "text":
                yield from _lines_of_counts(steps)
        yield _line(one, row)
    yield "The table once more, with the course's own pieces"
    yield from _recomputed(results, rows, models)
    yield f"{time.process_time() - start:.0f} CPU seconds"


def _lines_of_counts(steps: int) -> Iterator[str]:
    for order, loss in ngram_lines().items():
        yield f"  {order} bytes, counted {loss:10.3f}   (Kneser-Ney)"
    yield f"  models of one layer, after {steps} updates:"


def _line(one: dict, row: dict) -> str:
    gap, spent, kept = (round(row[name], 3) + 0.0 for name in ("gap", "time", "memory"))
    kib = one["bytes"][-1] / 1024
    return (
        f"  {row['mixer']:18}{one['quality']:8.3f}{gap:+14.3f}{spent:10.2f}"
        f"{kept:10.2f}{kib:12.2f}"
    )


def _recomputed(
    results: list[dict], rows: list[dict], models: dict[str, ByteModel]
) -> Iterator[str]:
    """The same weights and texts, mixed by the course's own functions."""
    answers = own()
    for model in models.values():
        model.answers = answers
    again = measured(answers, models)
    for one, own_one in zip(results, again, strict=True):
        own_one["seconds"] = one["seconds"]  # a clock does not repeat itself
    right = tabling.table(again)
    for name in ("gap", "time", "memory"):
        gaps = [abs(a[name] - b[name]) for a, b in zip(rows, right, strict=True)]
        said = "agrees" if max(gaps) < 1e-4 else "DIFFERS: look at your pieces"
        yield f"  {name:7} differs by at most {max(gaps):.0e}: {said}"
