"""Run the mutants of the labs' solutions: `python tools/mutants.py [--lab NAME]`.

Each mutant (`course_lib.course.labs.mutation`) must be rejected by a check of its
exercise, visible or hidden, or be listed in `labs/equivalent/LAB.yml` with a reason.

--chosen 40 --by HASH runs that many, drawn by the hash. --write stores the result of a
full run in `labs/mutants.json`.

A process for each lab imports torch once and forks a child for each mutant, which gets
--seconds and 4 GiB.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import random
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from datetime import date

import yaml

from course_lib.course.labs.allocation import Products
from course_lib.course.labs.generate import LABS, lab_names, read_source
from course_lib.course.labs.mutation import Mutant, mutants

RESULT = LABS / "mutants.json"
HIDDEN = "### BEGIN HIDDEN TESTS"
MEMORY = 4 * 2**30


def equivalents(lab: str) -> dict[str, dict[str, str]]:
    """Reasons of the listed mutants, by exercise and name."""
    path = LABS / "equivalent" / f"{lab}.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def listed(lab: str, mutant: Mutant) -> bool:
    """Whether the mutant is listed as equivalent."""
    return mutant.name in equivalents(lab).get(mutant.exercise, {})


class Lab:
    """One lab's given cells, run, and its checks by exercise."""

    def __init__(self, name: str) -> None:
        self.checks: dict[str, list[str]] = {}
        self.names: dict = {"__name__": "__main__"}
        for cell in read_source(name).cells:
            meta = cell.metadata.get("nbgrader", {})
            if cell.cell_type != "code" or meta.get("solution"):
                continue
            if meta.get("grade"):
                exercise = "exercise-" + meta["grade_id"].split("-")[1]
                self.checks.setdefault(exercise, []).append(cell.source)
            elif not meta["grade_id"].startswith("table"):
                with contextlib.redirect_stdout(io.StringIO()):
                    run(cell.source, self.names, meta["grade_id"])

    def verdict(self, mutant: Mutant) -> str:
        """Who rejects the mutant: "visible", "hidden" or "nobody"."""
        names = dict(self.names)
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                run(mutant.code, names, "answer")
            except Exception:
                return "visible"
            for part in (0, 1):
                for check in self.checks[mutant.exercise]:
                    text = check.split(HIDDEN)[part].replace("### END HIDDEN TESTS", "")
                    try:
                        run(text, names, "check")
                    except BaseException:
                        return ("visible", "hidden")[part]
        return "nobody"


def run(code: str, names: dict, title: str) -> None:
    """Execute a cell; its lines can be read back, as Triton does."""
    import linecache

    file = f"<{title}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)


def verdicts(
    lab: str, chosen: list[Mutant], seconds: float, jobs: int
) -> Iterator[tuple[Mutant, str]]:
    """Run mutants in forked children, and yield each with its verdict; a mutant that
    takes too long is rejected, and so is one that dies.
    """
    import torch

    torch.set_num_threads(1)
    ready, waiting, running = Lab(lab), list(chosen), {}
    with Products():
        torch.ones(1)  # its imports are slow: once, before the forks
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            end, pid = _fork(ready, mutant)
            running[end] = mutant, pid, time.monotonic() + seconds
        done, _, _ = select.select(list(running), [], [], 0.2)
        for end in list(running):
            mutant, pid, late = running[end]
            if end in done:
                said = os.read(end, 100).decode() or "died"
            elif time.monotonic() > late:
                said = "timeout"
            else:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(end)
            del running[end]
            yield mutant, said


def _fork(lab: Lab, mutant: Mutant) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return reading, pid
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.write(writing, lab.verdict(mutant).encode())
    os._exit(0)


def results(lab: str, chosen: list[Mutant], seconds: float, jobs: int) -> dict:
    """Counts of one lab, and the names of those that passed without being listed."""
    counts = dict.fromkeys(("visible", "hidden", "timeout", "died", "equivalent"), 0)
    passed, late, known, start = [], [], equivalents(lab), spent()
    for mutant, said in verdicts(lab, chosen, seconds, jobs):
        name = f"{mutant.exercise}: {mutant.name}"
        reason = known.get(mutant.exercise, {}).get(mutant.name)
        if said != "nobody":
            counts[said] += 1
            late += [name] if reason else []
        elif reason:
            counts["equivalent"] += 1
        else:
            passed.append(name)
            sys.stderr.write(f"passed: {lab}: {name}\n")
    return {
        "date": date.today().isoformat(),
        "cpu_seconds": round(spent() - start),
        "mutants": len(chosen),
        **counts,
        "passed": sorted(passed),
        "listed_but_rejected": sorted(late),
    }


def main() -> int:
    os.environ["TRITON_INTERPRET"] = "1"  # before a lab imports Triton
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", choices=lab_names(), help="one lab; all without it")
    parser.add_argument("--exercise", help="one exercise, such as exercise-2")
    parser.add_argument("--chosen", type=int, help="how many, over all labs")
    parser.add_argument("--by", default="", help="the hash that draws them")
    parser.add_argument("--seconds", type=float, default=60, help="for a mutant (60)")
    parser.add_argument("--jobs", type=int, default=1, help="at a time (1)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    labs = [options.lab] if options.lab else list(lab_names())
    drawn = [(lab, mutant) for lab in labs for mutant in mutants(read_source(lab))]
    if options.exercise:
        drawn = [(lab, m) for lab, m in drawn if m.exercise == options.exercise]
    if options.chosen is not None and options.chosen < len(drawn):
        drawn = random.Random(options.by).sample(drawn, options.chosen)
    found = {}
    for lab in labs:
        chosen = [mutant for name, mutant in drawn if name == lab]
        if chosen:
            found[lab] = results(lab, chosen, options.seconds, options.jobs)
            sys.stderr.write(f"{lab}: {json.dumps(found[lab])}\n")
    sys.stdout.write(as_text(found))
    if options.write:
        old = json.loads(RESULT.read_text()) if RESULT.exists() else {"labs": {}}
        RESULT.write_text(as_text(dict(sorted((old["labs"] | found).items()))))
    bad = any(one["passed"] or one["listed_but_rejected"] for one in found.values())
    return int(bad)


def as_text(labs: dict) -> str:
    """The record: every lab with the day of its last run, and what ran it."""
    import torch

    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return json.dumps(versions | {"labs": labs}, indent=1, ensure_ascii=False) + "\n"


def spent() -> float:
    """CPU seconds so far, of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
